"""How a record is read as a verdict: which flips are sound, and how much that verdict may do."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from typing import Any

import msgspec

from ..axes import plain_axes
from ..findings import ADVISORY
from ..flips import TRAINED_RATIO, alpha_at, at_least, flips_of, interval, safe_axes, settled
from ..record import Axes, FlipEvidence, Record
from .subjects import Measurement
from .words import flip_data

#: States whose verdict may be harmful and may be corrected.
SETTLED = ("observed", "measured")
#: States that say which flips were trained at all.
JUDGED = (*SETTLED, "declared")

#: The entry of ``Record.measured`` that holds a ``Measurement``.
FLIPTEST = "fliptest"

#: A trained flip of one axis that is shown less often than this, relative to the plain view, may be unlearnt all the
#: same: where nothing in the image tells how it lies, mirroring with probability 0.1 or 0.3 cost half of Dice
#: (docs/calibration.md). An ordinary mirror is as frequent as the plain view.
THIN_RATIO = 0.3
#: How improbable so few must be for an ordinary mirror: three axes of an ordinary training are looked at each time.
THIN_CHANCE = 0.001

#: nnU-Net has 2D and 3D data. A hostile record or checkpoint may claim a thousand axes, and flips double with each.
MOST_AXES = 3


def narrowed_axes(
    record: Record | None, axes: Any, measured: Measurement | None = None, spatial_dims: int | None = None
) -> Any:
    """What ``correct`` makes of axes: the largest part of them that nothing settled speaks against.

    An estimate takes no axis away, nor does a flip that a measurement left open.

    Args:
        record: the training's record.
        axes: the trainer's or the predictor's value, malformed or not.
        measured: what was measured on these weights; by default what the record keeps of it.
        spatial_dims: of the data, where there may be no record.

    Returns:
        A sorted tuple; ``None`` where no axis is left, since nnU-Net crashes on ``()``; ``axes`` itself
        where there is no settled verdict.
    """
    if record is not None and measured is None:
        measured = measurement_in(record)
    # A record whose state is "measured" repeats what was measured, and knows less of it.
    states = SETTLED if measured is None else ("observed",)
    shown = record if record is not None and record.mirroring.state in states else None
    if shown is None and measured is None:
        return axes
    named = axes_named_by(axes, spatial_dims or (record.spatial_dims if record else None))
    against = set(settled_against(shown, named)) if shown is not None else set()
    if measured is not None:
        against |= {flip for flip in flips_of(named) if measured.verdict(flip) == "harmful"}
    rates = {flip: seen.rate for flip, seen in shown_by(shown).items()} if shown is not None else {}
    return largest_part(named, against, rates) or None


def repaired_axes(record: Record, axes: Axes) -> Axes:
    """What ``repair`` makes of axes: as ``correct``, and by an owner's statement, too, who is the one that repairs."""
    left = narrowed_axes(record, axes) or ()
    stated_against = settled_against(record, left) if record.mirroring.state == "declared" else []
    return largest_part(left, stated_against, {})


def largest_part(axes: Axes, against: Container[Axes], rates: Mapping[Axes, float]) -> Axes:
    """The largest part of ``axes`` without a flip that is in ``against``; ties go to the one with the highest rates."""
    kept = {flip: _trained(flip, rates.get(flip, 0.0)) for flip in flips_of(axes) if flip not in against}
    return safe_axes(kept, axes)


def _trained(flip: Axes, rate: float) -> FlipEvidence:
    """A flip that was not counted, as if it had been seen."""
    return FlipEvidence(axes=flip, count=0, rate=rate, low=0.0, high=1.0, verdict="trained", labels="kept")


def shown_by(record: Record) -> dict[Axes, FlipEvidence]:
    """Flip -> evidence. A declared or measured record may only name its safe axes: their flips count as trained."""
    evidence = {flip.axes: flip for flip in record.mirroring.flips}
    if record.mirroring.state in ("declared", "measured"):
        for flip in flips_of(axis for axis in record.mirroring.safe_axes or () if 0 <= axis < MOST_AXES):
            evidence.setdefault(flip, _trained(flip, 1.0))
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


def unsettled_flips(record: Record, flips: Iterable[Axes]) -> list[Axes]:
    """Those flips whose verdict is only an estimate: whether an axis is above or below a tenth may be chance."""
    mirroring = record.mirroring
    if mirroring.state != "observed" or mirroring.plain_rate is None:
        return []
    counts = {flip.axes: flip.count for flip in mirroring.flips} | {(): round(mirroring.plain_rate * mirroring.clean)}
    alpha = alpha_at(mirroring.draws)

    def is_rare(axis: int) -> bool:
        # Stretches that were trained one after the other are known better than as many draws of their mixture.
        seen = mirroring.flip((axis,))
        return seen is not None and seen.high < TRAINED_RATIO * interval(counts[()], mirroring.clean, alpha)[0]

    return [
        flip
        for flip in flips
        if not settled(flip, counts, mirroring.clean, alpha) and not any(is_rare(axis) for axis in flip)
    ]


def thin_flips(record: Record, axes: Axes) -> list[Axes]:
    """The flips of one axis of ``axes`` that are trained beyond chance, keep labels, and are shown seldom."""
    mirroring = record.mirroring
    if mirroring.state != "observed" or mirroring.plain_rate is None:
        return []
    plain = round(mirroring.plain_rate * mirroring.clean)

    def is_thin(seen: FlipEvidence | None) -> bool:
        if seen is None or seen.verdict != "trained" or seen.labels in ("swapped", "mixed"):
            return False
        if seen.count >= THIN_RATIO * plain or unsettled_flips(record, [seen.axes]):
            return False
        return 1 - at_least(seen.count + 1, seen.count + plain, 0.5) < THIN_CHANCE

    return [(axis,) for axis in axes if is_thin(mirroring.flip((axis,)))]


def settled_against(record: Record, axes: Axes) -> list[Axes]:
    """The flips of ``axes`` that training speaks against beyond chance.

    A flip that exchanges labels is among them however often it was shown: it does harm on either side of a tenth.
    """
    unsound = unsound_flips(record, axes)
    absent = [*unsound["unseen"], *unsound["rare"]]
    estimates = unsettled_flips(record, absent)
    return [*unsound["swapped"], *(flip for flip in absent if flip not in estimates)]


def axes_named_by(axes: Any, spatial_dims: int | None) -> Axes:
    """The spatial axes that a value names, whatever else is wrong with it: narrowing may drop, never add."""
    value = plain_axes(axes)
    entries = value if isinstance(value, tuple) else (value,)
    named = {entry for entry in entries if type(entry) is int and 0 <= entry < dimensions(spatial_dims)}
    return tuple(sorted(named))


def correctable(record: Record, flips: list[Axes]) -> bool:
    """Whether the verdict on any of ``flips`` is settled, so that it may be harmful and ``correct`` acts on it."""
    axes = tuple(sorted({axis for flip in flips for axis in flip}))
    return record.mirroring.state in SETTLED and not set(flips).isdisjoint(settled_against(record, axes))


def severity_of(record: Record, flips: list[Axes]) -> str | None:
    """The catalogue's, unless the verdict on all of ``flips`` is somebody's word or an estimate."""
    return None if correctable(record, flips) else ADVISORY


def in_order(*flips: Axes) -> list[Axes]:
    """Small ones first, as ``flips_of`` lists them."""
    return sorted(flips, key=lambda flip: (len(flip), flip))


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
