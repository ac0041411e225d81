"""A contact sheet: one image and its labels, and beside it what augmentation or a trained network made of them.

Only this module knows matplotlib, which is an extra: it is imported when something is drawn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from ..errors import NNGuardError

#: Okabe and Ito's palette, which colour-blind readers tell apart; without black, which images are full of.
COLOURS = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7")
COLUMNS, MOST_NAMED = 6, 18
#: Inches of one picture, and dots an inch: text of nine points is legible at 100 %.
CELL, DPI, FONT = 2.5, 110, 9


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """One picture. ``image`` has the shape of the patch; ``labels`` as well, 0 and below are background."""

    title: str
    image: Any
    labels: Any


def require_matplotlib() -> None:
    """To be asked before the work that a picture shows.

    Raises:
        NNGuardError: matplotlib is not installed.
    """
    if find_spec("matplotlib") is None:
        raise NNGuardError("nnguard needs matplotlib to draw a picture: pip install matplotlib")


def write_contact_sheet(
    target: Path, heading: str, pictures: Sequence[Shown], axis_names: Sequence[str], label_names: dict[int, str]
) -> None:
    """Writes a PNG.

    Args:
        target: the file.
        heading: above everything.
        pictures: what the others are compared with first; of 2 or 3 dimensions. Of three, two slices are shown:
            across axis 0 (left) and across axis 1 (right), so that a flip of any axis is seen; those with most
            labels, for a slice of background shows no flip.
        axis_names: a name for each axis, for people.
        label_names: label -> name, those that have an outline.
    """
    require_matplotlib()
    from matplotlib.figure import Figure

    dims = pictures[0].image.ndim
    wide = CELL * (2 if dims == 3 else 1)
    columns = COLUMNS if dims == 2 else COLUMNS // 2
    rows = -(-len(pictures) // columns)
    figure = Figure(figsize=(wide * columns, CELL * 1.12 * rows + 1.3), dpi=DPI, layout="constrained")
    figure.suptitle(heading, fontsize=FONT + 2)
    grid = figure.subplots(rows, columns * (dims - 1), squeeze=False)
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
    shades = _shades([picture.image for picture in pictures])
    for number, picture in enumerate(pictures):
        row, column = divmod(number, columns)
        for part in range(dims - 1):
            axes = grid[row][column * (dims - 1) + part]
            _draw(axes, picture, part, dims, shades, label_names)
            if part == 0:
                axes.set_title(picture.title, fontsize=FONT, loc="left", fontweight="bold" if number == 0 else "normal")
            if number == 0:
                _name_axes(axes, part, dims, axis_names)
    _add_legend(figure, label_names)
    figure.savefig(target, format="png", metadata={"Software": "nnguard"})


def _draw(axes: Any, picture: Shown, part: int, dims: int, shades: tuple[float, float], names: dict[int, str]) -> None:
    image, labels = _slices(picture, part, dims, names)
    axes.imshow(image, cmap="gray", vmin=shades[0], vmax=shades[1], aspect="equal", interpolation="nearest")
    for label in names:
        there = labels == label
        if there.any() and not there.all():
            axes.contour(there, levels=[0.5], colors=[colour_of(label)], linewidths=1.6)


def _slices(picture: Shown, part: int, dims: int, names: dict[int, str]) -> tuple[np.ndarray, np.ndarray]:
    """Image and labels in the plane that is shown; the middle one where no label is anywhere."""
    image, labels = np.asarray(picture.image), np.asarray(picture.labels)
    if dims == 2:
        return image, labels
    filled = np.isin(labels, list(names)).sum(axis=tuple(axis for axis in range(3) if axis != part))
    place = int(np.argmax(filled)) if filled.any() else labels.shape[part] // 2
    return image.take(place, axis=part), labels.take(place, axis=part)


def _shades(images: Sequence[Any]) -> tuple[float, float]:
    first = np.asarray(images[0])
    low, high = np.percentile(first[np.isfinite(first)], [1, 99]) if np.isfinite(first).any() else (0.0, 1.0)
    return float(low), float(high if high > low else low + 1)


def _name_axes(axes: Any, part: int, dims: int, axis_names: Sequence[str]) -> None:
    """What people call the axes of the first picture, along its edges."""
    first, second = (axis_names[axis] for axis in ((0, 1) if dims == 2 else ((1, 2), (0, 2))[part]))
    axes.set_ylabel(first, fontsize=FONT)
    axes.set_xlabel(second, fontsize=FONT)


def colour_of(label: int) -> str:
    return COLOURS[(label - 1) % len(COLOURS)]


def _add_legend(figure: Any, label_names: Mapping[int, str]) -> None:
    from matplotlib.patches import Patch

    handles = [
        Patch(facecolor=colour_of(label), label=f"{label}: {name}")
        for label, name in list(label_names.items())[:MOST_NAMED]
    ]
    if handles:
        figure.legend(handles=handles, loc="outside lower center", ncols=6, fontsize=FONT, frameon=False)
