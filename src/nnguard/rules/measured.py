"""NNG116, and NNG108 for what stayed open: the flips in use against what the trained network itself answered."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from ..axes import written
from ..findings import Finding
from ..flips import flips_of
from ..record import Axes, Record
from . import remedies
from .subjects import MeasuredFlip, Measurement, Prediction
from .verdicts import largest_part, measurement_in, repaired_axes, settled_against
from .words import flip_name, flip_names, joined

#: A flip that harms every other case goes unseen in four cases with (1/2)^4 = 6 %, in five with 3 %: fewer are no
#: verdict at the 95 % that nnguard asks of one.
FEWEST_CASES = 5


def measurement_of(record: Record | None, prediction: Prediction) -> Measurement | None:
    """What lies beside the checkpoint, or else what its record keeps."""
    if prediction.measured is not None:
        return prediction.measured
    return measurement_in(record) if record is not None else None


def check_measured(record: Record | None, prediction: Prediction, axes: Axes) -> list[Finding]:
    """NNG116 for the flips in use that the network cannot read, and that training is not known to have left out.

    Where nothing was observed, NNG108 for those that the measurement leaves open.

    Args:
        record: the checkpoint's; ``None`` where there is none.
        prediction: what the predictor uses.
        axes: the axes in use, well-formed.
    """
    measured = measurement_of(record, prediction)
    if measured is None:
        return []
    observed = record is not None and record.mirroring.state in ("observed", "declared")
    # What training is known to have left out is NNG101's and NNG106's business; an estimate is not known.
    left_out = settled_against(record, axes) if record is not None and observed else []
    flips = [flip for flip in flips_of(axes) if flip not in left_out]
    harmful = [flip for flip in flips if measured.verdict(flip) == "harmful"]
    unsettled = [] if observed else [flip for flip in flips if measured.verdict(flip) not in ("safe", "harmful")]
    findings = [unread(record, prediction, measured, axes, harmful)] if harmful else []
    if unsettled:
        findings.append(left_open(record, prediction, measured, axes, unsettled))
    return findings


def unread(
    record: Record | None, prediction: Prediction, measured: Measurement, axes: Axes, harmful: list[Axes]
) -> Finding:
    """NNG116."""
    return Finding(
        "NNG116",
        prediction.subject,
        f"The predictor mirrors {_names(harmful, record, prediction)}, under which the network was measured to lose "
        "Dice.",
        seen=in_words(measured, harmful, prediction),
        effect=_cost(measured, axes),
        remedy=_remedy(record, prediction, measured, axes),
        evidence=_data(measured, harmful, axes),
        setting=written(axes),
    )


def left_open(
    record: Record | None, prediction: Prediction, measured: Measurement, axes: Axes, flips: list[Axes]
) -> Finding:
    """NNG108: measured, and not settled."""
    why = why_open(measured.cases, measured.plain_dice is not None)
    return Finding(
        "NNG108",
        prediction.subject,
        f"Whether the network can read {_names(flips, record, prediction)} is not known: nnguard fliptest left it "
        f"open ({why}).",
        seen=in_words(measured, flips, prediction),
        effect="nothing is known of these flips, which is not the same as nothing wrong.",
        remedy=(
            f"Until it is known, predict without mirroring:\n    {remedies.without_mirroring(prediction)}\n"
            "To settle it, test more cases, with labels:\n"
            "    nnguard fliptest MODEL_FOLDER -i IMAGES -l LABELS -n 20 -o MODEL_FOLDER"
        ),
        evidence=_data(measured, flips, axes),
        setting=written(axes),
    )


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


def in_words(measured: Measurement, flips: list[Axes], prediction: Prediction) -> str:
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


def _names(flips: list[Axes], record: Record | None, prediction: Prediction) -> str:
    if record is not None:
        return flip_names(flips, record)
    return joined(flip_name(flip, prediction.spatial_dims, prediction.transpose_forward) for flip in flips)


def _cost(measured: Measurement, axes: Axes) -> str:
    plain, tta = measured.plain_dice, measured.tta_dice
    if plain is not None and tta is not None and measured.tta_axes == axes and plain > tta:
        return f"on the cases that were tested, this mirroring costs {plain - tta:.2f} Dice."
    return "views that the network cannot read are averaged in: segmentations get worse without any error."


def _remedy(record: Record | None, prediction: Prediction, measured: Measurement, axes: Axes) -> str:
    safe = safe_by_both(record, measured.flips, axes)
    repaired = repaired_axes(record, axes) if record is not None and prediction.measured_file is None else None
    text = remedies.for_prediction(prediction, safe, repaired=repaired)
    if prediction.measured_file is None:
        return text
    mending = f"nnguard repair {remedies.quote(prediction.subject)}"
    return text.replace(mending, f"{mending} --from-fliptest {remedies.quote(prediction.measured_file)}")


def _data(measured: Measurement, flips: list[Axes], axes: Axes) -> dict[str, object]:
    return {
        "grade": "fliptest",
        "axes": list(axes),
        "cases": measured.cases,
        "plain_dice": measured.plain_dice,
        "tta_dice": measured.tta_dice,
        "safe_axes": list(measured.safe_axes),
        "flips": [msgspec.to_builtins(one) for one in measured.flips if one.axes in flips],
    }
