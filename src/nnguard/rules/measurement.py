"""What running a trained network showed of its flips: which measurement counts, and how to say it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from ..axes import written
from ..flips import flips_of
from ..record import Axes, Record
from .subjects import MeasuredFlip, Measurement, Prediction
from .verdicts import largest_part, measurement_in, settled_against
from .words import flip_name, flip_names, joined

#: A flip that harms every other case goes unseen in four cases with (1/2)^4 = 6 %, in five with 3 %: fewer are no
#: verdict at the 95 % that nnguard asks of one.
FEWEST_CASES = 5


def measurement_of(record: Record | None, prediction: Prediction) -> Measurement | None:
    """What lies beside the checkpoint, or else what its record keeps."""
    if prediction.measured is not None:
        return prediction.measured
    return measurement_in(record) if record is not None else None


def why_open(cases: int, with_labels: bool) -> str:
    """Why a fliptest that ran on so many cases may leave a flip unsettled."""
    if cases < FEWEST_CASES:
        return f"{cases} of the {FEWEST_CASES} cases that a verdict takes"
    if not with_labels:
        return "without labels, low agreement does not tell which of two answers is wrong"
    return (
        "its interval lies on both sides of what counts as harm: test more cases, though a network whose own Dice is "
        "low has nothing to lose"
    )


def measured_words(measured: Measurement, flips: list[Axes], prediction: Prediction) -> str:
    """``measured with nnguard fliptest on 8 cases: plain Dice 0.94, axis 1 0.02``, and the axes in use."""
    cases = f"{measured.cases} case{'' if measured.cases == 1 else 's'}"
    parts = [] if measured.plain_dice is None else [f"plain Dice {measured.plain_dice:.2f}"]
    for one in measured.flips:
        name = flip_name(one.axes, prediction.spatial_dims, prediction.transpose_forward)
        if one.axes in flips and one.dice is not None:
            parts.append(f"{name} {one.dice:.2f}")
        elif one.axes in flips and one.agreement is not None and measured.plain_dice is None:
            parts.append(f"{name} agrees with the plain answer at {one.agreement:.2f}")
    used = f"predictor uses axes {written(prediction.axes)}, from {prediction.axes_from}"
    return f"measured with nnguard fliptest on {cases}: {', '.join(parts) or 'no figures'}; {used}"


def safe_by_both(record: Record | None, flips: Sequence[MeasuredFlip], axes: Iterable[int]) -> Axes:
    """The largest subset of ``axes`` that was measured to be safe and, where training was observed, that it showed.

    Ties go to the subset whose worst flip agrees best.
    """
    agreement = {one.axes: one.agreement or 0.0 for one in flips if one.verdict == "safe"}
    axes = tuple(axes)
    against = [flip for flip in flips_of(axes) if flip not in agreement]
    if record is not None and record.mirroring.state == "observed":
        against += settled_against(record, axes)
    return largest_part(axes, against, agreement)


def names_of(flips: list[Axes], record: Record | None, prediction: Prediction) -> str:
    """Several flips in one phrase, as far as anything tells which axis is which."""
    if record is not None:
        return flip_names(flips, record)
    return joined(flip_name(flip, prediction.spatial_dims, prediction.transpose_forward) for flip in flips)


def evidence_in(measured: Measurement, flips: list[Axes], axes: Axes) -> dict[str, object]:
    """The numbers behind a finding on ``flips``, as plain data."""
    return {
        "grade": "fliptest",
        "axes": list(axes),
        "cases": measured.cases,
        "plain_dice": measured.plain_dice,
        "tta_dice": measured.tta_dice,
        "safe_axes": list(measured.safe_axes),
        "flips": [msgspec.to_builtins(one) for one in measured.flips if one.axes in flips],
    }
