"""A predictor starts: NNG101, NNG102, NNG105, NNG106, NNG108, NNG109, NNG112, NNG113, NNG116."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from ..axes import normalise, problem_with, same_axes, written
from ..findings import Finding
from ..flips import flips_of, safe_axes
from ..record import Axes, Record
from . import remedies
from .measured import check_measured, measurement_of
from .shared import apart_in_training, grade_words, plain_view, seen_words, swapped, thin
from .subjects import Measurement, Prediction
from .verdicts import (
    JUDGED,
    axes_named_by,
    correctable,
    dimensions,
    evidence_data,
    evidence_of,
    in_order,
    repaired_axes,
    severity_of,
    thin_flips,
    unsettled_flips,
    unsound_flips,
)
from .words import GRADES, flip_names


def check_prediction(record: Record | None, prediction: Prediction) -> list[Finding]:
    """Judges a predictor that is about to run, for one checkpoint.

    Args:
        record: the checkpoint's; ``None`` where there is none (``prediction.no_record`` says why).
        prediction: what the predictor uses, and where that comes from.

    Returns:
        Findings, one for each rule at most.
    """
    findings = []
    spatial_dims = dimensions(prediction.spatial_dims, record.spatial_dims if record else None)
    used = prediction.axes if prediction.use_mirroring else None
    if used is msgspec.UNSET:
        return [unread_axes(prediction)]
    problem = problem_with(used, spatial_dims)
    if problem:
        findings.append(malformed_in_prediction(record, prediction, problem))
    if record is not None:
        findings += edited_axes(record, prediction)
        if not prediction.validation:  # which the training's start or first steps have told already
            findings += apart_in_training(record, prediction.subject)
    measured = measurement_of(record, prediction)
    if not problem:
        findings += check_measured(record, prediction, normalise(used))
    if record is None or record.mirroring.state not in JUDGED:
        if measured is not None or (record is not None and not problem and shown_all_the_same(record, normalise(used))):
            return findings
        return [*findings, unverified_prediction(record, prediction)]
    if not problem and record.mirroring.state == "measured" and measured is not None:
        return findings + unused(record, prediction, normalise(used))
    if not problem:
        findings += used_axes(record, prediction, normalise(used), measured)
    return findings + plain_view(record, prediction.subject)


def shown_all_the_same(record: Record, axes: Axes) -> bool:
    """Whether every flip in use was seen often enough, though others may be unknown: presence needs no more."""
    if not axes or not record.mirroring.plain_rate:
        return False
    return not any(unsound_flips(record, axes).values())


def malformed_in_prediction(record: Record | None, prediction: Prediction, problem: str) -> Finding:
    """NNG105 before the first patch."""
    settled = record is not None and record.mirroring.state in JUDGED
    dims = dimensions(prediction.spatial_dims, record.spatial_dims if record else None)
    safe = safe_axes(evidence_of(record), axes_named_by(prediction.axes, dims)) if record and settled else ()
    return Finding(
        "NNG105",
        prediction.subject,
        f"The predictor has mirroring axes that nnU-Net cannot use: {problem}.",
        seen=f"predictor uses {written(prediction.axes)}, from {prediction.axes_from}",
        effect="the run ends at its first patch, or flips the channels and returns nonsense without a word.",
        remedy=remedies.for_prediction(prediction, safe),
        evidence={"axes": written(prediction.axes), "axes_from": prediction.axes_from, "spatial_dims": dims},
        setting=written(prediction.axes),
    )


def edited_axes(record: Record, prediction: Prediction) -> list[Finding]:
    """NNG109."""
    axes, mends = prediction.checkpoint_axes, prediction.repairable
    if axes is msgspec.UNSET or same_axes(axes, record.axes.effective):
        return []
    return [
        Finding(
            "NNG109",
            prediction.subject,
            f"The checkpoint's mirroring axes are {written(axes)}; its record says {written(record.axes.effective)}.",
            seen=f"trained with: {written(record.axes.effective)}, as recorded; the checkpoint now has {written(axes)}",
            effect="somebody changed them after training: validation results belong to the recorded axes.",
            remedy="Find out who and why."
            + (f" Back to what is safe: nnguard repair {remedies.quote(prediction.subject)}" if mends else ""),
            evidence={"checkpoint_axes": written(axes), "recorded_axes": written(record.axes.effective)},
            setting=written(axes),
        )
    ]


def unread_axes(prediction: Prediction) -> Finding:
    """NNG108: the checkpoint's axes are an array or a tensor, which only running the file yields."""
    return Finding(
        "NNG108",
        prediction.subject,
        "The checkpoint keeps its mirroring axes as an array or a tensor, which is not read without running the file.",
        seen="the trainer's inference_allowed_mirroring_axes is neither None nor a tuple or list of numbers",
        effect="nothing is known of the mirroring, which is not the same as nothing wrong.",
        remedy=(
            "Predict under NNGUARD=strict: the guard reads the axes that PyTorch has loaded.\n"
            "In your trainer, declare a tuple: self.inference_allowed_mirroring_axes = (0, 1)"
        ),
    )


def unverified_prediction(record: Record | None, prediction: Prediction) -> Finding:
    """NNG108: no record, or one without a verdict."""
    if record is None:
        message = "Whether training mirrored is not known: the checkpoint has no nnguard record."
        why = prediction.no_record or "trained without nnguard"
    else:
        message = f"Whether training mirrored is not known: the record's state is {record.mirroring.state}."
        why = "; ".join(record.mirroring.reasons) or GRADES[record.mirroring.state]
    uses = _uses(prediction)
    mirrors = prediction.use_mirroring and prediction.axes is not None
    return Finding(
        "NNG108",
        prediction.subject,
        message,
        seen="; ".join(part for part in (why, prediction.weaker, uses) if part),
        effect=(
            "nothing is known, which is not the same as nothing wrong."
            if mirrors
            else "nothing is mirrored here, so no untrained flip is used; of the plain view nothing is known."
        ),
        remedy=_settling(prediction),
        evidence={
            "state": record.mirroring.state if record else None,
            "reasons": list(record.mirroring.reasons) if record else [why],
            "weaker": prediction.weaker,
            "axes": written(prediction.axes if prediction.use_mirroring else None),
        },
        setting=uses,
    )


def used_axes(record: Record, prediction: Prediction, axes: Axes, measured: Measurement | None) -> list[Finding]:
    """NNG101, NNG106 and NNG112 for the flips in use, and NNG102 for those left out."""
    unsound = unsound_flips(record, axes)
    safe = safe_axes(evidence_of(record), axes)
    absent = [*unsound["unseen"], *unsound["rare"]]
    if measured is not None:  # of an estimate, NNG116 tells what was measured
        read = [flip for flip in unsettled_flips(record, absent) if measured.verdict(flip) == "harmful"]
        unsound = {kind: [flip for flip in flips if flip not in read] for kind, flips in unsound.items()}
    findings = []
    if unsound["unseen"] or unsound["rare"]:
        findings.append(untrained(record, prediction, axes, unsound, safe))
    if unsound["swapped"]:
        remedy = _remedy(record, prediction, axes, unsound["swapped"], safe)
        findings.append(swapped(record, prediction.subject, axes, unsound["swapped"], safe, _uses(prediction), remedy))
    flips = [flip for flip in thin_flips(record, axes) if measured is None or measured.verdict(flip) == "unsettled"]
    if flips:
        findings.append(thin(record, prediction.subject, axes, flips, _uses(prediction), _measuring(prediction)))
    return findings + unused(record, prediction, axes)


def untrained(
    record: Record, prediction: Prediction, axes: Axes, unsound: Mapping[str, list[Axes]], safe: Axes
) -> Finding:
    """NNG101."""
    flips = in_order(*unsound["unseen"], *unsound["rare"])
    kinds = (("unseen", "which training never showed"), ("rare", "which training showed too rarely to be learnt"))
    told = " and ".join(f"{flip_names(unsound[kind], record)}, {words}" for kind, words in kinds if unsound[kind])
    return Finding(
        "NNG101",
        prediction.subject,
        f"The predictor mirrors {told}{grade_words(record, flips)}.",
        seen=seen_words(record, flips_of(axes), _uses(prediction)),
        effect=(
            f"{len(flips)} of the {len(flips_of(axes)) + 1} views that are averaged are ones that the network cannot "
            "read: segmentations get worse without any error, most where left and right carry different labels."
        ),
        remedy=_remedy(record, prediction, axes, flips, safe),
        evidence=evidence_data(record, flips, axes, safe),
        severity=severity_of(record, flips),
        setting=written(axes),
    )


def _remedy(record: Record, prediction: Prediction, axes: Axes, flips: list[Axes], safe: Axes) -> str:
    return remedies.for_prediction(prediction, safe, correctable(record, flips), repaired_axes(record, axes))


def unused(record: Record, prediction: Prediction, axes: Axes) -> list[Finding]:
    """NNG102, against what the checkpoint's own axes allow: neither a trainer that withholds nor a repair is news."""
    if problem_with(record.axes.effective, dimensions(record.spatial_dims)):
        return []
    expected = safe_axes(evidence_of(record), normalise(record.axes.effective))
    missing = tuple(axis for axis in expected if axis not in axes)
    if not missing:
        return []
    return [
        Finding(
            "NNG102",
            prediction.subject,
            f"Training mirrored along {written(expected)} and the predictor "
            + (f"uses only {written(axes)}." if axes else "does not mirror."),
            seen=seen_words(record, flips_of(expected), _uses(prediction)),
            effect="the result is sound, but made with other settings than the validation; expect small differences.",
            remedy=(
                "If that is meant (it is faster), nothing. Otherwise leave out --disable_tta, or set\n"
                f"    predictor.use_mirroring, predictor.allowed_mirroring_axes = True, {written(expected)}"
            ),
            evidence=evidence_data(record, flips_of(expected), axes, expected),
            setting=written(axes),
        )
    ]


def _uses(prediction: Prediction) -> str:
    """What the predictor uses, and where that comes from."""
    if not prediction.use_mirroring:
        return "predictor uses no mirroring (--disable_tta or use_mirroring=False)"
    return f"predictor uses axes {written(prediction.axes)}, from {prediction.axes_from}"


def _measuring(prediction: Prediction) -> str:
    known = prediction.checkpoint_axes is not msgspec.UNSET
    folder = remedies.model_folder_of(prediction.subject) if known else "MODEL_FOLDER"
    return f"Measure what mirroring costs:\n    nnguard fliptest {folder} -i IMAGES -l LABELS"


def _settling(prediction: Prediction) -> str:
    """What would settle an unknown. No axes are filled in: those of the checkpoint are what is in doubt."""
    known = prediction.checkpoint_axes is not msgspec.UNSET
    place = remedies.quote(prediction.subject) if known else "CHECKPOINT"
    folder = remedies.model_folder_of(prediction.subject) if known else "MODEL_FOLDER"
    settle = (
        f"compare predictions with and without mirroring:\n    nnguard fliptest {folder} -i IMAGES\n"
        f"or state what you know of the training, AXES such as 0,1, or none:\n"
        f"    nnguard repair {place} --state AXES"
    )
    if not prediction.use_mirroring or prediction.axes is None:
        return f"To settle it, {settle}"
    return (
        "Until it is known, predict without mirroring (NNGUARD=exact refuses what is unverified all the same):\n"
        f"    {remedies.without_mirroring(prediction)}\nTo settle it, {settle}"
    )
