"""Trainings whose mirroring, or whose declared axes, change on the way: judged by all that the network was shown."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

import nnguard
from nnguard.checkpoint import read_checkpoint
from nnguard.hooks import trainer as hook

pytestmark = pytest.mark.filterwarnings("ignore::nnguard.ConsistencyWarning")


def scheduled(base, mirrors, change):
    """A trainer whose pipeline mirrors where ``mirrors(epoch)`` says so; ``change(trainer)`` runs as epochs begin."""

    class nnUNetTrainerScheduled(base):
        def get_training_transforms(self, patch_size, rotation, scales, mirror_axes, *arguments, **options):
            axes = mirror_axes if mirrors(self.current_epoch) else None
            return base.get_training_transforms(patch_size, (-0.05, 0.05), scales, axes, *arguments, **options)

        def on_epoch_start(self):
            super().on_epoch_start()
            if self.current_epoch > 0:
                change(self)

    return nnUNetTrainerScheduled


def with_new_loaders(trainer):
    trainer.dataloader_train, trainer.dataloader_val = trainer.get_dataloaders()


def with_another_pipeline_in_the_loader(trainer):
    """Without workers an edit takes effect at once."""
    loader = trainer.dataloader_train.data_loader
    loader.transforms = trainer.get_dataloaders()[0].data_loader.transforms


def trained(new_trainer, kind, epochs, *, steps=1, **options):
    made = new_trainer(kind, **options)
    made.num_epochs, made.num_iterations_per_epoch = epochs, steps
    made.run_training()
    return made


def saved(made, name="checkpoint_final.pth"):
    return read_checkpoint(Path(made.output_folder) / name).record()


@pytest.mark.parametrize(
    "change", [with_new_loaders, pytest.param(with_another_pipeline_in_the_loader, marks=pytest.mark.slow)]
)
def test_mirroring_that_ends_early_is_rare_by_estimate_and_refused_at_the_end_by_exact(
    guard, new_trainer, base, change
):
    guard("exact")
    made = new_trainer(scheduled(base, lambda epoch: epoch == 0, change))
    made.num_epochs, made.num_iterations_per_epoch = 4, 1
    with pytest.raises(nnguard.MirroringError) as raised:
        made.run_training()
    assert [finding.code for finding in raised.value.findings] == ["NNG103"]
    record = saved(made)
    assert [segment.steps for segment in record.segments] == [1, 3]
    assert (record.mirroring.state, record.mirroring.safe_axes) == ("observed", ())
    assert {flip.verdict for flip in record.mirroring.flips} == {"rare"}


@pytest.mark.slow
def test_mirroring_that_ends_in_the_last_epochs_is_as_good_as_ever_and_nobody_is_stopped(guard, new_trainer, base):
    guard("exact")
    made = trained(new_trainer, scheduled(base, lambda epoch: epoch < 3, with_new_loaders), 4)
    record = saved(made)
    assert [segment.steps for segment in record.segments] == [3, 1]
    assert record.mirroring.safe_axes == (0, 1)
    assert hook.findings_of(made) == []


@pytest.mark.slow
def test_mirroring_that_begins_later_is_told_of_at_the_start_and_counted_in_the_end(guard, new_trainer, base, told):
    guard("warn")
    made = trained(new_trainer, scheduled(base, lambda epoch: epoch > 0, with_new_loaders), 4)
    assert told.codes == ["NNG103"]
    assert saved(made).mirroring.safe_axes == (0, 1)
    assert hook.findings_of(made) == []


def test_a_loader_that_is_made_anew_and_shows_the_same_is_no_stretch_of_its_own(guard, new_trainer, base, monkeypatch):
    guard("exact")
    looks = []
    observe = hook._observation_of
    monkeypatch.setattr(
        hook, "_observation_of", lambda trainer: looks.append(trainer.current_epoch) or observe(trainer)
    )
    made = new_trainer(scheduled(base, lambda epoch: True, with_new_loaders))
    made.on_train_start()
    hook.training_in_hand(made).steps = 5
    for made.current_epoch in range(1, 9):
        made.on_epoch_start()
        made.on_train_epoch_start()
    assert [segment.steps for segment in hook.record_of(made).segments] == [5]
    # Each look that finds nothing makes the next one wait twice as long.
    assert looks == [0, 1, 3, 7]


def test_nothing_is_observed_again_where_nothing_changes(guard, new_trainer, base, monkeypatch):
    guard("exact")
    made = trained(new_trainer, base, 1)
    monkeypatch.setattr(hook, "_observation_of", lambda trainer: pytest.fail("looked again"))
    made.on_train_epoch_start()


@pytest.mark.parametrize("mode", ["warn", "strict"])
def test_an_edit_that_workers_never_see_is_told_of_and_stops_nothing_before_a_checkpoint_is_safe(
    guard, new_trainer, base, told, mode
):
    class nnUNetTrainerEditsLate(base):
        def on_epoch_start(self):
            super().on_epoch_start()
            steps = self.dataloader_train.generator.transforms.transforms
            steps[:] = [step for step in steps if type(step).__name__ != "MirrorTransform"]

    guard(mode)
    made = new_trainer(nnUNetTrainerEditsLate, workers=1)
    made.on_train_start()
    assert told.codes == []
    hook.training_in_hand(made).steps = 5
    made.on_epoch_start()
    made.on_train_epoch_start()  # a refusal here would cost the five steps
    assert told.codes == (["NNG115"] if mode == "warn" else [])
    checkpoint = Path(made.output_folder) / "checkpoint_latest.pth"
    refusal = contextlib.nullcontext() if mode == "warn" else pytest.raises(nnguard.InconsistencyError, match="NNG115")
    with refusal:
        made.save_checkpoint(str(checkpoint))
    assert checkpoint.exists()
    assert hook.record_of(made).mirroring.safe_axes == (0, 1)


@pytest.mark.slow
def test_a_step_that_is_set_in_a_later_epoch_is_watched_from_there(guard, new_trainer, unmirrored):
    def flipped(trainer):
        own = trainer.train_step
        trainer.train_step = lambda batch: own(
            {"data": batch["data"].flip(2), "target": [target.flip(2) for target in batch["target"]]}
        )

    class nnUNetTrainerSetsItsStep(unmirrored):
        def on_train_epoch_start(self):
            super().on_train_epoch_start()
            if self.current_epoch == 1:
                flipped(self)

    guard("warn")
    made = trained(new_trainer, nnUNetTrainerSetsItsStep, 2, steps=32)
    record = saved(made)
    assert [segment.steps for segment in record.segments] == [32, 32]
    assert record.segments[1].mirroring.plain_rate == 0
    assert record.mirroring.flip((0,)).rate == pytest.approx(0.5)


def stepping_from(unmirrored, epoch):
    """A trainer whose train step flips every other case from this epoch on."""

    class nnUNetTrainerStepsLater(unmirrored):
        def train_step(self, batch):
            if self.current_epoch >= epoch:
                for tensor in (batch["data"], *batch["target"]):
                    tensor[::2] = tensor[::2].flip(2)
            return super().train_step(batch)

    return nnUNetTrainerStepsLater


def stepped(made, epochs, steps=32):
    """Trains without what comes between nnU-Net's epochs."""
    made.num_epochs = 100
    made.on_train_start()
    made.network.train()
    for made.current_epoch in epochs:
        made.on_train_epoch_start()
        for _ in range(steps):
            made.train_step(next(made.dataloader_train))


@pytest.mark.slow
def test_a_step_that_flips_from_a_later_epoch_on_is_seen_when_the_witness_comes_back(guard, new_trainer, unmirrored):
    guard("warn")
    made = new_trainer(stepping_from(unmirrored, 2))
    stepped(made, range(4))
    record = hook.record_of(made)
    # Begun in epoch 2, seen in epoch 3: there are watches in the epochs 1, 3, 7, ...
    first, second = record.segments
    assert (first.epoch, second.epoch, first.steps + second.steps) == (0, 3, 128)
    assert (first.mirroring.safe_axes, second.mirroring.safe_axes) == ((), (0,))
    assert hook.training_in_hand(made).witness is None


@pytest.mark.parametrize("epoch", [0, 9])
def test_a_witness_that_comes_back_and_sees_the_same_changes_nothing(guard, new_trainer, unmirrored, epoch):
    guard("warn")
    made = new_trainer(stepping_from(unmirrored, epoch))
    stepped(made, range(2))
    record = hook.record_of(made)
    assert [segment.steps for segment in record.segments] == [64]
    assert record.mirroring.safe_axes == ((0,) if epoch == 0 else ())


def test_a_step_of_nnunets_own_is_never_watched(guard, new_trainer, unmirrored):
    guard("warn")
    made = new_trainer(unmirrored)
    made.on_train_start()
    made.current_epoch = 1
    made.on_train_epoch_start()
    assert hook.training_in_hand(made).witness is None


@pytest.mark.slow
def test_a_schedule_changes_no_weight(guard, new_trainer, base):
    import numpy
    import torch

    weights = []
    for mode in ("off", "warn"):
        guard(mode)
        torch.manual_seed(3)
        made = new_trainer(scheduled(base, lambda epoch: epoch == 0, with_another_pipeline_in_the_loader))
        made.num_epochs = 2
        made.initialize()
        torch.manual_seed(4)
        numpy.random.seed(5)
        made.run_training()
        weights.append([value.clone() for value in made.network.state_dict().values()])
    assert all(torch.equal(first, second) for first, second in zip(*weights, strict=True))


# ---------------------------------------------------------------- axes


def declaring_in(base, method, axes):
    def override(self, *arguments):
        self.inference_allowed_mirroring_axes = axes
        return getattr(base, method)(self, *arguments)

    return type("nnUNetTrainerDeclaresLate", (base,), {method: override})


@pytest.mark.parametrize("method", ["save_checkpoint", "on_train_end"])
def test_axes_that_are_set_late_are_judged_and_the_record_has_them(guard, new_trainer, unmirrored, told, method):
    class nnUNetTrainerForbids(unmirrored):
        def get_dataloaders(self):
            loaders = super().get_dataloaders()
            self.inference_allowed_mirroring_axes = None
            return loaders

    guard("warn")
    made = trained(new_trainer, declaring_in(nnUNetTrainerForbids, method, (0, 1)), 1)
    assert told.codes == ["NNG103"]
    record = saved(made)
    assert (record.axes.declared, record.axes.effective) == ([0, 1], [0, 1])


def test_axes_that_only_the_file_has_are_those_of_its_record(guard, new_trainer, base):
    import torch

    class nnUNetTrainerWritesItsOwn(base):
        def save_checkpoint(self, filename):
            weights, made_with = self.network.state_dict(), self.my_init_kwargs
            checkpoint = {"network_weights": weights, "init_args": made_with, "trainer_name": type(self).__name__}
            torch.save({**checkpoint, "inference_allowed_mirroring_axes": (1,)}, filename)

    guard("warn")
    made = trained(new_trainer, nnUNetTrainerWritesItsOwn, 1)
    assert saved(made).axes.effective == [1]
    assert made.inference_allowed_mirroring_axes == (0, 1)


@pytest.mark.parametrize("settable", [True, False])
def test_axes_that_cannot_be_narrowed_are_told_of_and_nobody_claims_that_they_were(
    guard, new_trainer, unmirrored, told, settable
):
    class nnUNetTrainerHasAProperty(unmirrored):
        started = False

        @property
        def inference_allowed_mirroring_axes(self):
            return (0, 1)

        @inference_allowed_mirroring_axes.setter
        def inference_allowed_mirroring_axes(self, value):
            if self.started and not settable:
                raise AttributeError("no")

        def get_dataloaders(self):
            loaders = super().get_dataloaders()
            self.started = True
            return loaders

    guard("correct")
    made = new_trainer(nnUNetTrainerHasAProperty)
    made.on_train_start()
    assert told.codes == ["NNG103"]
    assert "from now on" not in told.texts[0]
    record = hook.record_of(made)
    assert (record.axes.effective, record.axes.changed_by) == ([0, 1], None)
