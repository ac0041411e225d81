"""Finds the live trainer that a saved dictionary belongs to, and the record that goes into it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from ..axes import plain_axes
from ..nnunet import AXES_KEY, WEIGHTS_KEY
from ..record import CHECKPOINT_KEY, AxesHistory
from .live_trainings import live_trainers, live_training, record_of, same_plain
from .origins import loaded_with

#: Stands for axes that a checkpoint does not have; ``None`` means "no mirroring".
_UNSAID = "no axes"


def record_text_for(checkpoint: Mapping[str, Any]) -> str | None:
    """The record of the one live trainer that this checkpoint belongs to; ``None`` if none or several fit."""
    owners = list(_owners(checkpoint))
    if len(owners) != 1:
        return None
    record = record_of(owners[0])
    axes = plain_axes(checkpoint.get(AXES_KEY, _UNSAID))
    if record is not None and axes != _UNSAID and not same_plain(axes, record.axes.effective):
        # A subclass's save_checkpoint may write other axes. The record describes the file.
        record = msgspec.structs.replace(record, axes=AxesHistory(declared=axes, effective=axes))
    training = live_training(owners[0])
    training.saved, training.saved_text = record, record.to_json() if record is not None else None
    return training.saved_text


def _owners(checkpoint: Mapping[str, Any]) -> Iterator[Any]:
    alive = list(live_trainers())
    init_args = checkpoint["init_args"]
    same = [trainer for trainer in alive if getattr(trainer, "my_init_kwargs", None) is init_args]
    if same:
        yield from same
        return
    # A subclass may save a copy of its arguments. A loaded checkpoint that is edited and saved again belongs to
    # another training, even if the arguments are equal.
    if CHECKPOINT_KEY in checkpoint or loaded_with(checkpoint[WEIGHTS_KEY]):
        return
    for trainer in alive:
        if type(trainer).__name__ == checkpoint["trainer_name"] and trainer.my_init_kwargs == init_args:
            yield trainer
