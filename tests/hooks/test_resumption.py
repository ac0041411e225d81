"""Real trainers resumed, fine-tuned, and finished: what changed is told, and what a network was shown stays known."""

from __future__ import annotations

from pathlib import Path

import pytest

from nnguard.checkpoint import read_checkpoint
from nnguard.hooks import trainer as hook
from tests.support.trainers import shut_down


def trained(made):
    """One epoch, saved as nnU-Net saves it: the next resume goes on at epoch 1."""
    made.run_training()
    return str(Path(made.output_folder) / "checkpoint_final.pth")


def resumed(new_trainer, kind, path, epochs=2):
    made = new_trainer(kind)
    made.load_checkpoint(path)
    made.num_epochs = epochs
    return made


def fine_tune(made, path):
    """As nnUNetv2_train does with ``-pretrained_weights``."""
    from nnunetv2.run import run_training

    run_training.maybe_load_checkpoint(made, False, False, path)


def test_a_resume_under_changed_code_says_what_changed(guard, new_trainer, base, unmirrored, told):
    guard("warn")
    made = resumed(new_trainer, unmirrored, trained(new_trainer(base)))
    made.on_train_start()
    assert "NNG107" in told.codes
    [text] = [text for text in told.texts if text.split()[0] == "NNG107"]
    assert "removed MirrorTransform" in " ".join(text.split())


@pytest.mark.filterwarnings("ignore::nnguard.ConsistencyWarning")
@pytest.mark.parametrize(("before", "since"), [("correct", True), ("warn", False)])
def test_axes_that_stay_corrected_are_as_old_as_the_first_correction(
    guard, new_trainer, unmirrored, monkeypatch, before, since
):
    """What was validated in between is not stale because the training goes on."""
    guard(before)
    first = new_trainer(unmirrored)
    path = trained(first)
    monkeypatch.setattr(hook, "timestamp", lambda: "2099-01-01T00:00:00Z")
    guard("correct")
    made = resumed(new_trainer, unmirrored, path)
    made.on_train_start()
    axes = hook.record_of(made).axes
    assert (axes.effective, axes.changed_by) == (None, "correct")
    assert (axes.changed_at == read_checkpoint(path).record().axes.changed_at) == since


def test_a_resume_under_the_same_code_says_nothing(guard, new_trainer, base, told):
    guard("warn")
    resumed(new_trainer, base, trained(new_trainer(base))).on_train_start()
    assert told.codes == []


@pytest.mark.filterwarnings("ignore::nnguard.ConsistencyWarning")
def test_the_model_of_issue_2552_resumed_after_its_last_epoch_under_sound_code_is_as_harmful(
    guard, new_trainer, base, unmirrored, told
):
    guard("warn")
    path = trained(new_trainer(unmirrored))
    made = resumed(new_trainer, base, path, epochs=1)
    made.run_training()
    assert read_checkpoint(path).record().mirroring.safe_axes == ()
    assert "NNG107" not in told.codes
    assert "NNG103" in [finding.code for finding in hook.findings_of(made)]


def test_fine_tuning_starts_a_new_history_and_names_its_parent(guard, new_trainer, base, unmirrored):
    guard("warn")
    parent = new_trainer(base)
    path = trained(parent)
    made = new_trainer(type("nnUNetTrainerFineTuned", (base,), {}))
    fine_tune(made, path)
    made.on_train_start()
    record = hook.record_of(made)
    assert record.parent["file"] == "checkpoint_final.pth"
    assert record.parent["trainer"] == "nnUNetTrainer"
    assert record.parent["mirroring"]["safe_axes"] == [0, 1]
    assert len(record.segments) == 1
    assert record.segments[0].epoch == 0
    shut_down(made)

    made.run_training()
    again = resumed(new_trainer, type(made), str(Path(made.output_folder) / "checkpoint_final.pth"))
    again.on_train_start()
    assert hook.record_of(again).parent == record.parent


def test_a_parent_without_a_record_is_named_with_the_reason(guard, new_trainer, base):
    guard("off")
    path = trained(new_trainer(base))
    guard("warn")
    made = new_trainer(type("nnUNetTrainerFineTuned", (base,), {}))
    fine_tune(made, path)
    made.on_train_start()
    parent = hook.record_of(made).parent
    assert parent["trainer"] == "nnUNetTrainer"
    assert "without nnguard" in parent["no_record"]


def test_a_training_of_its_own_has_no_parent(guard, new_trainer, base):
    guard("warn")
    made = new_trainer(base)
    made.on_train_start()
    assert hook.record_of(made).parent is None


@pytest.mark.filterwarnings("ignore::nnguard.ConsistencyWarning")
@pytest.mark.slow
def test_a_trainer_that_is_run_twice_keeps_the_steps_of_its_first_run(guard, new_trainer, base, unmirrored, told):
    guard("warn")
    made = new_trainer(unmirrored)
    made.run_training()
    made.num_epochs = 2
    type(made).get_training_transforms, plain = (
        staticmethod(base.get_training_transforms),
        type(made).__dict__["get_training_transforms"],
    )
    try:
        made.run_training()
    finally:
        type(made).get_training_transforms = plain
    segments = hook.record_of(made).segments
    assert [(segment.epoch, segment.steps) for segment in segments] == [(0, 2), (1, 2)]
    assert [segment.mirroring.safe_axes for segment in segments] == [(), (0, 1)]
    assert "NNG107" in told.codes


@pytest.mark.slow
def test_a_second_run_of_the_same_pipeline_is_one_stretch_with_all_steps(guard, new_trainer, base):
    guard("warn")
    made = new_trainer(base)
    made.run_training()
    made.num_epochs = 2
    made.run_training()
    [segment] = hook.record_of(made).segments
    assert segment.steps == 4


def test_steps_of_an_epoch_that_was_broken_off_count_when_the_trainer_is_started_again(guard, new_trainer, base):
    guard("warn")
    made = new_trainer(base)
    made.on_train_start()
    made.network.train()
    made.train_step(next(made.dataloader_train))
    shut_down(made)
    made.run_training()
    assert sum(segment.steps for segment in hook.record_of(made).segments) == 3


@pytest.mark.slow
def test_another_network_on_the_same_trainer_starts_a_new_history(guard, new_trainer, base):
    guard("warn")
    made = new_trainer(base)
    made.run_training()
    made.was_initialized = False
    made.initialize()
    made.num_epochs = 2
    made.run_training()
    assert sum(segment.steps for segment in hook.record_of(made).segments) == 2
