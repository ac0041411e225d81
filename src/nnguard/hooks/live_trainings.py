"""Every live trainer, and what is known of its training."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import Any

import msgspec

from ..axes import plain_axes
from ..nnunet import bare_network, name_of_trainer
from ..record import Apart, AxesHistory, Record, Segment, timestamp
from ..rules.subjects import Training
from ..training.segments import bounded, earlier, merged, mixture
from . import parent_training
from .identity_map import IdentityMap
from .origins import Origin


class LiveTraining(msgspec.Struct, eq=False):
    """What is known of one live trainer.

    ``record`` is what this process observed. ``origin`` is what came with the checkpoint that was loaded. ``epoch`` and
    ``steps`` (optimiser steps) count from that checkpoint, or from the start.
    """

    observed: bool = False
    #: whether ``trial_start`` built it: then no log is kept, because its caller reports the findings
    rehearsed: bool = False
    record: Record | None = None
    training: Training | None = None
    origin: Origin | None = None
    epoch: int = 0
    steps: int = 0
    #: a weak reference to the bare network that these steps train
    network: weakref.ref[Any] | None = None
    #: whether this object was started a second time, so that ``origin`` is its own first part
    again: bool = False
    judged_axes: Any = None
    #: It watches the first steps if the train step is not nnU-Net's own; ``None`` before and after.
    witness: Any = None
    #: whether the record changed since the rules last saw it. If a checkpoint is about to be written, the check waits
    #: until it is on disk, because a refusal must not cost the epochs since the last checkpoint.
    unjudged: bool = False
    #: the record in the checkpoint that is being saved
    saved: Record | None = None
    saved_text: str | None = None
    #: how many validations have begun; every rank has the same number
    validations: int = 0
    #: checkpoint's file name -> its weights, as the sidecar keeps them; ``None`` before the first
    weights: Any = None

    @property
    def goes_on(self) -> bool:
        """Whether something was trained before ``epoch``."""
        return self.origin is not None and (self.again or self.epoch > 0)

    @property
    def before(self) -> Record | None:
        """The record of what was trained before ``epoch``; ``None`` if nothing was."""
        return self.origin.record if self.origin is not None and self.goes_on else None


_live: IdentityMap[LiveTraining] = IdentityMap()
_validating: weakref.ref[Any] | None = None


def live_training(trainer: Any) -> LiveTraining:
    """What is known of ``trainer``. From now on it is a known trainer, if it was not."""
    return _live.get(trainer) or _live.put(trainer, LiveTraining())


def live_trainers() -> Iterator[Any]:
    """Every known trainer that still exists."""
    return (trainer for trainer, _training in _live.items())


def record_of(trainer: Any) -> Record | None:
    """The record that a checkpoint written now would get: this training's, joined to what came before it.

    ``None`` if nothing was observed, unless a checkpoint was loaded and not trained further.
    """
    training = _live.get(trainer)
    if training is None:
        return None
    if training.record is None:
        return training.origin.record if training.origin is not None and not training.steps else None
    own = Segment(
        epoch=training.epoch,
        steps=training.steps,
        fingerprint=training.record.segments[-1].fingerprint if training.record.segments else None,
        mirroring=training.record.mirroring,
    )
    segments = bounded(merged([*_earlier(trainer, training), own]))
    axes = training.record.axes
    effective = plain_axes(trainer.inference_allowed_mirroring_axes)
    if not same_plain(effective, axes.effective):
        axes = declared_axes(trainer)
    return msgspec.structs.replace(
        training.record,
        written_at=timestamp(),
        axes=axes,
        segments=segments,
        mirroring=mixture(segments),
        apart=_apart(training),
        parent=_parent(trainer, training),
    )


def _earlier(trainer: Any, training: LiveTraining) -> list[Segment]:
    origin = training.origin
    if origin is None or not training.goes_on:
        return []
    steps = training.epoch * getattr(trainer, "num_iterations_per_epoch", 1)
    return earlier(origin.record, origin.no_record, steps)


def _parent(trainer: Any, training: LiveTraining) -> dict[str, Any] | None:
    if training.goes_on:
        return training.before.parent if training.before is not None else None
    return parent_training.parents.get(bare_network(getattr(trainer, "network", None)))


def _apart(training: LiveTraining) -> Apart | None:
    """How many images were flipped apart from their segmentation, in this part of the training or an earlier one."""
    told = training.training
    if told is not None and training.record is not None and told.apart:
        return Apart(draws=told.apart, clean=training.record.mirroring.clean)
    return training.before.apart if training.before is not None else None


def trainer_of(network: Any) -> Any:
    """The live trainer that holds this network; ``None`` if there is none."""
    for trainer, _training in _live.items():
        own = getattr(trainer, "network", None)
        if own is not None and bare_network(own) is bare_network(network):
            return trainer
    return None


def trainer_validating(name: str | None) -> Any:
    """The trainer that is validating, if its class has this name."""
    running = _validating() if _validating is not None else None
    return running if running is not None and type(running).__name__ == name else None


def note_validation(trainer: Any) -> None:
    """Notes which trainer is validating from now on; ``None`` if none is."""
    global _validating
    _validating = weakref.ref(trainer) if trainer is not None else None


def subject_of(trainer: Any) -> str:
    """The training for people, as ``Training.subject`` names it."""
    training = _live.get(trainer)
    if training is not None and training.training is not None:
        return training.training.subject
    return name_of_trainer(trainer)


def decides(trainer: Any) -> bool:
    """Whether this is the first rank, which observes, watches, decides and writes."""
    return getattr(trainer, "local_rank", 0) == 0


def is_left_to_the_first_rank(network: Any) -> bool:
    """Whether this network is trained here by another rank than the first, which decides for all."""
    trainer = trainer_of(network)
    return trainer is not None and not decides(trainer) and live_training(trainer).observed


def declared_axes(trainer: Any) -> AxesHistory:
    axes = plain_axes(trainer.inference_allowed_mirroring_axes)
    return AxesHistory(declared=axes, effective=axes)


def same_plain(first: Any, second: Any) -> bool:
    return plain_axes(first) == plain_axes(second)
