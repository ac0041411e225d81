"""Flips: sets of axes mirrored together, how often they were seen, and which of them are safe.

A flip is a sorted tuple of 0-based spatial axes of the network's input (after ``transpose_forward``);
``()`` is the plain view.
"""

from itertools import combinations
from math import comb, sqrt

#: A flip counts as trained when each of its axes was flipped alone at least this often, relative to the plain view.
#: An ordinary mirror is as frequent as the plain view; docs/calibration.md has the harm measured on both sides of it.
TRAINED_RATIO = 0.1

#: 95 % two-sided, the confidence that DESIGN asks of a settled verdict.
Z_95 = 1.959963984540054


def flips_of(axes):
    """All flips that nnU-Net's test-time mirroring makes of ``axes``, small ones first, without the plain view."""
    axes = sorted(set(axes))
    return [flip for size in range(1, len(axes) + 1) for flip in combinations(axes, size)]


def compose(first, second):
    """One flip after the other: the symmetric difference, for an axis flipped twice is not flipped."""
    return tuple(sorted(set(first) ^ set(second)))


def wilson(count, draws, z=Z_95):
    """Wilson's score interval for a proportion (E. B. Wilson, JASA 22, 1927).

    Returns:
        ``(low, high)``; ``(0.0, 1.0)`` without a draw.
    """
    if draws <= 0:
        return 0.0, 1.0
    rate = count / draws
    centre = rate + z * z / (2 * draws)
    spread = z * sqrt(rate * (1 - rate) / draws + z * z / (4 * draws * draws))
    scale = 1 + z * z / draws
    low = 0.0 if count == 0 else max(0.0, (centre - spread) / scale)
    high = 1.0 if count == draws else min(1.0, (centre + spread) / scale)
    return low, high


def side_of_ratio(count, plain, ratio=TRAINED_RATIO, alpha=0.05):
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
    pmf = [comb(total, k) * share**k * (1 - share) ** (total - k) for k in range(total + 1)]
    if sum(pmf[: count + 1]) < alpha / 2:
        return "below"
    if sum(pmf[count:]) < alpha / 2:
        return "above"
    return "unsettled"


def verdict_of(flip, counts):
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


def safe_axes(evidence, axes):
    """The largest subset of ``axes`` all of whose flips are trained and label-keeping.

    Args:
        evidence: flip -> object with ``verdict``, ``labels`` and ``rate``.
        axes: the axes asked about.

    Returns:
        A sorted tuple; ``()`` where no axis is safe. Ties go to the subset whose rarest flip is most
        frequent, then to the lowest indices.
    """

    def sound(flip):
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
