"""What a few cases say about each flip: Dice, its bootstrap interval, and whether the flip is safe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
import numpy as np

from ..record import Axes

#: A flip that costs more Dice than this against the plain answer, over the cases, is harmful. Measured on eight of the
#: demo's test images: the default trainer's flips lost 0.001 at most; issue 2552's, never trained, lost 0.95
#: where x is in them and nothing along y, where the discs are symmetric.
HARM = 0.05
#: Without reference labels: a safe flip agrees with the plain answer at least this much, a harmful one at most so
#: much, and between them the answer is open. Measured on the same images: the issue's model agrees at 0.98 along
#: axis 0 and at 0.02 along axis 1; but the default trainer's, which mirroring keeps from telling left from right,
#: agrees at 0.50 to 0.58 under flips that it was trained on. Low agreement alone may be a network unsure of itself.
SAFE_AGREEMENT, HARMFUL_AGREEMENT = 0.8, 0.25
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
        low, high = _bounds(loss)
        return "safe" if high <= HARM else "harmful" if low > HARM else "unsettled"
    agreement = estimate([mean_of(case.agreement[flip]) for case in cases])
    if agreement.mean is None:
        return "unsettled"
    low, high = _bounds(agreement)
    return "safe" if low >= SAFE_AGREEMENT else "harmful" if high <= HARMFUL_AGREEMENT else "unsettled"


def _bounds(value: Estimate) -> tuple[float, float]:
    """The interval, or the mean alone where there is none."""
    assert value.mean is not None
    return (value.mean if value.low is None else value.low, value.mean if value.high is None else value.high)


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
