"""Mirroring axes as users write them: whatever object holds them, the guard reads them as nnU-Net does."""

import shutil

import numpy as np
import pytest

from nnguard import MirroringError, check_model
from tests.hooks.predictions import CHECKPOINT, load, predicted


def tensor(axes):
    import torch

    return torch.tensor(axes)


KINDS = {
    "list": list,
    "array": np.array,
    "tensor": tensor,
    "tuple of tensors": lambda axes: tuple(map(tensor, axes)),
    "range": lambda axes: range(len(axes)),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", ["strict", "exact"])
def test_axes_that_training_never_showed_are_refused(guard, new_predictor, model_folders, kind, mode):
    guard("warn,NNG101=log")
    made = load(new_predictor(), model_folders["unmirrored"])
    made.allowed_mirroring_axes = KINDS[kind]((0, 1))
    guard(mode)
    with pytest.raises(MirroringError) as raised:
        predicted(made)
    assert [finding.code for finding in raised.value.findings][:1] == ["NNG101"]


@pytest.mark.parametrize("kind", KINDS)
def test_sound_axes_pass_in_silence(guard, new_predictor, model_folders, told, kind):
    guard("exact")
    made = load(new_predictor(), model_folders["sound"])
    made.allowed_mirroring_axes = KINDS[kind]((0, 1))
    predicted(made)
    assert told.codes == []


@pytest.mark.parametrize("kind", KINDS)
def test_correct_narrows_them(guard, new_predictor, model_folders, told, kind):
    guard("warn,NNG101=log")
    made = load(new_predictor(), model_folders["unmirrored"])
    made.allowed_mirroring_axes = KINDS[kind]((0, 1))
    guard("correct")
    predicted(made)
    assert made.allowed_mirroring_axes is None
    assert told.codes == ["NNG101"]


@pytest.mark.parametrize("kind", ["array", "tensor"])
def test_axes_changed_in_place_are_seen_at_the_next_patch(guard, new_predictor, model_folders, kind):
    import torch

    guard("strict,NNG102=log")
    made = load(new_predictor(), model_folders["sound"])
    made.allowed_mirroring_axes = axes = KINDS[kind]([0])
    made._internal_maybe_mirror_and_predict(torch.zeros(1, 1, 64, 64))
    axes[0] = 7
    with pytest.raises(MirroringError):
        made._internal_maybe_mirror_and_predict(torch.zeros(1, 1, 64, 64))


@pytest.mark.parametrize("kind", ["array", "tensor"])
def test_a_trainer_that_declares_them_so_is_refused(guard, new_trainer, unmirrored, kind):
    class nnUNetTrainerWithArray(unmirrored):
        def configure_rotation_dummyDA_mirroring_and_inital_patch_size(self):
            configured = super().configure_rotation_dummyDA_mirroring_and_inital_patch_size()
            self.inference_allowed_mirroring_axes = KINDS[kind]([0, 1])
            return configured

    guard("strict")
    with pytest.raises(MirroringError) as raised:
        new_trainer(nnUNetTrainerWithArray).on_train_start()
    assert [finding.code for finding in raised.value.findings] == ["NNG103"]


@pytest.mark.parametrize("folds", [(0,), (0, 1)])
@pytest.mark.parametrize("kind", ["array", "tensor"])
def test_a_checkpoint_that_holds_them_so_is_unverified_and_never_malformed(
    guard, new_trainer, new_predictor, base, told, kind, folds
):
    class nnUNetTrainer(base):
        def configure_rotation_dummyDA_mirroring_and_inital_patch_size(self):
            configured = super().configure_rotation_dummyDA_mirroring_and_inital_patch_size()
            self.inference_allowed_mirroring_axes = KINDS[kind]([0, 1])
            return configured

    guard("exact")
    made = new_trainer(nnUNetTrainer)
    made.on_train_start()
    made.save_checkpoint(f"{made.output_folder}/{CHECKPOINT}")
    for fold in folds[1:]:
        shutil.copytree(made.output_folder, f"{made.output_folder_base}/fold_{fold}")
    assert {(finding.code, finding.severity) for finding in check_model(made.output_folder_base)} == {
        ("NNG108", "advisory")
    }
    # A predictor sees what PyTorch has loaded.
    load(new_predictor(), made.output_folder_base, folds)
    assert told.codes == []
