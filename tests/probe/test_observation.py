"""Observing real trainers on real data: state, verdicts, and what the rules are told."""

from __future__ import annotations

import copy
import hashlib
from pathlib import Path

import pytest
from batchgeneratorsv2.transforms.spatial.mirroring import MirrorTransform
from nnunetv2.utilities.find_class_by_name import recursive_find_python_class

from nnguard.probe import observe, snapshot
from nnguard.rules.checks import check_training
from tests.support.pipelines import FlipBoth, FlipImageOnly
from tests.support.trainers import trainer_class, trainer_on

#: kind -> trainer as nnU-Net ships it
KINDS = ("2d", "2d_oblong", "isotropic", "anisotropic", "regions", "ignore", "two_channels")


#: As people write them: a module in a folder that ``nnUNet_extTrainer`` names.
ELSEWHERE = """
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer


class nnUNetTrainerElsewhere(nnUNetTrainer):
    @staticmethod
    def build_network_architecture(*args, **options):
        return nnUNetTrainer.build_network_architecture(*args, **options)


class nnUNetTrainerBare(nnUNetTrainer):
    pass
"""


def subclass(name, **methods):
    return type(name, (trainer_class("nnUNetTrainer"),), {"__module__": __name__, **methods})


def with_transforms(change, name="nnUNetTrainerOwnTransforms"):
    """A trainer whose pipeline is nnU-Net's, changed in place before anybody has copied it."""
    base = trainer_class("nnUNetTrainer")

    def get_training_transforms(*args, **options):
        pipeline = base.get_training_transforms(*args, **options)
        return change(pipeline) or pipeline

    return subclass(name, get_training_transforms=staticmethod(get_training_transforms))


def without_mirror(pipeline):
    pipeline.transforms = [step for step in pipeline.transforms if not isinstance(step, MirrorTransform)]


def codes(observation, severity=None):
    found = check_training(observation.record, observation.training)
    return [finding.code for finding in found if severity in (None, finding.severity)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_default_trainer_is_observed_and_nothing_is_found(kind, tmp_path):
    with trainer_on(kind, tmp_path) as trainer:
        observation = observe(trainer)
    mirroring = observation.record.mirroring
    axes = tuple(range(observation.record.spatial_dims))
    assert (mirroring.state, mirroring.safe_axes, mirroring.reasons) == ("observed", axes, [])
    assert {flip.labels for flip in mirroring.flips} == {"kept"}
    assert codes(observation) == []


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_without_its_mirror_is_found(kind, tmp_path):
    with trainer_on(kind, tmp_path, with_transforms(without_mirror)) as trainer:
        observation = observe(trainer)
    assert observation.record.mirroring.safe_axes == ()
    assert codes(observation) == ["NNG103"]


def test_the_record_names_the_training(tmp_path):
    with trainer_on("2d", tmp_path) as trainer:
        record = observe(trainer).record
    assert (record.trainer.class_, record.configuration, record.fold, record.spatial_dims) == (
        "nnUNetTrainer",
        "2d",
        0,
        2,
    )
    assert record.trainer.source_sha256 is not None
    assert record.transpose_forward == [0, 1, 2]
    assert record.axes.declared == record.axes.effective == [0, 1]
    assert record.environment.nnunetv2
    assert len(record.to_json()) < 16 * 1024


def test_a_trainer_of_ones_own_folder_is_told_by_the_hash_of_its_file(tmp_path):
    file = tmp_path / "trainers/nnUNetTrainerElsewhere.py"
    file.parent.mkdir()
    file.write_text(ELSEWHERE)
    found = {
        name: recursive_find_python_class(str(file.parent), name, None, cleanup_imports_from_base_folder=True)
        for name in ("nnUNetTrainerElsewhere", "nnUNetTrainerBare")
    }
    with trainer_on("2d", tmp_path, found["nnUNetTrainerElsewhere"]) as trainer:
        told = observe(trainer).record.trainer
    assert told.module == "nnUNetTrainerElsewhere"
    assert told.source_sha256 == hashlib.sha256(ELSEWHERE.encode()).hexdigest()
    with trainer_on("2d", tmp_path, found["nnUNetTrainerBare"]) as trainer:
        assert observe(trainer).record.trainer.source_sha256 is None  # nothing tells, and nnU-Net's own is not it


def test_a_borrowed_method_does_not_pass_for_the_trainers_own_file(tmp_path):
    with trainer_on("2d", tmp_path, subclass("nnUNetTrainerBorrows", helper=copy.deepcopy, own=codes)) as trainer:
        told = observe(trainer).record.trainer
    assert told.source_sha256 == hashlib.sha256(Path(__file__).read_bytes()).hexdigest()


def test_a_foreign_loader_makes_absence_unknown_and_presence_stays(tmp_path):
    def get_dataloaders(self):
        train, validation = trainer_class("nnUNetTrainer").get_dataloaders(self)
        loader = train.data_loader
        loader.__class__ = type("OwnLoader", (type(loader),), {"__module__": "mine", "generate_train_batch": _batch})
        return train, validation

    own = subclass("nnUNetTrainerOwnLoader", get_dataloaders=get_dataloaders)
    with trainer_on("2d", tmp_path, own) as trainer:
        assert observe(trainer).record.mirroring.state == "observed"
        without_mirror(trainer.dataloader_train.data_loader.transforms)
        observation = observe(trainer)
    assert observation.record.mirroring.state == "unknown"
    assert "OwnLoader" in observation.record.mirroring.reasons[0]
    assert codes(observation, "harmful") == []


def _batch(self):
    return super(type(self), self).generate_train_batch()


def test_an_own_train_step_makes_absence_pending_and_presence_stays(tmp_path):
    own = subclass("nnUNetTrainerOwnStep", train_step=lambda self, batch: {})
    with trainer_on("2d", tmp_path, own) as trainer:
        assert observe(trainer).record.mirroring.state == "observed"
        without_mirror(trainer.dataloader_train.data_loader.transforms)
        observation = observe(trainer)
    assert observation.record.mirroring.state == "pending"
    assert observation.training.own_train_step.endswith("nnUNetTrainerOwnStep")
    assert codes(observation, "harmful") == []


def test_no_transforms_on_nnunets_loader_is_no_augmentation(tmp_path):
    with trainer_on("2d_oblong", tmp_path) as trainer:
        trainer.dataloader_train.data_loader.transforms = None
        trainer.dataloader_train.data_loader.patch_size = trainer.dataloader_train.data_loader.final_patch_size
        observation = observe(trainer)
    assert (observation.record.mirroring.state, observation.record.mirroring.plain_rate) == ("observed", 1.0)
    assert codes(observation) == ["NNG103"]


def test_no_loader_is_unknown(tmp_path):
    with trainer_on("2d", tmp_path) as trainer:
        loaders, trainer.dataloader_train = trainer.dataloader_train, None
        observation = observe(trainer)
        trainer.dataloader_train = loaders
    assert observation.record.mirroring.state == "unknown"
    assert codes(observation) == ["NNG108"]


def test_an_edit_after_the_workers_started_is_found_and_the_workers_are_believed(tmp_path):
    with trainer_on("2d", tmp_path) as trainer:
        kept = snapshot(trainer.dataloader_train)
        without_mirror(trainer.dataloader_train.data_loader.transforms)
        edited, live = observe(trainer, kept), observe(trainer)
    assert edited.record.mirroring.safe_axes == (0, 1)
    assert codes(edited) == ["NNG115"]
    assert edited.training.edited_after_start == "removed MirrorTransform"
    assert codes(live) == ["NNG103"]


def test_an_unchanged_pipeline_was_not_edited_and_neither_was_a_counter(tmp_path):
    class Counts:
        def __init__(self):
            self.calls = 0

        def __call__(self, **data):
            self.calls += 1
            return data

    with trainer_on("2d", tmp_path, with_transforms(lambda pipeline: pipeline.transforms.append(Counts()))) as trainer:
        kept = snapshot(trainer.dataloader_train)
        assert observe(trainer, kept).training.edited_after_start is None
        next(trainer.dataloader_train)
        assert observe(trainer, kept).training.edited_after_start is None


def test_parameters_retuned_after_start_count_where_they_change_what_is_shown(tmp_path):
    with trainer_on("2d", tmp_path) as trainer:
        kept = snapshot(trainer.dataloader_train)
        steps = trainer.dataloader_train.data_loader.transforms.transforms
        mirror = next(step for step in steps if isinstance(step, MirrorTransform))
        mirror.allowed_axes = (0,)
        assert "other flips" in observe(trainer, kept).training.edited_after_start


def test_image_and_segmentation_apart_is_found_and_its_twin_is_not(tmp_path):
    for flip, expected in ((FlipImageOnly((0,)), ["NNG114"]), (FlipBoth((0,)), [])):
        change = with_transforms(lambda pipeline, flip=flip: pipeline.transforms.insert(1, copy.deepcopy(flip)))
        with trainer_on("2d", tmp_path, change) as trainer:
            assert codes(observe(trainer)) == expected


def test_a_library_mirror_that_flips_nothing_is_judged_by_what_it_does(tmp_path):
    def twice(pipeline):
        mirror = next(step for step in pipeline.transforms if isinstance(step, MirrorTransform))
        mirror.get_parameters = lambda **data: {"axes": []}

    with trainer_on("2d", tmp_path, with_transforms(twice)) as trainer:
        assert codes(observe(trainer)) == ["NNG103"]


def test_malformed_declared_axes_are_recorded_verbatim(tmp_path):
    for axes, expected in (((), []), (2, 2), ((-1,), [-1]), ("01", "01"), ([0, 0], [0, 0])):
        with trainer_on("2d", tmp_path) as trainer:
            trainer.inference_allowed_mirroring_axes = axes
            observation = observe(trainer)
        assert observation.record.axes.declared == expected
        assert codes(observation)[0] == "NNG105"
        assert observation.record.from_json(observation.record.to_json()).axes.declared == expected


def test_observing_changes_nothing_that_a_training_draws(tmp_path):
    import random

    import numpy as np
    import torch

    batches = []
    for observed in (False, True):
        with trainer_on("2d", tmp_path) as trainer:
            random.seed(1), np.random.seed(1), torch.manual_seed(1)
            if observed:
                observe(trainer)
            batches.append(next(trainer.dataloader_train))
    assert torch.equal(batches[0]["data"], batches[1]["data"])
    assert all(
        torch.equal(first, second) for first, second in zip(batches[0]["target"], batches[1]["target"], strict=True)
    )
