"""What weaker evidence than a record says about a prediction. It advises; it never condemns."""

from __future__ import annotations

import msgspec

from ..axes import normalise, problem_with, same_axes, written
from ..findings import ADVISORY, HARMFUL, NOTE, UNVERIFIED, Finding
from ..flips import flips_of
from ..rules import remedies
from ..rules.checks import check_prediction
from ..rules.subjects import Prediction
from .fold_files import Evidence

#: These say nothing against the mirroring in use.
BESIDE_THE_POINT = ("NNG102", "NNG109")


def without_record(prediction: Prediction, evidence: Evidence | None) -> list[Finding]:
    """Checks a fold of which there is no record.

    Args:
        prediction: what the predictor uses.
        evidence: what else there is; ``None`` for nothing.

    Returns:
        NNG108 in any case, as a note where the evidence speaks against the axes in use, which is then a finding of its
        own and advisory; what can be said without knowing the training at all (NNG105).
    """
    if evidence is not None:
        prediction = msgspec.structs.replace(prediction, weaker=evidence.sentence)
    findings = check_prediction(None, prediction)
    used = prediction.axes if prediction.use_mirroring else None
    if evidence is None or problem_with(used, prediction.spatial_dims):
        return findings
    axes = normalise(used)
    told = _by_the_copy(evidence, prediction) if evidence.record else _by_the_text(evidence, prediction, axes)
    against = any(finding.code not in BESIDE_THE_POINT for finding in told)
    mentioned = [
        _mentioning(finding, evidence, axes, against) if finding.code == UNVERIFIED else finding for finding in findings
    ]
    return [*mentioned, *told]


def _mentioning(unverified: Finding, evidence: Evidence, used: tuple[int, ...], against: bool) -> Finding:
    """NNG108, which says what the evidence comes to."""
    unverified = unverified.replace(evidence={**unverified.evidence, "grade": evidence.grade})
    described = evidence.mirroring
    remedy = "To be sure, measure it on a few images: nnguard fliptest MODEL_FOLDER -i IMAGES"
    if against:
        return unverified.replace(
            severity=NOTE,
            message="There is no record of the training; weaker evidence speaks against the mirroring in use.",
            effect="nothing was observed; what the weaker evidence says is a finding of its own.",
            remedy=remedy,
        )
    if described is not None and set(used) <= set(described.axes):
        uses = f"mirroring along {written(used)}" if used else "predicting without mirroring"
        return unverified.replace(
            message=f"There is no record of the training; what {evidence.grade} says fits {uses}.",
            effect="nothing was observed: a text says what was asked for, not what happened.",
            remedy=remedy,
        )
    return unverified


def _by_the_copy(evidence: Evidence, prediction: Prediction) -> list[Finding]:
    """The copy is a whole record, but nothing proves that it belongs to these weights: repair refuses it, too."""
    judged = check_prediction(evidence.record, msgspec.structs.replace(prediction, repairable=False))
    return [_lowered(finding, evidence) for finding in judged if finding.code not in (UNVERIFIED, "NNG105")]


def _by_the_text(evidence: Evidence, prediction: Prediction, used: tuple[int, ...]) -> list[Finding]:
    described = evidence.mirroring
    absent = tuple(axis for axis in used if described is not None and axis not in described.axes)
    if described is None or not absent or not described.complete:
        return _edited(evidence, prediction)
    rare = all(axis in described.rarely for axis in absent)
    return [_untrained(evidence, prediction, used, absent, rare), *_edited(evidence, prediction)]


def _untrained(
    evidence: Evidence, prediction: Prediction, used: tuple[int, ...], absent: tuple[int, ...], rare: bool
) -> Finding:
    kept = tuple(axis for axis in used if axis not in absent)
    flips = [flip for flip in flips_of(used) if set(flip) & set(absent)]
    showed = "hardly ever showed" if rare else "did not show"
    return Finding(
        "NNG101",
        prediction.subject,
        f"The predictor mirrors along {written(used)}, and training seemingly {showed} flips of {written(absent)} "
        f"(evidence: {evidence.grade}).",
        seen=f"{evidence.sentence}; predictor uses axes {written(prediction.axes)}, from {prediction.axes_from}",
        effect=(
            "if so, some of the averaged views are ones that the network cannot read: segmentations get worse "
            "without any error, most where left and right carry different labels."
        ),
        remedy=_to_be_sure(prediction, kept),
        evidence={
            "grade": evidence.grade,
            "file": evidence.path,
            "axes": list(used),
            "described_axes": list(evidence.mirroring.axes) if evidence.mirroring else None,
            "flips": [list(flip) for flip in flips],
        },
        severity=ADVISORY,
        setting=written(used),
    )


def _to_be_sure(prediction: Prediction, kept: tuple[int, ...]) -> str:
    return (
        "Confirm it on a few images: nnguard fliptest MODEL_FOLDER -i IMAGES\n"
        "Until then predict without mirroring:\n"
        f"    {remedies.without_mirroring(prediction)}\n"
        f"{remedies.state_what_is_known(prediction, kept)}"
    )


def _edited(evidence: Evidence, prediction: Prediction) -> list[Finding]:
    """NNG109 by ``debug.json``, which keeps the axes that the trainer declared when it started."""
    axes = prediction.checkpoint_axes
    if evidence.declared is msgspec.UNSET or axes is msgspec.UNSET or same_axes(axes, evidence.declared):
        return []
    return [
        Finding(
            "NNG109",
            prediction.subject,
            f"The checkpoint's mirroring axes are {written(axes)}; at training start they were "
            f"{written(evidence.declared)} (evidence: {evidence.grade}).",
            seen=evidence.sentence,
            effect="somebody changed them after training: validation results belong to the earlier axes.",
            remedy="Find out who changed them and why.",
            evidence={"grade": evidence.grade, "file": evidence.path},
            setting=written(axes),
        )
    ]


def _lowered(finding: Finding, evidence: Evidence) -> Finding:
    return finding.replace(
        severity=ADVISORY if finding.severity == HARMFUL else finding.severity,
        evidence={**finding.evidence, "grade": evidence.grade},
        seen=f"{evidence.sentence}; {finding.seen}",
    )
