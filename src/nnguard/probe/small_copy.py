"""Shrinks a copied pipeline: every spatial size gets smaller by the same rule, and equal sizes stay equal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .pipeline_copy import exchange_below

#: The longest side of the small patch in voxels, by number of dimensions. A sample then takes milliseconds.
LONGEST = {2: 64, 3: 24}
#: No side gets shorter, because the texture needs a few cells and DA5's own transforms fail at five slices.
SHORTEST = 10

Size = tuple[int, ...]


def small_sizes(patch: Size, initial: Size) -> tuple[Size, Size]:
    """The small sizes for ``patch`` and for ``initial``, which the loader cuts before augmentation.

    Different sides stay different and keep their order, because 90-degree rotations apply to equal sides only.
    """
    scale = LONGEST[len(patch)] / max(patch)
    if scale >= 1:
        return patch, initial
    taken: dict[int, int] = {}
    last = 0
    for side in sorted(set(patch)):
        small = side if side <= SHORTEST else max(SHORTEST, round(side * scale / 2) * 2)
        taken[side] = last = max(small, last + 2) if last and small <= last else small
    shrunk = tuple(taken[side] for side in patch)
    grown = tuple(
        max(small, round(first * small / side)) for side, small, first in zip(patch, shrunk, initial, strict=True)
    )
    return shrunk, grown


def size_map(patch: Size, initial: Size, small_patch: Size, small_initial: Size) -> dict[Size, Size]:
    """Size -> small size, for each size that a transform may hold: complete, without the first axis, as pseudo 3D."""
    pairs = {initial: small_initial, patch: small_patch}
    if len(patch) == 3:
        pairs |= {initial[1:]: small_initial[1:], patch[1:]: small_patch[1:]}
    else:
        pairs |= {(1, *initial): (1, *small_initial), (1, *patch): (1, *small_patch)}
    return pairs


def shrink(root: Any, sizes: Mapping[Size, Size]) -> None:
    """Replaces, in place, every attribute below ``root`` that is a key of ``sizes``."""

    def exchanged(value: Any) -> Any:
        small = sizes.get(_as_size(value))
        if small is None:
            return value
        return np.asarray(small) if isinstance(value, np.ndarray) else list(small) if isinstance(value, list) else small

    exchange_below(root, exchanged)


def _as_size(value: Any) -> Size:
    if not isinstance(value, (tuple, list, np.ndarray)) or len(value) not in (2, 3):
        return ()
    try:
        return tuple(int(side) for side in value if int(side) == side)
    except (TypeError, ValueError):
        return ()
