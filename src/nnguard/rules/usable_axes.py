"""The axes that a predictor uses and those that a trainer declares, and whether nnU-Net can use them."""

from __future__ import annotations

from typing import Any

import msgspec

from ..axes import normalise, problem_with
from ..record import Axes, Record
from .subjects import Prediction
from .verdicts import dimensions


def in_use(prediction: Prediction) -> Any:
    """The predictor's axes, verbatim; ``None`` if it does not mirror, ``UNSET`` if only running the file would tell."""
    return prediction.axes if prediction.use_mirroring else None


def problem_in_use(record: Record | None, prediction: Prediction) -> str | None:
    """Why nnU-Net cannot use the axes, in words; ``None`` if it can, or if nobody knows them."""
    axes = in_use(prediction)
    if axes is msgspec.UNSET:
        return None
    return problem_with(axes, dimensions(prediction.spatial_dims, record.spatial_dims if record else None))


def usable_in_use(record: Record | None, prediction: Prediction) -> Axes | None:
    """The predictor's axes as a sorted tuple; ``None`` if nnU-Net cannot use them, or if nobody knows them."""
    axes = in_use(prediction)
    if axes is msgspec.UNSET or problem_in_use(record, prediction):
        return None
    return normalise(axes)


def declared(record: Record) -> Any:
    """The trainer's axes, verbatim, as they are now."""
    return record.axes.effective if record.axes.changed_by else record.axes.declared


def problem_with_declared(record: Record) -> str | None:
    """Why nnU-Net cannot use them, in words; ``None`` if it can."""
    return problem_with(declared(record), dimensions(record.spatial_dims))
