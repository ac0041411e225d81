"""Sentences that several mirroring rules say."""

from __future__ import annotations

from typing import Any

from ..axes import written
from ..record import Axes, Record
from .subjects import Prediction
from .verdicts import correctable, unsettled_flips
from .words import flip_names, training_showed


def seen_words(record: Record, flips: list[Axes], uses: str) -> str:
    """Trained with X; predictor uses Y; and which verdicts are only estimates."""
    unsettled = unsettled_flips(record, [flip for flip in flips if record.mirroring.flip(flip)])
    caveat = (
        f"; too few draws to settle {flip_names(unsettled, record)}, which is judged by its estimate"
        if unsettled
        else ""
    )
    return f"{training_showed(record, flips)}; {uses}{caveat}"


def grade_words(record: Record, flips: list[Axes]) -> str:
    """What makes a verdict advisory, for its first sentence; nothing if it is settled."""
    if record.mirroring.state == "declared":
        return " (as the model's owner says)"
    return "" if correctable(record, flips) else " (an estimate)"


def predictor_uses(prediction: Prediction) -> str:
    """What the predictor uses, and where that comes from."""
    if not prediction.use_mirroring:
        return "predictor uses no mirroring (--disable_tta or use_mirroring=False)"
    return f"predictor uses axes {written(prediction.axes)}, from {prediction.axes_from}"


def trainer_declares(axes: Any) -> str:
    return f"the trainer declares {written(axes)}"
