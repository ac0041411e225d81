"""What a fliptest showed: a bar a flip, and one case with its plain, flipped and averaged answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from . import require_matplotlib
from .contact_sheet import DPI, FONT, colour_of

#: Okabe and Ito's green, vermilion and grey; the hatch says the same to who sees no colour.
VERDICTS = {"safe": ("#009E73", ""), "harmful": ("#D55E00", "///"), "unsettled": ("#999999", "...")}
COLUMNS = 5
MOST_NAMED = 18
CELL = 2.6


class Bar(msgspec.Struct, frozen=True, kw_only=True):
    """One flip: its name, what was measured from 0 to 1, the interval where there is one, its verdict."""

    name: str
    value: float | None
    low: float | None
    high: float | None
    verdict: str


class Panel(msgspec.Struct, frozen=True, kw_only=True):
    """One answer to one case; ``labels`` has the image's shape, (z, y, x)."""

    title: str
    labels: Any


def write_flip_picture(
    target: Path,
    heading: str,
    measure: str,
    bars: Sequence[Bar],
    image: Any,
    panels: Sequence[Panel],
    base: float | None,
    label_names: Mapping[int, str],
) -> None:
    """Writes a PNG.

    Args:
        target: the file.
        heading: above everything.
        measure: what the bars measure.
        bars: a flip each.
        image: one case, (z, y, x); its slice with most labels is shown.
        panels: that case's answers.
        base: the plain answer's value, drawn as a line; ``None`` for none.
        label_names: label -> its name; one without is called by its number.
    """
    require_matplotlib()
    from matplotlib.figure import Figure

    rows = -(-len(panels) // COLUMNS)
    height = 0.42 * len(bars) + 1.0
    figure = Figure(figsize=(CELL * COLUMNS, height + CELL * 1.1 * rows + 0.6), dpi=DPI, layout="constrained")
    figure.suptitle(heading, fontsize=FONT + 2)
    parts: Any = figure.subfigures(2, 1, height_ratios=[height, CELL * 1.1 * rows])
    above, below = parts
    _bars(above.subplots(), measure, bars, base)
    grid = below.subplots(rows, COLUMNS, squeeze=False)
    shown = _fullest_slice([panel.labels for panel in panels])
    low, high = np.percentile(image[shown], [1, 99])
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, panel in zip(grid.flat, panels, strict=False):
        axes.imshow(image[shown], cmap="gray", vmin=low, vmax=max(high, low + 1e-6), interpolation="nearest")
        axes.set_title(panel.title, fontsize=FONT, loc="left")
        for label in (int(label) for label in np.unique(panel.labels[shown]) if label > 0):
            there = np.ma.masked_equal((panel.labels[shown] == label).astype(float), 0.0)
            axes.imshow(there, cmap=_one_colour(label), vmin=0, vmax=1, alpha=0.55, interpolation="nearest")
    _name_labels(
        below, sorted({int(label) for panel in panels for label in np.unique(panel.labels[shown])}), label_names
    )
    figure.savefig(target, format="png", metadata={"Software": "nnguard"})


def _bars(axes: Any, measure: str, bars: Sequence[Bar], base: float | None) -> None:
    from matplotlib.patches import Patch

    for row, bar in enumerate(bars):
        colour, hatch = VERDICTS[bar.verdict]
        value = bar.value or 0.0
        axes.barh(row, value, color=colour, hatch=hatch, edgecolor="white", height=0.7)
        if bar.low is not None and bar.high is not None:
            axes.plot([bar.low, bar.high], [row, row], color="black", linewidth=1.5)
        told = "no answer" if bar.value is None else f"{value:.2f}  {bar.verdict}"
        axes.text(max(value, bar.high or 0.0) + 0.01, row, told, va="center", fontsize=FONT)
    if base is not None:
        axes.axvline(base, color="black", linewidth=1, linestyle="--")
        axes.text(base - 0.005, -0.55, f"plain {base:.2f}", ha="right", va="bottom", fontsize=FONT)
    axes.set_yticks(range(len(bars)), [bar.name for bar in bars], fontsize=FONT)
    axes.set_xlim(0, 1.2)
    axes.set_xticks([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    axes.set_ylim(len(bars) - 0.5, -1.0 if base is not None else -0.5)
    axes.set_xlabel(measure, fontsize=FONT)
    axes.tick_params(labelsize=FONT)
    axes.spines[["top", "right"]].set_visible(False)
    there = [verdict for verdict in VERDICTS if any(bar.verdict == verdict for bar in bars)]
    handles = [Patch(facecolor=VERDICTS[one][0], hatch=VERDICTS[one][1], edgecolor="white", label=one) for one in there]
    axes.legend(handles=handles, fontsize=FONT, loc="upper right", frameon=False)


def _name_labels(below: Any, labels: Sequence[int], names: Mapping[int, str]) -> None:
    from matplotlib.patches import Patch

    handles = [
        Patch(facecolor=colour_of(label), label=f"{label}: {names[label]}" if label in names else f"label {label}")
        for label in labels
        if label > 0
    ]
    if handles:
        below.legend(handles=handles[:MOST_NAMED], fontsize=FONT, loc="outside lower left", ncols=6, frameon=False)


def _one_colour(label: int) -> Any:
    from matplotlib.colors import ListedColormap

    return ListedColormap([colour_of(label)])


def _fullest_slice(label_maps: Sequence[Any]) -> int:
    filled = sum((np.asarray(labels) > 0).sum(axis=(1, 2)) for labels in label_maps)
    return int(np.argmax(filled))
