"""Which flip a train step gave a case: the target that the loader delivered against the one that the loss received."""

from __future__ import annotations

import msgspec
import torch

from ..flips import flips_of

Flip = tuple[int, ...]

#: For a target that was also resampled or smoothed: the overlap that the best flip needs, and its lead over the next.
OVERLAP, LEAD = 0.8, 0.15
#: Points for each axis at which targets are compared first. 14,000 points in 3D rule out nearly every wrong flip.
POINTS = 24
SILENT, UNCLEAR = "silent", "unclear"


class Seen(msgspec.Struct, frozen=True):
    """What one case shows. ``renamed``: source label -> new label, if the step renames any."""

    flip: Flip
    renamed: tuple[tuple[int, int], ...] = ()


def flip_between(before: torch.Tensor, after: torch.Tensor, dims: int) -> Seen | str:
    """The one flip that turns ``before`` into ``after``.

    Args:
        before, after: one case's target, shape (channel, space), of labels or of region channels.

    Returns:
        What was seen; ``SILENT`` if several flips explain it, ``UNCLEAR`` if none does.
    """
    candidates = [(), *flips_of(range(dims))]
    few_before, few_after = _at_few_points(before), _at_few_points(after)
    likely = [flip for flip in candidates if torch.equal(_flipped(few_before, flip).to(after.dtype), few_after)]
    exact = [flip for flip in likely if torch.equal(_flipped(before, flip).to(after.dtype), after)]
    if exact:
        return Seen(exact[0]) if len(exact) == 1 else SILENT
    if not bool((before > 0).any()):
        return SILENT
    views = {flip: _flipped(before, flip) for flip in candidates}
    # The same shapes with other labels mean that the step renames labels.
    shapes = [flip for flip in candidates if torch.equal(views[flip] > 0, after > 0)]
    if len(shapes) == 1 and before.shape[0] == 1:
        renamed = _renamed(views[shapes[0]], after)
        return UNCLEAR if renamed is None else Seen(shapes[0], renamed)
    overlaps = sorted(((_overlap(views[flip], after), flip) for flip in candidates), reverse=True)
    if overlaps[0][0] < OVERLAP:
        return UNCLEAR
    return Seen(overlaps[0][1]) if overlaps[0][0] - overlaps[1][0] >= LEAD else SILENT


def _flipped(case: torch.Tensor, flip: Flip) -> torch.Tensor:
    return torch.flip(case, [axis + 1 for axis in flip]) if flip else case


def _at_few_points(case: torch.Tensor) -> torch.Tensor:
    """A case, shape (channel, space), at a few points. They lie symmetrically, so that flips of them are flips."""
    for axis in range(1, case.ndim):
        last = case.shape[axis] - 1
        half = {round(step * last / (POINTS - 1)) for step in range(POINTS // 2)}
        points = sorted(half | {last - point for point in half})
        case = case.index_select(axis, torch.tensor(points, device=case.device))
    return case


def _renamed(before: torch.Tensor, after: torch.Tensor) -> tuple[tuple[int, int], ...] | None:
    """Which label became which; ``None`` if voxels disagree."""
    renamed = []
    for label in torch.unique(before).tolist():
        became = torch.unique(after[before == label]).tolist()
        if len(became) != 1:
            return None
        if became[0] != label:
            renamed.append((int(label), int(became[0])))
    return tuple(renamed)


def _overlap(first: torch.Tensor, second: torch.Tensor) -> float:
    """Share of the voxels that are foreground in either and have the same label in both."""
    foreground = (first > 0) | (second > 0)
    total = int(foreground.sum())
    return float(((first == second) & foreground).sum()) / total if total else 0.0
