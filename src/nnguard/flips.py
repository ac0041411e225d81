"""Flips: sets of axes mirrored together, how often they were seen, and which of them are safe.

A flip is a sorted tuple of 0-based spatial axes of the network's input (after ``transpose_forward``);
``()`` is the plain view.
"""

from __future__ import annotations

from itertools import combinations
from math import exp, lgamma, log

TYPE_CHECKING = False  # type checkers take it for typing's, which a bare interpreter has not imported
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

    from .record import Verdict

Flip = tuple[int, ...]

#: A flip counts as trained when each of its axes was flipped alone at least this often, relative to the plain view.
#: An ordinary mirror is as frequent as the plain view; docs/calibration.md has the harm measured on both sides of it.
TRAINED_RATIO = 0.1

#: Draws whatever the clock says: a loaded node must not turn a verdict into "unknown". Then more, until all is settled.
FEWEST_DRAWS, MOST_DRAWS, LOOK_EVERY = 64, 512, 32

#: A flip of axes that are each trained, itself not seen, is believed to be absent only after this many clean draws.
#: Of eight equally likely flips one stays unseen by chance in (7/8)^256, once in 10^15.
ENOUGH_TO_MISS = 256

#: Two-sided: verdicts and intervals hold in 95 of 100 trainings.
ALPHA = 0.05
#: What the first look may spend of it. Ordinary pipelines are settled there, an axis that is never mirrored too (64
#: draws of the plain view alone need 0.0045). The last look may spend half of the rest, because what it leaves open
#: stays an estimate; the looks between share the other half.
FIRST_ALPHA, LAST_ALPHA = 0.03, 0.01


def alpha_at(draws: int) -> float:
    """What the look after so many draws may spend of ``ALPHA``.

    Drawing stops at the look at which everything is settled, so each look is one more chance to be wrong. The looks
    are fixed and their shares add up to ``ALPHA``: whenever drawing stops, what was said is wrong in 5 of 100 trainings
    at most (Bonferroni; as an alpha spending function, K. K. G. Lan and D. L. DeMets, Biometrika 70, 1983).
    """
    if draws <= FEWEST_DRAWS:
        return FIRST_ALPHA
    if draws >= MOST_DRAWS:
        return LAST_ALPHA
    return (ALPHA - FIRST_ALPHA - LAST_ALPHA) / ((MOST_DRAWS - FEWEST_DRAWS) // LOOK_EVERY - 1)


def flips_of(axes: Iterable[int]) -> list[Flip]:
    """All flips that nnU-Net's test-time mirroring makes of ``axes``, small ones first, without the plain view."""
    axes = sorted(set(axes))
    return [flip for size in range(1, len(axes) + 1) for flip in combinations(axes, size)]


def compose(first: Flip, second: Flip) -> Flip:
    """One flip after the other: the symmetric difference, for an axis flipped twice is not flipped."""
    return tuple(sorted(set(first) ^ set(second)))


def interval(count: int, draws: int, alpha: float = ALPHA) -> tuple[float, float]:
    """The exact interval for a proportion (C. J. Clopper and E. S. Pearson, Biometrika 26, 1934).

    Args:
        alpha: how often it may miss. Where drawing stopped at a look, ``alpha_at`` of that look.

    Returns:
        ``(low, high)``; ``(0.0, 1.0)`` without a draw.
    """
    if draws <= 0:
        return 0.0, 1.0
    low = 0.0 if count == 0 else _where(lambda rate: at_least(count, draws, rate) >= alpha / 2)
    high = 1.0 if count == draws else _where(lambda rate: at_least(count + 1, draws, rate) > 1 - alpha / 2)
    return low, high


def at_least(count: int, draws: int, rate: float) -> float:
    """The binomial probability of ``count`` or more of ``draws``, each with probability ``rate``."""
    if count <= 0 or rate >= 1:
        return 1.0
    if rate <= 0:
        return 0.0
    if count > draws * rate:
        return _mass(range(count, draws + 1), draws, rate)
    return 1 - _mass(range(count), draws, rate)


def _mass(counts: Iterable[int], draws: int, rate: float) -> float:
    odds, none = log(rate), log(1 - rate)
    all_of_them = lgamma(draws + 1)
    return sum(
        exp(all_of_them - lgamma(count + 1) - lgamma(draws - count + 1) + count * odds + (draws - count) * none)
        for count in counts
    )


def _where(reached: Callable[[float], bool]) -> float:
    """The rate at which ``reached`` becomes true, to 1e-9."""
    low, high = 0.0, 1.0
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (low, middle) if reached(middle) else (middle, high)
    return high


def side_of_ratio(count: int, plain: int, ratio: float = TRAINED_RATIO, alpha: float = ALPHA) -> str:
    """Whether ``count`` is above or below ``ratio * plain``, beyond chance.

    Of ``count + plain`` draws that show either, the flipped ones are binomial with
    ``ratio / (1 + ratio)`` at the threshold; each tail is the exact binomial one.

    Returns:
        ``"above"``, ``"below"`` or ``"unsettled"``.
    """
    total = count + plain
    if total == 0:
        return "unsettled"
    share = ratio / (1 + ratio)
    if 1 - at_least(count + 1, total, share) < alpha / 2:
        return "below"
    if at_least(count, total, share) < alpha / 2:
        return "above"
    return "unsettled"


def settled(flip: Flip, counts: Mapping[Flip, int], clean: int, alpha: float = ALPHA) -> bool:
    """Whether a flip's verdict is beyond chance: each axis's rate against the plain view, and seen or not.

    The plain view, ``()``, is settled when it was seen, or missed often enough.

    Args:
        flip: the axes mirrored together.
        counts: flip -> number of clean draws that showed it, the plain view under ``()``.
        clean: the number of clean draws.
        alpha: what this look may spend.
    """
    sides = [side_of_ratio(counts.get((axis,), 0), counts.get((), 0), alpha=alpha) for axis in flip]
    if "below" in sides:
        return True
    if "unsettled" in sides:
        return False
    return counts.get(flip, 0) > 0 or clean >= ENOUGH_TO_MISS


def verdict_of(flip: Flip, counts: Mapping[Flip, float]) -> Verdict:
    """``trained``, ``rare`` or ``unseen`` for one flip, by estimate.

    Args:
        flip: the axes mirrored together.
        counts: flip -> number of clean draws that showed it, the plain view under ``()``.
    """
    if not counts.get(flip, 0):
        return "unseen"
    plain = counts.get((), 0)
    alone = [counts.get((axis,), 0) for axis in flip]
    return "trained" if all(count > 0 and count >= TRAINED_RATIO * plain for count in alone) else "rare"


def safe_axes(evidence: Mapping[Flip, Any], axes: Iterable[int]) -> Flip:
    """The largest subset of ``axes`` all of whose flips are trained and label-keeping.

    Args:
        evidence: flip -> object with ``verdict``, ``labels`` and ``rate``.
        axes: the axes asked about.

    Returns:
        A sorted tuple; ``()`` where no axis is safe. Ties go to the subset whose rarest flip is most
        frequent, then to the lowest indices.
    """

    def sound(flip: Flip) -> bool:
        seen = evidence.get(flip)
        return seen is not None and seen.verdict == "trained" and seen.labels not in ("swapped", "mixed")

    axes = sorted(set(axes))
    for size in range(len(axes), 0, -1):
        candidates = [subset for subset in combinations(axes, size) if all(sound(flip) for flip in flips_of(subset))]
        if candidates:
            return min(
                candidates,
                key=lambda subset: (-min(evidence[flip].rate for flip in flips_of(subset)), subset),
            )
    return ()
