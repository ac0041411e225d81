"""Which rule speaks, and of which flip. The rules themselves know nothing of each other.

- Rules speak in the order of their codes.
- NNG108 speaks alone if only running the file would tell which axes are in use.
- NNG105 speaks of axes that nnU-Net cannot use, and then no rule speaks of their flips.
- A record whose state is *measured* repeats what a measurement said. Beside the measurement it is silent about flips.

Of one flip only one rule speaks, the first that applies:

1. NNG106: training exchanged labels under it.
2. NNG101, or NNG103 in a training: training is known to have shown it never or too rarely.
3. NNG116: the network was measured to lose Dice under it.
4. NNG101, or NNG103: training never or too rarely showed it, which is an estimate that no measurement found harmful.
5. NNG112: training showed it seldom, and no measurement settled whether the network reads it.
6. NNG108: nothing was observed, and the measurement left it open.
"""

from __future__ import annotations

import msgspec

from ..axes import normalise
from ..findings import UNVERIFIED
from ..flips import flips_of
from ..record import Axes, Record
from .measurement import measurement_of
from .subjects import Measurement, Prediction
from .usable_axes import declared, in_use, problem_with_declared, usable_in_use
from .verdicts import JUDGED, settled_against, thin_flips, unsettled_flips, unsound_flips


class JudgedUse(msgspec.Struct, frozen=True):
    """The axes in use, what training showed of them, and what was measured."""

    record: Record
    axes: Axes
    measured: Measurement | None


def speaks_alone(prediction: Prediction) -> str | None:
    """The code of the one rule that can say anything; ``None`` if all may speak."""
    return UNVERIFIED if in_use(prediction) is msgspec.UNSET else None


def judged_in_use(record: Record | None, prediction: Prediction) -> JudgedUse | None:
    """The axes in use; ``None`` if nnU-Net cannot use them, or if what training showed does not decide."""
    axes = usable_in_use(record, prediction)
    if record is None or axes is None or record.mirroring.state not in JUDGED:
        return None
    measured = measurement_of(record, prediction)
    if record.mirroring.state == "measured" and measured is not None:
        return None
    return JudgedUse(record, axes, measured)


def judged_declared(record: Record) -> Axes | None:
    """The axes that the trainer declares; ``None`` in the same cases."""
    if record.mirroring.state not in JUDGED or problem_with_declared(record):
        return None
    return normalise(declared(record))


def swapped_flips(record: Record, axes: Axes) -> list[Axes]:
    """NNG106."""
    return unsound_flips(record, axes)["swapped"]


def untrained_flips(record: Record, axes: Axes, measured: Measurement | None = None) -> tuple[list[Axes], list[Axes]]:
    """NNG101 and NNG103: the unseen flips and the rare ones."""
    unsound = unsound_flips(record, axes)
    unseen, rare = unsound["unseen"], unsound["rare"]
    if measured is None:
        return unseen, rare
    left = [flip for flip in unsettled_flips(record, [*unseen, *rare]) if measured.verdict(flip) == "harmful"]
    return [flip for flip in unseen if flip not in left], [flip for flip in rare if flip not in left]


def unread_flips(record: Record | None, axes: Axes, measured: Measurement) -> list[Axes]:
    """NNG116."""
    left_out = settled_against(record, axes) if record is not None and _is_observed(record) else []
    return [flip for flip in flips_of(axes) if flip not in left_out and measured.verdict(flip) == "harmful"]


def seldom_flips(record: Record, axes: Axes, measured: Measurement | None = None) -> list[Axes]:
    """NNG112."""
    flips = thin_flips(record, axes)
    return [flip for flip in flips if measured is None or measured.verdict(flip) == "unsettled"]


def open_flips(record: Record | None, axes: Axes, measured: Measurement) -> list[Axes]:
    """NNG108."""
    if record is not None and _is_observed(record):
        return []
    return [flip for flip in flips_of(axes) if measured.verdict(flip) not in ("safe", "harmful")]


def _is_observed(record: Record) -> bool:
    return record.mirroring.state in ("observed", "declared")
