"""Mirroring axes as nnU-Net takes them: as plain data, what is wrong with a value, and what people call an axis."""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from typing import Any

#: The array axes of nnU-Net's image readers, which all deliver (z, y, x), before ``transpose_forward``.
ARRAY_AXES = ("z", "y", "x")
USUALLY = {"z": "head-foot", "y": "front-back", "x": "left-right"}


def plain_axes(axes: Any) -> Any:
    """Axes as plain data, whatever object holds them: the only form in which nnguard compares or keeps them.

    A comparison or a truth test of an array raises, and of anything else a user's class decides.

    Args:
        axes: a value of ``inference_allowed_mirroring_axes`` or ``allowed_mirroring_axes``, verbatim.

    Returns:
        ``None``, a number or a text as it is; a tuple of such for a container; a text for anything else.
    """
    kind = type(axes)
    if axes is None or kind in (int, bool, float, str):
        return axes
    if kind.__module__.partition(".")[0] in ("numpy", "torch") and hasattr(axes, "tolist"):
        return plain_axes(axes.tolist())
    # An iterator would be used up by a look.
    if hasattr(axes, "__iter__") and not hasattr(axes, "__next__") and not isinstance(axes, (str, bytes)):
        return tuple(_plain_entry(entry) for entry in axes)
    return _plain_entry(axes)


def _plain_entry(entry: Any) -> Any:
    if entry is None or type(entry) in (int, bool, float, str):
        return entry
    try:
        return index(entry)
    except TypeError:
        return repr(entry)


def same_axes(first: Any, second: Any) -> bool:
    """Whether two values mean the same to nnU-Net: order and list or tuple do not matter, malformed ones only equal
    themselves."""
    first, second = plain_axes(first), plain_axes(second)
    if problem_with(first) or problem_with(second):
        return written(first) == written(second)
    return sorted(first or ()) == sorted(second or ())


def problem_with(axes: Any, spatial_dims: int | None = None) -> str | None:
    """What nnU-Net would do with a malformed value, in words; ``None`` for a sound one.

    Args:
        axes: a value of ``inference_allowed_mirroring_axes`` or ``allowed_mirroring_axes``, verbatim.
        spatial_dims: 2 or 3; ``None`` where it is not known.
    """
    if axes is None:
        return None
    axes = plain_axes(axes)
    if not isinstance(axes, tuple):
        return f"{axes!r} is not a sequence of axes; nnU-Net stops with a TypeError at the first patch"
    if not axes:
        return f"{axes!r} is empty; nnU-Net stops with a ValueError at the first patch (no mirroring is written None)"
    no_axes = [entry for entry in axes if type(entry) is not int]
    if no_axes:
        return f"{axes!r} contains {no_axes[0]!r}, which is not an axis; nnU-Net stops at the first patch"
    if min(axes) < 0:
        return f"{axes!r} has a negative axis; nnU-Net counts from the wrong end and flips the channels or the batch"
    if len(set(axes)) < len(axes):
        return f"{axes!r} names an axis twice; nnU-Net stops with a RuntimeError at the first patch"
    if spatial_dims is not None and max(axes) >= spatial_dims:
        return f"{axes!r} is out of range for {spatial_dims}D data; nnU-Net stops at the first patch"
    return None


def normalise(axes: Any) -> tuple[int, ...]:
    """Well-formed axes as a sorted tuple of ints, ``()`` for ``None``. Malformed ones raise ``ValueError``."""
    problem = problem_with(axes)
    if problem:
        raise ValueError(problem)
    return () if axes is None else tuple(sorted(plain_axes(axes)))


def array_axis(axis: int, spatial_dims: int | None, transpose_forward: Sequence[int] | None) -> int | None:
    """Which axis of the image array, (z, y, x), a network axis is; ``None`` where it is not known.

    nnU-Net transposes the array by ``transpose_forward``; a 2D configuration then takes slices along
    the first axis, so that its axis 0 is the second of the transposed array.
    """
    if spatial_dims not in (2, 3) or transpose_forward is None or len(transpose_forward) != 3:
        return None
    return transpose_forward[axis + 3 - spatial_dims]


def name_axis(axis: int, spatial_dims: int | None = None, transpose_forward: Sequence[int] | None = None) -> str:
    """``axis 2 (x, usually left-right)``. "Usually", for a sagittal scan is stored in another order."""
    position = array_axis(axis, spatial_dims, transpose_forward)
    if position is None or not 0 <= position < 3:
        return f"axis {axis}"
    letter = ARRAY_AXES[position]
    return f"axis {axis} ({letter}, usually {USUALLY[letter]})"


def written(axes: Any) -> str:
    """Axes as a person would write them in Python: ``None``, ``(0,)``, ``(0, 1)``."""
    return repr(plain_axes(axes))
