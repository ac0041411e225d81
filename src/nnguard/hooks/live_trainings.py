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

    ``record`` is this process's own observation; ``origin`` what came with the checkpoint that was loaded;
    ``epoch`` and ``steps`` (optimiser steps) count from that checkpoint, or from nothing.
    """

    observed: bool = False
    #: built to be looked at and taken down again: whoever asked says what was found, and no log is kept
    rehearsed: bool = False
    record: Record | None = None
    training: Training | None = None
    origin: Origin | None = None
    epoch: int = 0
    steps: int = 0
    #: weakly, the bare network that these steps train
    network: weakref.ref[Any] | None = None
    #: whether this object was started a second time, and ``origin`` is its own first stretch
    again: bool = False
    judged_axes: Any = None
    #: watches the first steps of a train step that is not nnU-Net's own; ``None`` before and after
    witness: Any = None
    #: settled, or axes set again, while a checkpoint was about to be written: judged once it is safe on the
    #: disk, for a refusal must not cost the epochs since the last one
    unjudged: bool = False
    #: the record in the checkpoint that is being saved
    saved: Record | None = None
    saved_text: str | None = None
    #: how many validations have begun: ranks count alike
    validations: int = 0
    #: checkpoint's file name -> its weights, as ``nnguard.json`` keeps them; ``None`` before the first
    weights: Any = None

    @property
    def goes_on(self) -> bool:
        """Whether there is a history before ``epoch``."""
        return self.origin is not None and (self.again or self.epoch > 0)

    @property
    def before(self) -> Record | None:
        """What was recorded until ``epoch``, where this training goes on from there."""
        return self.origin.record if self.origin is not None and self.goes_on else None


_live: IdentityMap[LiveTraining] = IdentityMap()
_validating: weakref.ref[Any] | None = None


def live_training(trainer: Any) -> LiveTraining:
    """What is known of ``trainer``, from now on if nothing was."""
    return _live.get(trainer) or _live.put(trainer, LiveTraining())


def live_trainers() -> Iterator[Any]:
    """All that are alive and known."""
    return (trainer for trainer, _training in _live.items())


def record_of(trainer: Any) -> Record | None:
    """The record that a checkpoint written now would get: this training's, with what came before it.

    ``None`` where nothing was observed, unless it came with a loaded checkpoint that was not trained on here.
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
    """What was seen of images flipped apart from their targets, now or in what this training goes on from."""
    told = training.training
    if told is not None and training.record is not None and told.apart:
        return Apart(draws=told.apart, clean=training.record.mirroring.clean)
    return training.before.apart if training.before is not None else None


def trainer_of(network: Any) -> Any:
    """The live trainer whose network this is."""
    for trainer, _training in _live.items():
        own = getattr(trainer, "network", None)
        if own is not None and bare_network(own) is bare_network(network):
            return trainer
    return None


def trainer_validating(name: str | None) -> Any:
    """The trainer that is validating, where its class has this name."""
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
