"""How the mirroring rules put flips, rates and axes into words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ..axes import name_axis
from ..flips import flips_of
from ..record import Axes, FlipEvidence, Record

#: What a verdict rests on, for people. A weaker grade is always named.
GRADES = {
    "observed": "observed while training",
    "measured": "measured on the trained network",
    "declared": "stated by the model's owner, not observed",
    "pending": "not settled when the record was written",
    "unknown": "not known",
}


def joined(words: Iterable[str]) -> str:
    """``a, b and c``."""
    *most, last = list(words)
    return f"{', '.join(most)} and {last}" if most else last


def percent(rate: float) -> str:
    """A share as people write it; whatever is not nothing does not read as 0 %."""
    return "< 1 %" if 0 < rate < 0.01 else f"{100 * rate:.0f} %"


def flip_name(flip: Axes, spatial_dims: int | None = None, transpose_forward: Sequence[int] | None = None) -> str:
    """``axis 1 (x, usually left-right)``, ``axes 0 and 1 together``, ``the plain view``."""
    if not flip:
        return "the plain view"
    if len(flip) == 1:
        return name_axis(flip[0], spatial_dims, transpose_forward)
    return f"axes {joined(str(axis) for axis in flip)} together"


def flip_names(flips: Iterable[Axes], record: Record) -> str:
    """Several flips in one phrase, named through the record's ``transpose_forward``; seven flips in three names."""
    flips = list(flips)
    axes = sorted({axis for flip in flips for axis in flip})
    if len(axes) > 1 and sorted(flips) == sorted(flips_of(axes)):
        names = joined(name_axis(axis, record.spatial_dims, record.transpose_forward) for axis in axes)
        return f"{names}, alone and together"
    return joined(flip_name(flip, record.spatial_dims, record.transpose_forward) for flip in flips)


def training_showed(record: Record, flips: Iterable[Axes]) -> str:
    """What training showed of these flips, with rates and draws, and how it is known."""
    mirroring = record.mirroring
    if mirroring.state in ("declared", "measured") and not mirroring.draws:
        axes = ", ".join(str(axis) for axis in mirroring.safe_axes or ()) or "none"
        kept = "" if mirroring.state == "declared" else "the network keeps its answer under "
        return f"trained with: {kept}mirrored axes {axes} ({GRADES[mirroring.state]})"
    draws = f"in {mirroring.clean} clean draws ({GRADES[mirroring.state]})"
    return f"trained with: {draws} {rates(record, flips)}"


def rates(record: Record, flips: Iterable[Axes]) -> str:
    """``the plain view 49 %, axis 0 (y, usually front-back) 47 %, never axis 1 (x, usually left-right)``."""
    mirroring = record.mirroring
    evidence = {flip: mirroring.flip(flip) for flip in flips if flip}
    parts = [f"the plain view {percent(mirroring.plain_rate)}"] if mirroring.plain_rate is not None else []
    parts += [
        f"{flip_name(flip, record.spatial_dims, record.transpose_forward)} {percent(seen.rate)}"
        for flip, seen in evidence.items()
        if seen is not None and seen.count
    ]
    never = [flip for flip, seen in evidence.items() if seen is None or not seen.count]
    if never:
        parts.append(f"never {flip_names(never, record)}")
    return ", ".join(parts)


def flip_data(flip: Axes, seen: FlipEvidence | None) -> dict[str, Any]:
    """One flip's numbers as plain data, for ``Finding.evidence``."""
    if seen is None:
        return {"axes": list(flip), "count": 0, "rate": 0.0, "verdict": "unseen", "labels": "unknown"}
    return {
        "axes": list(flip),
        "count": seen.count,
        "rate": round(seen.rate, 4),
        "low": round(seen.low, 4),
        "high": round(seen.high, 4),
        "verdict": seen.verdict,
        "labels": seen.labels,
    }
