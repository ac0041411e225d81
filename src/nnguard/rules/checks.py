"""Runs the rules that check a prediction or a training. A rule takes part if its module has the function."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from ..findings import RULES, Finding
from ..record import Record
from .precedence import speaks_alone
from .subjects import Prediction, Training


def check_prediction(record: Record | None, prediction: Prediction) -> list[Finding]:
    """Checks a predictor that is about to run, for one checkpoint.

    Args:
        record: the checkpoint's; ``None`` if there is none (``prediction.no_record`` says why).
        prediction: what the predictor uses, and where that comes from.

    Returns:
        Findings, at most one for each rule, in the order of their codes.
    """
    alone = speaks_alone(prediction)
    checks = _checks("check_prediction")
    speaking = [checks[alone]] if alone is not None else checks.values()
    return [finding for check in speaking for finding in check(record, prediction)]


def check_training(record: Record, training: Training) -> list[Finding]:
    """Checks a training at its start.

    Args:
        record: what was observed, with the declared axes.
        training: what the rules need beside it.

    Returns:
        Findings, at most one for each rule, in the order of their codes. A pending record yields nothing about
        mirroring.
    """
    return [finding for check in _checks("check_training").values() for finding in check(record, training)]


def _checks(function: str) -> dict[str, Callable[..., list[Finding]]]:
    """Code -> the function of this name, of the rules that have one. No other rule is imported."""
    if function not in _found:
        modules = {rule.code: rule.module for rule in RULES.values() if rule.defines(function)}
        _found[function] = {
            code: getattr(import_module(f".{module}", __package__), function) for code, module in modules.items()
        }
    return _found[function]


_found: dict[str, dict[str, Callable[..., list[Finding]]]] = {}
