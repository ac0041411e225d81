"""How a record is read as a verdict: which flips are sound, and how much that verdict may do."""

from __future__ import annotations

from typing import Any

import msgspec

from ..axes import plain_axes
from ..findings import ADVISORY
from ..flips import flips_of, safe_axes
from ..record import Axes, FlipEvidence, Record
from .subjects import Measurement
from .wording import flip_data

#: States whose verdict may be harmful and may be corrected.
SETTLED = ("observed", "measured")
#: States that say which flips were trained at all.
JUDGED = (*SETTLED, "declared")

#: The entry of ``Record.measured`` that holds a ``Measurement``.
FLIPTEST = "fliptest"

#: nnU-Net has 2D and 3D data. A hostile record or checkpoint may claim a thousand axes, and flips double with each.
MOST_AXES = 3


def narrowed_axes(record: Record | None, axes: Any) -> Any:
    """What ``correct`` makes of axes: the safe ones among them, never more.

    Args:
        record: the training's record.
        axes: the trainer's or the predictor's value, malformed or not.

    Returns:
        A sorted tuple; ``None`` where no axis is safe, since nnU-Net crashes on ``()``; ``axes`` itself
        where there is no settled verdict.
    """
    if record is None or record.mirroring.state not in SETTLED:
        return axes
    return safe_axes(evidence_of(record), axes_named_by(axes, record.spatial_dims)) or None


def shown_by(record: Record) -> dict[Axes, FlipEvidence]:
    """Flip -> evidence. A declared or measured record may only name its safe axes: their flips count as trained."""
    evidence = {flip.axes: flip for flip in record.mirroring.flips}
    if record.mirroring.state in ("declared", "measured"):
        for flip in flips_of(axis for axis in record.mirroring.safe_axes or () if 0 <= axis < MOST_AXES):
            evidence.setdefault(
                flip, FlipEvidence(axes=flip, count=0, rate=1.0, low=0.0, high=1.0, verdict="trained", labels="kept")
            )
    return evidence


def evidence_of(record: Record) -> dict[Axes, FlipEvidence]:
    """What was shown, without the flips that the trained network, where it was run, was not found to read."""
    evidence, measured = shown_by(record), measurement_in(record)
    if measured is None:
        return evidence
    return {flip: seen for flip, seen in evidence.items() if measured.verdict(flip) == "safe"}


def measurement_in(record: Record) -> Measurement | None:
    """What ``annotate`` or ``repair --from-fliptest`` put into the record."""
    entry = (record.measured or {}).get(FLIPTEST)
    if entry is None:
        return None
    try:
        return msgspec.convert(entry, Measurement)
    except msgspec.ValidationError:
        return None


def all_safe_axes(record: Record) -> Axes:
    """The safe axes among all axes of the data."""
    return safe_axes(evidence_of(record), range(dimensions(record.spatial_dims)))


def dimensions(*known: int | None) -> int:
    """The first number of spatial dimensions that is known; 3 where none is, and never more."""
    return min(next((dims for dims in known if dims), MOST_AXES), MOST_AXES)


def unsound_flips(record: Record, axes: Axes) -> dict[str, list[Axes]]:
    """The flips of ``axes`` that training speaks against: ``swapped``, ``unseen``, ``rare``."""
    evidence = shown_by(record)
    unsound: dict[str, list[Axes]] = {"swapped": [], "unseen": [], "rare": []}
    for flip in flips_of(axes):
        seen = evidence.get(flip)
        if seen is None or seen.verdict == "unseen":
            unsound["unseen"].append(flip)
        elif seen.labels in ("swapped", "mixed"):
            unsound["swapped"].append(flip)
        elif seen.verdict == "rare":
            unsound["rare"].append(flip)
    return unsound


def axes_named_by(axes: Any, spatial_dims: int | None) -> Axes:
    """The spatial axes that a value names, whatever else is wrong with it: narrowing may drop, never add."""
    value = plain_axes(axes)
    entries = value if isinstance(value, tuple) else (value,)
    named = {entry for entry in entries if type(entry) is int and 0 <= entry < dimensions(spatial_dims)}
    return tuple(sorted(named))


def axes_beyond(axes: Any, spatial_dims: int | None) -> Axes:
    """The axes that a value names and the data do not have: what was meant by them cannot be told."""
    named = axes_named_by(axes, None)
    return tuple(axis for axis in named if axis >= dimensions(spatial_dims))


def severity_of(record: Record) -> str | None:
    """The catalogue's, unless the verdict rests on somebody's word alone."""
    return None if record.mirroring.state in SETTLED else ADVISORY


def evidence_data(record: Record, flips: list[Axes], axes: Axes, safe: Axes) -> dict[str, Any]:
    """The numbers behind a finding on ``flips``, as plain data."""
    evidence = shown_by(record)
    plain = record.mirroring.plain_rate
    return {
        "state": record.mirroring.state,
        "axes": list(axes),
        "safe_axes": list(safe),
        "draws": record.mirroring.draws,
        "clean": record.mirroring.clean,
        "plain_rate": None if plain is None else round(plain, 4),
        "flips": [flip_data(flip, evidence.get(flip)) for flip in flips],
    }
