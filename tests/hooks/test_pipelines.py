"""Pipelines that names and attributes lie about, judged as nnU-Net's own training starts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from batchgeneratorsv2.transforms.base.basic_transform import BasicTransform
from batchgeneratorsv2.transforms.intensity.inversion import InvertImageTransform
from batchgeneratorsv2.transforms.spatial.mirroring import MirrorTransform

from nnguard import MirroringError
from nnguard.hooks import trainer as hook
from tests.support import trainers


class OwnFlip(BasicTransform):
    """Flips axis 0 of images, and of segmentations where it is asked to, by a generator that nobody else knows."""

    def __init__(self, segmentation=True):
        super().__init__()
        self.generator = np.random.default_rng()
        self.segmentation = segmentation

    def apply(self, data_dict, **parameters):
        if self.generator.random() < 0.5:
            for key in ("image", "segmentation") if self.segmentation else ("image",):
                data_dict[key] = torch.flip(data_dict[key], [1])
        return data_dict


@pytest.fixture
def with_pipeline(base):
    """A trainer class whose pipeline mirrors ``axes`` and has ``first`` before all else; its rotation is nnU-Net's."""

    def make(axes, first=None, declared=(0, 1), parent=base):
        class nnUNetTrainerOther(parent):
            @staticmethod
            def get_training_transforms(patch_size, rotation, scales, mirror_axes, *arguments, **options):
                made = parent.get_training_transforms(patch_size, rotation, scales, axes, *arguments, **options)
                if first is not None:
                    made.transforms.insert(0, first)
                return made

            def configure_rotation_dummyDA_mirroring_and_inital_patch_size(self):
                settings = super().configure_rotation_dummyDA_mirroring_and_inital_patch_size()
                self.inference_allowed_mirroring_axes = declared
                return settings

        return nnUNetTrainerOther

    return make


def verdicts(made):
    return {flip.axes: flip.verdict for flip in hook.record_of(made).mirroring.flips}


def refused(made):
    with pytest.raises(MirroringError) as raised:
        made.on_train_start()
    return [finding.code for finding in raised.value.findings]


def test_half_turns_of_stock_rotation_do_not_train_the_second_axis_and_an_estimate_is_only_told(
    guard, new_trainer, with_pipeline, told
):
    """Of the plain view's share they are a twentieth: in 512 samples not beyond chance below a tenth."""
    half_mirrored = with_pipeline((0,))
    guard("exact")
    made = new_trainer(half_mirrored)
    assert refused(made) == ["NNG103"]
    assert verdicts(made) == {(0,): "trained", (1,): "rare", (0, 1): "rare"}
    for fold, mode in enumerate(("strict", "correct"), 1):
        guard(mode)
        made = new_trainer(half_mirrored, fold=fold)
        made.on_train_start()
        assert made.inference_allowed_mirroring_axes == (0, 1)
        assert told.codes == ["NNG103"] * fold
        assert "(advisory" in told.texts[-1]
    guard("strict")
    new_trainer(with_pipeline((0,), declared=(0,)), fold=3).on_train_start()
    assert told.codes == ["NNG103", "NNG103"]


def test_a_transform_with_a_generator_of_its_own_is_seen_flipping(guard, new_trainer, with_pipeline, told):
    guard("exact")
    made = new_trainer(with_pipeline(None, OwnFlip(), declared=(0,)))
    made.on_train_start()
    assert (verdicts(made)[(0,)], told.codes) == ("trained", [])
    assert refused(new_trainer(with_pipeline(None, OwnFlip()), fold=1)) == ["NNG103"]


@pytest.mark.parametrize(("axes", "codes"), [((0, 1), []), (None, ["NNG103"])], ids=repr)
def test_inverted_intensities_are_no_flip_and_hide_none(guard, new_trainer, with_pipeline, told, axes, codes):
    guard("strict")
    made = new_trainer(with_pipeline(axes, InvertImageTransform(1, True, 1)))
    if codes:
        assert refused(made) == codes
        assert set(verdicts(made).values()) <= {"unseen", "rare"}
    else:
        made.on_train_start()
        assert set(verdicts(made).values()) == {"trained"}


@pytest.mark.parametrize(("axes", "codes"), [((0, 1), []), (None, ["NNG103"])], ids=repr)
def test_da5s_gradients_are_no_flip_and_hide_none(guard, tmp_path, with_pipeline, told, axes, codes):
    # An oblong patch: on a square one DA5's Rot90 after Transpose is a mirror, truly shown.
    guard("strict")
    kind = with_pipeline(axes, parent=trainers.trainer_class("nnUNetTrainerDA5"))
    with trainers.nnunet_variables(tmp_path):
        made = trainers.new_trainer("2d_oblong", tmp_path, kind)
        if codes:
            assert refused(made) == codes
            assert set(verdicts(made).values()) == {"unseen"}
        else:
            made.on_train_start()
            assert set(verdicts(made).values()) == {"trained"}


def test_an_image_flipped_without_its_segmentation_is_refused_and_its_twin_is_not(
    guard, new_trainer, with_pipeline, told
):
    guard("strict")
    assert refused(new_trainer(with_pipeline((0, 1), OwnFlip(segmentation=False)))) == ["NNG114"]
    new_trainer(with_pipeline((0, 1), OwnFlip()), fold=1).on_train_start()
    assert told.codes == []


@pytest.mark.slow
def test_a_mirror_dropped_after_the_workers_started_still_mirrors_for_every_case_they_deliver(
    guard, new_trainer, base, told
):
    class nnUNetTrainerEditsLate(base):
        def get_dataloaders(self):
            loaders = super().get_dataloaders()
            inner = getattr(loaders[0], "generator", None) or loaders[0].data_loader
            steps = inner.transforms.transforms
            steps[:] = [step for step in steps if type(step) is not MirrorTransform and not _holds_mirror(step)]
            return loaders

    guard("strict")
    with_workers = new_trainer(nnUNetTrainerEditsLate, workers=1)
    assert refused(with_workers) == ["NNG115"]
    assert set(verdicts(with_workers).values()) == {"trained"}
    in_process = new_trainer(nnUNetTrainerEditsLate, workers=0, fold=1)
    assert refused(in_process) == ["NNG103"]
    assert "trained" not in verdicts(in_process).values()


def _holds_mirror(step):
    return isinstance(getattr(step, "transform", None), MirrorTransform)
