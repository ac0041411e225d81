"""What a fold's training and its validation scored, per label, from what nnU-Net itself logged and wrote."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec

from ..fold import Fold, argument_of
from ..nnunet import SUMMARY_FILE
from ..rules.subjects import Scores
from .file_content import read_beside, read_json


def scores_of(fold: Fold) -> Scores:
    """The scores of one fold; what is not there, or cannot be read, is ``None`` or missing."""
    checkpoint = fold.checkpoint
    logged = checkpoint.logging if checkpoint is not None else {}
    labels = labels_of(argument_of(fold, "dataset_json"))
    summary = _summary_of(fold)
    validated = {labels.get(key, key): label for key, label in summary.mean.items()} if summary is not None else {}
    return Scores(
        pseudo=_last_number(logged.get("mean_fg_dice") or logged.get("ema_fg_dice")),
        pseudo_labels=_pseudo_labels(logged.get("dice_per_class_or_region"), labels),
        validation=_number(summary.foreground_mean.Dice) if summary is not None else None,
        validation_labels=_known({name: _number(label.Dice) for name, label in validated.items()}),
    )


def _known(dice: Mapping[str, float | None]) -> dict[str, float]:
    return {name: value for name, value in dice.items() if value is not None}


def labels_of(dataset: Any) -> dict[str, str]:
    """The key of each foreground label or region in ``summary.json`` -> its name, in the order of nnU-Net's classes.

    Regions come as they stand in ``dataset.json``, labels by their number; background and ignore are no classes.
    """
    named = dataset.get("labels") if isinstance(dataset, Mapping) else None
    if not isinstance(named, Mapping):
        return {}
    values = {str(name): _label(value) for name, value in named.items() if name != "ignore"}
    values = {name: value for name, value in values.items() if value not in (0, [0], (0,))}
    if any(isinstance(value, (list, tuple)) and len(value) > 1 for value in values.values()):
        return {str(tuple(value)) if isinstance(value, list) else str(value): name for name, value in values.items()}
    numbered = [(value, name) for name, value in values.items() if isinstance(value, int)]
    return {str(value): name for value, name in sorted(numbered)}


def _label(value: Any) -> Any:
    """nnU-Net takes labels as text, too."""
    return int(value) if isinstance(value, str) and value.isdecimal() else value


class _Metrics(msgspec.Struct, frozen=True):
    Dice: Any = None


class _Summary(msgspec.Struct, frozen=True):
    foreground_mean: _Metrics = _Metrics()
    mean: dict[str, _Metrics] = {}


def _summary_of(fold: Fold) -> _Summary | None:
    text = read_beside(fold, SUMMARY_FILE)
    if text is None:
        return None
    # A label that neither reference nor answer has is Python's NaN, which is no JSON: nnU-Net writes many.
    text = text.replace(b": NaN", b": null").replace(b": Infinity", b": null")
    return read_json(text, _Summary)


def _pseudo_labels(epochs: Any, labels: Mapping[str, str]) -> dict[str, float]:
    last = epochs[-1] if isinstance(epochs, list) and epochs else None
    if not isinstance(last, (list, tuple)):
        return {}
    names = list(labels.values()) if len(labels) == len(last) else [f"class {place + 1}" for place in range(len(last))]
    return _known({name: _number(value) for name, value in zip(names, last, strict=True)})


def _last_number(values: Any) -> float | None:
    return _number(values[-1]) if isinstance(values, list) and values else None


def _number(value: Any) -> float | None:
    """A finite number; NaN is nnU-Net's "there was nothing to score"."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value)
