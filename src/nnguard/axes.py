"""Mirroring axes as nnU-Net takes them: what is wrong with a value, and what people call an axis."""

from operator import index

#: The array axes of nnU-Net's image readers, which all deliver (z, y, x), before ``transpose_forward``.
ARRAY_AXES = ("z", "y", "x")
USUALLY = {"z": "head-foot", "y": "front-back", "x": "left-right"}


def problem_with(axes, spatial_dims=None):
    """What nnU-Net would do with a malformed value, in words; ``None`` for a sound one.

    Args:
        axes: a value of ``inference_allowed_mirroring_axes`` or ``allowed_mirroring_axes``, verbatim.
        spatial_dims: 2 or 3; ``None`` where it is not known.
    """
    if axes is None:
        return None
    try:
        entries = list(axes)
    except TypeError:
        return f"{axes!r} is not a sequence of axes; nnU-Net stops with a TypeError at the first patch"
    if isinstance(axes, (str, bytes)):
        return f"{axes!r} is text, not a sequence of axes; nnU-Net stops with a TypeError at the first patch"
    if not entries:
        return f"{axes!r} is empty; nnU-Net stops with a ValueError at the first patch (no mirroring is written None)"
    numbers = []
    for entry in entries:
        try:
            if isinstance(entry, bool):
                raise TypeError
            numbers.append(index(entry))
        except TypeError:
            return f"{axes!r} contains {entry!r}, which is not an axis; nnU-Net stops at the first patch"
    if min(numbers) < 0:
        return f"{axes!r} has a negative axis; nnU-Net counts from the wrong end and flips the channels or the batch"
    if len(set(numbers)) < len(numbers):
        return f"{axes!r} names an axis twice; nnU-Net stops with a RuntimeError at the first patch"
    if spatial_dims is not None and max(numbers) >= spatial_dims:
        outcome = "nnU-Net stops with an AssertionError at the first patch"
        return f"{axes!r} is out of range for {spatial_dims}D data; {outcome}"
    return None


def normalise(axes):
    """Well-formed axes as a sorted tuple of ints, ``()`` for ``None``. Malformed ones raise ``ValueError``."""
    problem = problem_with(axes)
    if problem:
        raise ValueError(problem)
    return () if axes is None else tuple(sorted(index(axis) for axis in axes))


def array_axis(axis, spatial_dims, transpose_forward):
    """Which axis of the image array, (z, y, x), a network axis is; ``None`` where it is not known.

    nnU-Net transposes the array by ``transpose_forward``; a 2D configuration then takes slices along
    the first axis, so that its axis 0 is the second of the transposed array.
    """
    if spatial_dims not in (2, 3) or transpose_forward is None or len(transpose_forward) != 3:
        return None
    return transpose_forward[axis + 3 - spatial_dims]


def name_axis(axis, spatial_dims=None, transpose_forward=None):
    """``axis 2 (x, usually left-right)``. "Usually", for a sagittal scan is stored in another order."""
    position = array_axis(axis, spatial_dims, transpose_forward)
    if position is None or not 0 <= position < 3:
        return f"axis {axis}"
    letter = ARRAY_AXES[position]
    return f"axis {axis} ({letter}, usually {USUALLY[letter]})"


def written(axes):
    """Axes as a person would write them in Python: ``None``, ``(0,)``, ``(0, 1)``."""
    if axes is None:
        return "None"
    try:
        return repr(tuple(index(axis) for axis in axes))
    except TypeError:
        return repr(axes)
