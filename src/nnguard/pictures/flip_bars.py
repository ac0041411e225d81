"""What a fliptest showed: a bar a flip, and one case with its plain, flipped and averaged answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from . import require_matplotlib
from .contact_sheet import DPI, FONT, add_legend, colour_of

#: Okabe and Ito's green, vermilion and grey; the hatch says the same to who sees no colour.
VERDICTS = {"safe": ("#009E73", ""), "harmful": ("#D55E00", "///"), "unsettled": ("#999999", "...")}
COLUMNS = 5
CELL = 2.6


class Bar(msgspec.Struct, frozen=True, kw_only=True):
    """One flip: its name, what was measured from 0 to 1, the interval where there is one, its verdict."""

    name: str
    value: float | None
    low: float | None
    high: float | None
    verdict: str


def write_flip_picture(
    target: Path,
    heading: str,
    measure: str,
    bars: Sequence[Bar],
    image: Any,
    panels: Mapping[str, Any],
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
        panels: title -> an answer to that case, its labels in the image's shape.
        base: the plain answer's value, drawn as a line; ``None`` for none.
        label_names: label -> its name; one without is called by its number.
    """
    require_matplotlib()
    from matplotlib.colors import ListedColormap
    from matplotlib.figure import Figure

    rows = -(-len(panels) // COLUMNS)
    height = 0.42 * len(bars) + 1.0
    figure = Figure(figsize=(CELL * COLUMNS, height + CELL * 1.1 * rows + 0.6), dpi=DPI, layout="constrained")
    figure.suptitle(heading, fontsize=FONT + 2)
    parts: Any = figure.subfigures(2, 1, height_ratios=[height, CELL * 1.1 * rows])
    above, below = parts
    _bars(above.subplots(), measure, bars, base)
    grid = below.subplots(rows, COLUMNS, squeeze=False)
    filled = sum((np.asarray(labels) > 0).sum(axis=(1, 2)) for labels in panels.values())
    shown = int(np.argmax(filled))
    low, high = np.percentile(image[shown], [1, 99])
    for axes in grid.flat:
        axes.set_axis_off()
    there: set[int] = set()
    for axes, (title, labels) in zip(grid.flat, panels.items(), strict=False):
        axes.imshow(image[shown], cmap="gray", vmin=low, vmax=max(high, low + 1e-6), interpolation="nearest")
        axes.set_title(title, fontsize=FONT, loc="left")
        for label in (int(label) for label in np.unique(labels[shown]) if label > 0):
            there.add(label)
            where = np.ma.masked_equal((labels[shown] == label).astype(float), 0.0)
            one_colour = ListedColormap([colour_of(label)])
            axes.imshow(where, cmap=one_colour, vmin=0, vmax=1, alpha=0.55, interpolation="nearest")
    add_legend(below, {label: label_names.get(label) for label in sorted(there)}, "outside lower left")
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
