"""What a few cases say about each flip: Dice, its bootstrap interval, and whether the flip is safe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
import numpy as np

from ..record import Axes

#: A flip whose answer is at least this much Dice worse than the plain one, over the cases, is harmful. The default
#: trainer's trained flips stay within 0.02 on the demo's discs; the untrained one of issue 2552 loses more than 0.8.
HARM = 0.05
#: Without reference labels: the agreement with the plain answer that a safe flip reaches. Between the same two
#: (0.97 and more, 0.05), nearer to the trained ones: a flip wrongly called harmful costs a little accuracy, one
#: wrongly called safe costs a result.
SAFE_AGREEMENT = 0.8
#: Percentile bootstrap over cases (Efron, 1979), 95 %; seeded, so that a verdict repeats.
RESAMPLES, SEED = 2000, 2552

Judgement = Literal["safe", "harmful", "unsettled"]
#: Label -> Dice; ``None`` where neither side has the label.
Scores = dict[int, float | None]


class CaseScores(msgspec.Struct, frozen=True, kw_only=True):
    """One case. ``agreement`` is of each flip with the plain answer; the rest is against the reference, if given."""

    name: str
    agreement: dict[Axes, Scores]
    flipped: dict[Axes, Scores] = {}
    plain: Scores = {}
    tta: Scores = {}


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """A mean over cases and its interval; no interval from a single case."""

    mean: float | None = None
    low: float | None = None
    high: float | None = None


def dice_by_label(first: Any, second: Any, labels: Sequence[int], counted: Any = True) -> Scores:
    """Dice of two label maps of one shape.

    Args:
        first, second: arrays of labels.
        labels: the foreground labels to compare.
        counted: a mask of the same shape; voxels outside it (an ignore label) do not count.
    """
    scores: Scores = {}
    for label in labels:
        here, there = (first == label) & counted, (second == label) & counted
        size = int(here.sum()) + int(there.sum())
        scores[label] = 2.0 * int((here & there).sum()) / size if size else None
    return scores


def mean_of(scores: Scores) -> float | None:
    """The mean over the labels that either side has; ``None`` where there are none."""
    known = [score for score in scores.values() if score is not None]
    return sum(known) / len(known) if known else None


def estimate(values: Sequence[float | None]) -> Estimate:
    """The mean over cases with its 95 % percentile bootstrap interval; cases without a value do not count."""
    known = np.array([value for value in values if value is not None], dtype=float)
    if not len(known):
        return Estimate()
    mean = float(known.mean())
    if len(known) == 1:
        return Estimate(mean=mean)
    chosen = np.random.default_rng(SEED).integers(0, len(known), (RESAMPLES, len(known)))
    low, high = np.percentile(known[chosen].mean(axis=1), [2.5, 97.5])
    return Estimate(mean=mean, low=float(low), high=float(high))


def loss_of(flip: Axes, cases: Sequence[CaseScores]) -> Estimate:
    """How much Dice a flip costs against the plain answer, case by case."""
    return estimate([difference(mean_of(case.plain), mean_of(case.flipped.get(flip, {}))) for case in cases])


def gain_of_tta(cases: Sequence[CaseScores]) -> Estimate:
    """How much Dice the configured test-time mirroring gains against the plain answer; negative where it costs."""
    return estimate([difference(mean_of(case.tta), mean_of(case.plain)) for case in cases])


def difference(first: float | None, second: float | None) -> float | None:
    return None if first is None or second is None else first - second


def judge_flip(flip: Axes, cases: Sequence[CaseScores]) -> Judgement:
    """By Dice against the reference where there is one, else by agreement with the plain answer."""
    loss = loss_of(flip, cases)
    if loss.mean is not None:
        return _side(loss, HARM)
    agreement = estimate([mean_of(case.agreement[flip]) for case in cases])
    if agreement.mean is None:
        return "unsettled"
    turned = Estimate(mean=-agreement.mean, low=_minus(agreement.high), high=_minus(agreement.low))
    return _side(turned, -SAFE_AGREEMENT)


def _side(cost: Estimate, limit: float) -> Judgement:
    assert cost.mean is not None
    low, high = (cost.mean if bound is None else bound for bound in (cost.low, cost.high))
    if high <= limit:
        return "safe"
    return "harmful" if low > limit else "unsettled"


def _minus(value: float | None) -> float | None:
    return None if value is None else -value


def safe_axes_by(judgements: Mapping[Axes, Judgement], dims: int, agreement: Mapping[Axes, float | None]) -> Axes:
    """The largest set of axes all of whose flips are safe; ties go to the set whose worst flip agrees best."""
    from itertools import combinations

    from ..flips import flips_of

    for size in range(dims, 0, -1):
        sets = [
            axes for axes in combinations(range(dims), size) if all(judgements[f] == "safe" for f in flips_of(axes))
        ]
        if sets:
            return min(sets, key=lambda axes: (-min(agreement[flip] or 0.0 for flip in flips_of(axes)), axes))
    return ()


def by_label(scores: Sequence[Scores]) -> Scores:
    """Each label's mean over the cases that have it."""
    labels = sorted({label for one in scores for label in one})
    return {label: estimate([one.get(label) for one in scores]).mean for label in labels}
