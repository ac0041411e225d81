"""What a few cases show about each flip: Dice, its bootstrap interval, and whether the flip is safe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
import numpy as np

from ..record import Axes
from ..rules.measurement import FEWEST_CASES

#: A flip that loses more Dice than this compared with the plain answer is harmful. docs/fliptest.md has measurements:
#: flips that a network understands lost at most 0.03 on average; others lost 0.19 (a hardly trained network) to 0.97.
#:
#: Without reference labels, an answer that agrees with the plain one at Dice a counts as a loss of 1 - a. This is the
#: most that it can lose against a reference of the plain answer's size, and more than half of what it can lose against
#: any other. Low agreement is no verdict, because it does not say which answer is wrong: it may be the plain one, or
#: both.
HARM = 0.05
#: If the plain answer has less Dice than this, a loss of ``HARM`` is too hard to recognise.
LEAST_DICE = 4 * HARM
#: Percentile bootstrap over cases (Efron, 1979), 95 %; seeded, so that a verdict is reproducible.
RESAMPLES, SEED = 2000, 2552

Judgement = Literal["safe", "harmful", "unsettled"]
#: Label -> Dice; ``None`` if neither side has the label.
Scores = dict[int, float | None]


class CaseScores(msgspec.Struct, frozen=True, kw_only=True):
    """Dice of one case. ``agreement`` compares each flip with the plain answer; the rest compares with the reference.

    Without a reference, everything except ``agreement`` is empty.
    """

    agreement: dict[Axes, Scores]
    flipped: dict[Axes, Scores] = {}
    plain: Scores = {}
    tta: Scores = {}


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """A mean over ``cases`` and its interval; a single case has no interval."""

    cases: int = 0
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
    """The mean over the labels that either side has; ``None`` if there are none."""
    known = [score for score in scores.values() if score is not None]
    return sum(known) / len(known) if known else None


def estimate(values: Sequence[float | None], beyond: float = 0.05) -> Estimate:
    """The mean over cases with its percentile bootstrap interval; cases without a value do not count.

    Args:
        values: one per case.
        beyond: how often the interval may miss the true mean; 0.05 gives a 95 % interval.
    """
    known = np.array([value for value in values if value is not None], dtype=float)
    if not len(known):
        return Estimate()
    mean = float(known.mean())
    if len(known) == 1:
        return Estimate(cases=1, mean=mean)
    chosen = np.random.default_rng(SEED).integers(0, len(known), (RESAMPLES, len(known)))
    low, high = np.percentile(known[chosen].mean(axis=1), [50 * beyond, 100 - 50 * beyond])
    return Estimate(cases=len(known), mean=mean, low=float(low), high=float(high))


def loss_of(flip: Axes, cases: Sequence[CaseScores]) -> Estimate:
    """How much Dice a flip loses compared with the plain answer; each case counts with its mean over labels."""
    return _overall(_losses(flip, cases))


def gain_of_tta(cases: Sequence[CaseScores]) -> Estimate:
    """How much Dice the configured test-time mirroring gains over the plain answer; negative if it loses."""
    return _overall([losses_by_label(case.tta, case.plain) for case in cases])


def judge_flip(flip: Axes, cases: Sequence[CaseScores]) -> Judgement:
    """Checks a flip by the Dice that it loses; without references, by its agreement with the plain answer.

    A verdict needs ``FEWEST_CASES`` and looks at each label, because one of many labels hardly changes the mean.
    Agreement alone can show that a flip is safe, but never that it is harmful.
    """
    losses = _losses(flip, cases)
    if any(losses):
        return _by_loss(losses, cases)
    missing = [
        {label: 1 - score for label, score in case.agreement[flip].items() if score is not None} for case in cases
    ]
    return "safe" if _loses_little(missing) else "unsettled"


def judge_tta(cases: Sequence[CaseScores]) -> Judgement:
    """Checks the configured test-time mirroring as a whole; ``unsettled`` without references."""
    return _by_loss([losses_by_label(case.plain, case.tta) for case in cases], cases)


def losses_by_label(plain: Scores, other: Scores) -> dict[int, float]:
    """How much Dice each label loses compared with the plain answer."""
    both = ((label, score, other.get(label)) for label, score in plain.items())
    return {label: first - second for label, first, second in both if first is not None and second is not None}


def _losses(flip: Axes, cases: Sequence[CaseScores]) -> list[dict[int, float]]:
    return [losses_by_label(case.plain, case.flipped.get(flip, {})) for case in cases]


def worst_label(flip: Axes, cases: Sequence[CaseScores]) -> tuple[int, float] | None:
    """The label that loses most under a flip, and its mean loss; ``None`` without references."""
    estimates = _of_labels(_losses(flip, cases))
    means = {label: one.mean for label, one in estimates.items() if one.mean is not None}
    return max(means.items(), key=lambda item: (item[1], -item[0])) if means else None


def _by_loss(losses: Sequence[dict[int, float]], cases: Sequence[CaseScores]) -> Judgement:
    estimates = (_overall(losses), *_of_labels(losses).values())
    if any(one.cases >= FEWEST_CASES and (one.low or 0.0) > HARM for one in estimates):
        return "harmful"
    readable = estimate([mean_of(case.plain) for case, loss in zip(cases, losses, strict=True) if loss])
    return "safe" if _loses_little(losses) and (readable.low or 0.0) >= LEAST_DICE else "unsettled"


def _loses_little(losses: Sequence[dict[int, float]]) -> bool:
    """Whether the whole interval of the loss is within ``HARM``, and the mean loss of every label too."""
    overall = _overall(losses)
    kept = all(one.mean is not None and one.mean <= HARM for one in _of_labels(losses).values())
    return kept and overall.cases >= FEWEST_CASES and overall.high is not None and overall.high <= HARM


def _overall(losses: Sequence[dict[int, float]]) -> Estimate:
    return estimate([sum(loss.values()) / len(loss) if loss else None for loss in losses])


def _of_labels(by_case: Sequence[Mapping[int, float]]) -> dict[int, Estimate]:
    """Label -> its estimate over the cases that have it.

    The intervals are wider (Bonferroni), because one of many labels may deviate by chance.
    """
    labels = sorted({label for one in by_case for label in one})
    return {label: estimate([one.get(label) for one in by_case], 0.05 / len(labels)) for label in labels}
