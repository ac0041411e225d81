"""Trainings whose declared axes change on the way: what the checkpoint declares is what has to be judged."""

from __future__ import annotations

from pathlib import Path

import pytest

from nnguard.checkpoint import read_checkpoint
from nnguard.hooks import trainer as hook

pytestmark = pytest.mark.filterwarnings("ignore::nnguard.ConsistencyWarning")


def trained(new_trainer, kind, epochs, *, steps=1, **options):
    made = new_trainer(kind, **options)
    made.num_epochs, made.num_iterations_per_epoch = epochs, steps
    made.run_training()
    return made


def saved(made, name="checkpoint_final.pth"):
    return read_checkpoint(Path(made.output_folder) / name).record()


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
