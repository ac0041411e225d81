"""Narrows mirroring axes under ``correct``: a training's declared axes, and a predictor's axes in use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from ..axes import plain_axes, same_axes, written
from ..record import AxesHistory, Record, timestamp
from ..rules.subjects import Prediction
from ..rules.verdicts import narrowed_axes
from .live_trainings import LiveTraining, same_plain
from .loaded_weights import Weights


def narrow_declared_axes(trainer: Any, training: LiveTraining, record: Record) -> str | None:
    declared = trainer.inference_allowed_mirroring_axes
    narrowed = narrowed_axes(record, declared)
    if same_axes(narrowed, declared) and narrowed is declared:
        return None
    try:
        trainer.inference_allowed_mirroring_axes = narrowed
    except AttributeError:
        return None
    if not same_plain(trainer.inference_allowed_mirroring_axes, narrowed):
        return None  # a property that ignores what is assigned
    assert training.record is not None
    axes = AxesHistory(
        declared=plain_axes(declared), effective=plain_axes(narrowed), changed_by="correct", changed_at=timestamp()
    )
    before = training.before
    if before is not None and before.axes.changed_by == "correct" and same_axes(before.axes.effective, narrowed):
        # The first correction keeps its time: what was validated after it stays valid when the training goes on.
        axes = msgspec.structs.replace(axes, changed_at=before.axes.changed_at)
    training.record = msgspec.structs.replace(training.record, axes=axes)
    return f"inference_allowed_mirroring_axes is {written(narrowed)} from now on, in validation and every checkpoint."


def narrow_axes_in_use(predictor: Any, weights: Sequence[Weights], predictions: Sequence[Prediction]) -> str | None:
    before = predictor.allowed_mirroring_axes
    narrowed = before
    for one, prediction in zip(weights, predictions, strict=True):
        narrowed = narrowed_axes(one.origin.record, narrowed, prediction.measured, prediction.spatial_dims)
    if narrowed is before:
        return None
    predictor.allowed_mirroring_axes = narrowed
    return f"this predictor mirrors along {written(narrowed)} instead of {written(before)}."
