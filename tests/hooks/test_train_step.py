"""Trainers whose train step is their own, trained for real: pending, then settled within the first steps."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from nnguard import MirroringError
from nnguard.hooks import trainer as hook
from nnguard.probe.witness import LOOKS


def flips_in_step(base, axis, declared):
    """A trainer whose loader does not mirror; each case is flipped in ``train_step`` with p = 0.5, on the device."""

    class nnUNetTrainerFlipsInStep(base):
        def configure_rotation_dummyDA_mirroring_and_inital_patch_size(self):
            _, dummy, size, _ = super().configure_rotation_dummyDA_mirroring_and_inital_patch_size()
            self.inference_allowed_mirroring_axes = declared
            return (-0.05, 0.05), dummy, size, None

        def train_step(self, batch):
            data, targets = batch["data"], batch["target"]
            for case in range(len(data)):
                if torch.rand(1).item() < 0.5:
                    data[case] = torch.flip(data[case], [axis + 1])
                    for target in targets:
                        target[case] = torch.flip(target[case], [axis + 1])
            return super().train_step(batch)

    return nnUNetTrainerFlipsInStep


@pytest.fixture
def stepping(new_trainer, base):
    def make(axis, declared, iterations=LOOKS[0] + 2):
        made = new_trainer(flips_in_step(base, axis, declared))
        made.num_iterations_per_epoch = iterations
        made.configuration_manager.configuration["batch_size"] = 8
        return made

    return make


def test_a_sound_trainer_that_flips_only_in_its_train_step_trains_on_and_is_settled(guard, stepping, told):
    guard("strict")
    made = stepping(0, (0,))
    made.on_train_start()
    training = hook.live_training(made)
    assert training.record.mirroring.state == "pending"
    assert json.loads((Path(made.output_folder) / "nnguard.json").read_text())["mirroring"]["state"] == "pending"
    steps(made)
    mirroring = hook.record_of(made).mirroring
    assert (mirroring.state, mirroring.safe_axes) == ("observed", (0,))
    assert mirroring.flip((0,)).source == "step"
    assert told.codes == []


def test_strict_refuses_within_the_first_steps_what_the_train_step_does_not_show(guard, stepping):
    guard("strict")
    made = stepping(0, (0, 1))
    made.on_train_start()
    with pytest.raises(MirroringError) as raised:
        steps(made)
    assert [finding.code for finding in raised.value.findings] == ["NNG103"]
    assert hook.live_training(made).steps == LOOKS[0]


def test_correct_narrows_as_soon_as_it_is_settled(guard, stepping, told):
    guard("correct")
    made = stepping(0, (0, 1))
    made.on_train_start()
    assert made.inference_allowed_mirroring_axes == (0, 1)
    steps(made)
    assert made.inference_allowed_mirroring_axes == (0,)
    assert hook.record_of(made).axes.changed_by == "correct"
    assert told.codes == ["NNG103"]


def test_a_step_of_nnunets_own_is_never_watched(guard, new_trainer, base):
    guard("warn")
    made = new_trainer(base)
    made.on_train_start()
    assert hook.live_training(made).witness is None


def test_nobody_listens_any_more_when_it_is_settled(guard, stepping):
    guard("warn")
    made = stepping(0, (0,))
    made.on_train_start()
    steps(made)
    assert hook.live_training(made).witness is None
    assert not any(module._forward_pre_hooks for module in made.loss.modules())


@pytest.mark.filterwarnings("ignore::nnguard.ConsistencyWarning")
def test_a_training_that_ends_before_it_is_settled_is_unknown_and_says_why(guard, stepping):
    guard("strict")
    made = stepping(0, (0, 1), iterations=2)
    made.run_training()
    mirroring = hook.record_of(made).mirroring
    assert mirroring.state == "unknown"
    assert "train_step" in mirroring.reasons[0]


def test_a_step_that_never_flips_is_refused_when_that_is_settled(guard, new_trainer, unmirrored):
    class nnUNetTrainerWithAStep(unmirrored):
        def train_step(self, batch):
            return super().train_step(batch)

    guard("strict")
    made = new_trainer(nnUNetTrainerWithAStep)
    made.on_train_start()
    with pytest.raises(MirroringError, match="NNG103"):
        steps(made, LOOKS[1])
    assert hook.live_training(made).steps == LOOKS[1]


@pytest.mark.filterwarnings("ignore::nnguard.ConsistencyWarning")
def test_a_train_step_that_hides_its_target_is_unknown_and_refused_by_nobody(guard, new_trainer, unmirrored):
    class nnUNetTrainerOwnLoss(unmirrored):
        def train_step(self, batch):
            return {"loss": 0.0}

    guard("strict")
    made = new_trainer(nnUNetTrainerOwnLoss)
    made.on_train_start()
    assert hook.record_of(made).mirroring.state == "pending"
    steps(made, 2)
    assert hook.record_of(made).mirroring.state == "pending"
    made.current_epoch = 1
    steps(made, 1)
    assert hook.record_of(made).mirroring.state == "unknown"


def test_a_loss_that_nobody_can_listen_to_is_unknown_from_the_start(guard, new_trainer, unmirrored):
    class nnUNetTrainerPlainLoss(unmirrored):
        def _build_loss(self):
            return lambda output, target: output[0].mean()

        def train_step(self, batch):
            return super().train_step(batch)

    guard("warn")
    made = new_trainer(nnUNetTrainerPlainLoss)
    made.on_train_start()
    mirroring = hook.record_of(made).mirroring
    assert mirroring.state == "unknown"
    assert "no module" in mirroring.reasons[0]


@pytest.mark.parametrize("backend", [None, pytest.param("aot_eager", marks=pytest.mark.slow)])
def test_a_watched_training_is_bit_identical_to_an_unwatched_one(guard, stepping, backend):
    weights = []
    for mode in ("off", "warn"):
        guard(mode)
        torch.manual_seed(3)
        made = stepping(0, (0,))
        made.initialize()
        if backend is not None:
            made.network, made.loss = (torch.compile(part, backend=backend) for part in (made.network, made.loss))
        made.on_train_start()
        torch.manual_seed(4)
        np.random.seed(5)
        steps(made, 6)
        weights.append([value.clone() for value in made.network.state_dict().values()])
    assert all(torch.equal(first, second) for first, second in zip(*weights, strict=True))


def steps(made, number=None):
    made.network.train()
    for _ in range(number or made.num_iterations_per_epoch):
        made.train_step(next(made.dataloader_train))


def test_a_loss_compiled_in_place_is_declined_with_the_reason_and_trains_as_ever(guard, new_trainer, unmirrored):
    class nnUNetTrainerCompiledLoss(unmirrored):
        def _build_loss(self):
            loss = super()._build_loss()
            loss.compile(backend="eager")
            return loss

        def train_step(self, batch):
            return super().train_step(batch)

    guard("warn")
    made = new_trainer(nnUNetTrainerCompiledLoss)
    made.on_train_start()
    training = hook.live_training(made)
    assert training.witness is None
    assert not made.loss._forward_pre_hooks
    mirroring = hook.record_of(made).mirroring
    assert mirroring.state == "unknown"
    assert mirroring.reasons[0].endswith("the loss is compiled")
    steps(made, 1)
    assert training.steps == 1
