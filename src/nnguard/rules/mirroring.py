"""NNG101-106, 108-110, 112-115: mirroring in training against mirroring at test time.

How much a verdict may do depends on how it is known:

- *observed* (the live pipeline) and *measured* (the trained network) are settled: they can be harmful,
  and ``correct`` acts on them.
- *declared* is its owner's word: the same rules, but never more than advisory, and nothing is corrected.
- *pending* and *unknown* are no verdict: never a mismatch; at prediction both are NNG108.

Of one flip only one rule speaks: label-swapping (NNG106), else unseen (NNG101), else rare (NNG112).
"""

from __future__ import annotations

from collections.abc import Mapping
from operator import index
from typing import Any

import msgspec

from ..axes import normalise, problem_with, written
from ..findings import ADVISORY, Finding
from ..flips import TRAINED_RATIO, flips_of, safe_axes
from ..record import Axes, FlipEvidence, Record
from . import remedies
from .subjects import Prediction, Training
from .wording import GRADES, flip_data, flip_names, joined, training_showed, unsettled_flips

#: States whose verdict may be harmful and may be corrected.
SETTLED = ("observed", "measured")
#: States that say which flips were trained at all.
JUDGED = (*SETTLED, "declared")

#: A clean draw is misread now and then (a strong additive gradient); a transform that flips only the
#: image does it in a half, an eighth or a quarter of the draws. One in twenty lies well between.
APART_SHARE = 0.05

#: How improbable "never plain" must be, were the plain view as frequent as the rarest common flip. Three
#: axes mirrored by a coin leave 64 draws without a plain one in 2 of 10,000 trainings.
PLAIN_VIEW_CHANCE = 0.001


def check_training(record: Record, training: Training) -> list[Finding]:
    """Judges a training at its start.

    Args:
        record: what was observed, with the declared axes.
        training: what the rules need beside it.

    Returns:
        Findings, one for each rule at most. A pending record yields nothing about mirroring.
    """
    findings = pipeline_faults(record, training)
    axes = record.axes.effective if record.axes.changed_by else record.axes.declared
    problem = problem_with(axes, record.spatial_dims)
    if problem:
        findings.append(malformed_in_training(record, training, axes, problem))
    if record.mirroring.state == "unknown":
        findings.append(unverified_training(record, training))
    if record.mirroring.state not in JUDGED:
        return findings
    if not problem:
        findings += declared_axes(record, training, normalise(axes))
    return findings + plain_view(record, training.subject)


def check_prediction(record: Record | None, prediction: Prediction) -> list[Finding]:
    """Judges a predictor that is about to run, for one checkpoint.

    Args:
        record: the checkpoint's; ``None`` where there is none (``prediction.no_record`` says why).
        prediction: what the predictor uses, and where that comes from.

    Returns:
        Findings, one for each rule at most.
    """
    findings = []
    spatial_dims = prediction.spatial_dims or (record.spatial_dims if record else None)
    used = prediction.axes if prediction.use_mirroring else None
    problem = problem_with(used, spatial_dims)
    if problem:
        findings.append(malformed_in_prediction(record, prediction, problem))
    if record is not None:
        findings += edited_axes(record, prediction)
    if record is None or record.mirroring.state not in JUDGED:
        return [*findings, unverified_prediction(record, prediction)]
    if not problem:
        findings += used_axes(record, prediction, normalise(used))
    return findings + plain_view(record, prediction.subject)


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
    return safe_axes(evidence_of(record), _axes_named_by(axes, record.spatial_dims)) or None


def evidence_of(record: Record) -> dict[Axes, FlipEvidence]:
    """Flip -> evidence. A declared or measured record may only name its safe axes: their flips count as trained."""
    evidence = {flip.axes: flip for flip in record.mirroring.flips}
    if record.mirroring.state in ("declared", "measured"):
        for flip in flips_of(record.mirroring.safe_axes or ()):
            evidence.setdefault(
                flip, FlipEvidence(axes=flip, count=0, rate=1.0, low=0.0, high=1.0, verdict="trained", labels="kept")
            )
    return evidence


def all_safe_axes(record: Record) -> Axes:
    """The safe axes among all axes of the data."""
    evidence = evidence_of(record)
    dims = record.spatial_dims or 1 + max((axis for flip in evidence for axis in flip), default=-1)
    return safe_axes(evidence, range(dims))


def unsound_flips(record: Record, axes: Axes) -> dict[str, list[Axes]]:
    """The flips of ``axes`` that test-time mirroring should not use: ``swapped``, ``unseen``, ``rare``."""
    evidence = evidence_of(record)
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


# ---------------------------------------------------------------- training starts


def pipeline_faults(record: Record, training: Training) -> list[Finding]:
    """NNG110, NNG114, NNG115: faults of the pipeline itself, whatever is declared."""
    findings = []
    if training.disagreement:
        findings.append(
            Finding(
                "NNG110",
                training.subject,
                "What the transforms say of themselves and what they do to data differ.",
                seen=training.disagreement,
                effect="nnguard goes by what they do; whoever reads the code goes by what they say.",
                remedy="Look at a few training samples, and rename or mend the transform: nnguard preview",
                evidence={"disagreement": training.disagreement},
            )
        )
    clean = record.mirroring.clean
    if clean and training.apart >= APART_SHARE * clean:
        findings.append(image_apart(training, clean))
    if training.edited_after_start:
        findings.append(edited_after_start(training))
    return findings


def image_apart(training: Training, clean: int) -> Finding:
    """NNG114."""
    return Finding(
        "NNG114",
        training.subject,
        "The image is flipped differently from its segmentation.",
        seen=f"trained with: {training.apart} of {clean} clean draws flip one of the two and not the other",
        effect="the network is taught wrong labels in these draws; its results are worse however it predicts.",
        remedy="Give image and segmentation to the same transform in one call, so that both share its random choice.",
        evidence={"apart": training.apart, "clean": clean, "share": round(training.apart / clean, 4)},
    )


def edited_after_start(training: Training) -> Finding:
    """NNG115."""
    return Finding(
        "NNG115",
        training.subject,
        "The augmentation was changed after the data loader's workers had copied it: the change has no effect.",
        seen=f"the workers train with the pipeline as it was when they started; {training.edited_after_start}",
        effect="training goes on with the old pipeline; the verdict on mirroring is about that one.",
        remedy=(
            "Make the change in get_training_transforms, which runs before the workers start:\n"
            "    @staticmethod\n"
            "    def get_training_transforms(*args, **kwargs):\n"
            "        transforms = nnUNetTrainer.get_training_transforms(*args, **kwargs)\n"
            "        ...  # change transforms here\n"
            "        return transforms"
        ),
        evidence={"difference": training.edited_after_start},
    )


def malformed_in_training(record: Record, training: Training, axes: Any, problem: str) -> Finding:
    """NNG105 before the first epoch."""
    settled = record.mirroring.state in JUDGED
    meant = safe_axes(evidence_of(record), _axes_named_by(axes, record.spatial_dims)) if settled else ()
    return Finding(
        "NNG105",
        training.subject,
        f"The trainer declares mirroring axes that nnU-Net cannot use: {problem}.",
        seen=f"inference_allowed_mirroring_axes = {written(axes)}",
        effect="nothing goes wrong while training; the validation after the last epoch, or every prediction, does.",
        remedy=remedies.declare_in_trainer(meant or None),
        evidence={"axes": written(axes), "spatial_dims": record.spatial_dims},
        setting=written(axes),
    )


def unverified_training(record: Record, training: Training) -> Finding:
    """NNG108 at training start."""
    reasons = "; ".join(record.mirroring.reasons) or "no reason was recorded"
    return Finding(
        "NNG108",
        training.subject,
        "Whether training mirrors could not be observed.",
        seen=f"{reasons}; the trainer declares {written(record.axes.declared)}",
        effect="nothing is known, which is not the same as nothing wrong: predictions with mirroring are unverified.",
        remedy=(
            "Compare predictions with and without mirroring once the model is trained:\n"
            "    nnguard fliptest MODEL_FOLDER -i IMAGES\n"
            "or state what you know of the checkpoint:\n"
            "    nnguard annotate CHECKPOINT --mirror-axes 0,1"
        ),
        evidence={
            "state": record.mirroring.state,
            "reasons": list(record.mirroring.reasons),
            "own_train_step": training.own_train_step,
        },
        setting=written(record.axes.declared),
    )


def declared_axes(record: Record, training: Training, axes: Axes) -> list[Finding]:
    """NNG103, NNG106, NNG104 for well-formed declared axes."""
    unsound = unsound_flips(record, axes)
    safe = safe_axes(evidence_of(record), axes)
    findings = []
    if unsound["unseen"] or unsound["rare"]:
        findings.append(trap(record, training, axes, unsound, safe))
    if unsound["swapped"]:
        declares = f"the trainer declares {written(axes)}"
        remedy = remedies.for_training(safe)
        findings.append(swapped(record, training.subject, axes, unsound["swapped"], safe, declares, remedy))
    if not findings and set(axes) < set(all_safe_axes(record)):
        findings.append(withheld(record, training, axes))
    return findings


def trap(record: Record, training: Training, axes: Axes, unsound: Mapping[str, list[Axes]], safe: Axes) -> Finding:
    """NNG103."""
    flips = sorted((*unsound["unseen"], *unsound["rare"]), key=lambda flip: (len(flip), flip))
    kinds = []
    if unsound["unseen"]:
        kinds.append(f"never shows {flip_names(unsound['unseen'], record)}")
    if unsound["rare"]:
        kinds.append(f"shows {flip_names(unsound['rare'], record)} too rarely to be learnt")
    return Finding(
        "NNG103",
        training.subject,
        f"The trainer allows test-time mirroring along {written(axes)}, but its training {', and '.join(kinds)}.",
        seen=_seen(record, flips_of(axes), f"the trainer declares {written(axes)}"),
        effect=(
            "the loss and the pseudo Dice look perfect; validation and every prediction average in views that the "
            "network cannot read, and are ruined where left and right carry different labels."
        ),
        remedy=remedies.for_training(safe),
        evidence=_evidence(record, flips, axes, safe),
        severity=_severity(record),
        setting=written(axes),
    )


def withheld(record: Record, training: Training, axes: Axes) -> Finding:
    """NNG104."""
    trained = all_safe_axes(record)
    return Finding(
        "NNG104",
        training.subject,
        f"Training mirrors along {written(trained)}, and the trainer forbids it at test time.",
        seen=_seen(record, flips_of(trained), f"the trainer declares {written(axes or None)}"),
        effect="predictions are faster and sound; test-time mirroring might have gained a little.",
        remedy=f"If that is meant, nothing. Otherwise: self.inference_allowed_mirroring_axes = {written(trained)}",
        evidence=_evidence(record, flips_of(trained), axes, trained),
        setting=written(axes),
    )


# ---------------------------------------------------------------- a predictor starts


def malformed_in_prediction(record: Record | None, prediction: Prediction, problem: str) -> Finding:
    """NNG105 before the first patch."""
    settled = record is not None and record.mirroring.state in JUDGED
    dims = prediction.spatial_dims or (record.spatial_dims if record else None)
    safe = safe_axes(evidence_of(record), _axes_named_by(prediction.axes, dims)) if record and settled else ()
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
    axes = prediction.checkpoint_axes
    if axes is msgspec.UNSET or remedies.same_axes(axes, record.axes.effective):
        return []
    return [
        Finding(
            "NNG109",
            prediction.subject,
            f"The checkpoint's mirroring axes are {written(axes)}; its record says {written(record.axes.effective)}.",
            seen=f"trained with: {written(record.axes.effective)}, as recorded; the checkpoint now has {written(axes)}",
            effect="somebody changed them after training: validation results belong to the recorded axes.",
            remedy=f"Find out who and why. Back to what is safe: nnguard repair {remedies.quote(prediction.subject)}",
            evidence={"checkpoint_axes": written(axes), "recorded_axes": written(record.axes.effective)},
            setting=written(axes),
        )
    ]


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


def used_axes(record: Record, prediction: Prediction, axes: Axes) -> list[Finding]:
    """NNG101, NNG112, NNG106 for the flips in use, and NNG102 for those left out."""
    unsound = unsound_flips(record, axes)
    safe = safe_axes(evidence_of(record), axes)
    findings = []
    for code, kind, words in (
        ("NNG101", "unseen", "which training never showed"),
        ("NNG112", "rare", "which training showed too rarely to be learnt"),
    ):
        if unsound[kind]:
            findings.append(untrained(code, record, prediction, axes, unsound[kind], safe, words))
    if unsound["swapped"]:
        remedy = remedies.for_prediction(prediction, safe)
        findings.append(swapped(record, prediction.subject, axes, unsound["swapped"], safe, _uses(prediction), remedy))
    return findings + unused(record, prediction, axes)


def untrained(
    code: str, record: Record, prediction: Prediction, axes: Axes, flips: list[Axes], safe: Axes, words: str
) -> Finding:
    """NNG101 or NNG112."""
    grade = " (as the model's owner says)" if record.mirroring.state == "declared" else ""
    return Finding(
        code,
        prediction.subject,
        f"The predictor mirrors {flip_names(flips, record)}, {words}{grade}.",
        seen=_seen(record, flips_of(axes), _uses(prediction)),
        effect=(
            f"{len(flips)} of the {len(flips_of(axes)) + 1} views that are averaged are ones that the network cannot "
            "read: segmentations get worse without any error, most where left and right carry different labels."
        ),
        remedy=remedies.for_prediction(prediction, safe),
        evidence=_evidence(record, flips, axes, safe),
        severity=_severity(record),
        setting=written(axes),
    )


def unused(record: Record, prediction: Prediction, axes: Axes) -> list[Finding]:
    """NNG102, against what the checkpoint's own axes allow: neither a trainer that withholds nor a repair is news."""
    try:
        allowed = normalise(record.axes.effective)
    except ValueError:
        return []
    expected = safe_axes(evidence_of(record), allowed)
    missing = tuple(axis for axis in expected if axis not in axes)
    if not missing:
        return []
    return [
        Finding(
            "NNG102",
            prediction.subject,
            f"Training mirrored along {written(expected)} and the predictor "
            + (f"uses only {written(axes)}." if axes else "does not mirror."),
            seen=_seen(record, flips_of(expected), _uses(prediction)),
            effect="the result is sound, but made with other settings than the validation; expect small differences.",
            remedy=(
                "If that is meant (it is faster), nothing. Otherwise leave out --disable_tta, or set\n"
                f"    predictor.use_mirroring, predictor.allowed_mirroring_axes = True, {written(expected)}"
            ),
            evidence=_evidence(record, flips_of(expected), axes, expected),
            setting=written(axes),
        )
    ]


# ---------------------------------------------------------------- both


def swapped(record: Record, subject: str, axes: Axes, flips: list[Axes], safe: Axes, uses: str, remedy: str) -> Finding:
    """NNG106, for the axes that a trainer declares or a predictor uses."""
    evidence = _evidence(record, flips, axes, safe)
    evidence["permutations"] = [
        {"axes": list(flip), "permutation": seen.permutation, "labels": seen.labels}
        for flip in flips
        if (seen := record.mirroring.flip(flip)) is not None
    ]
    exchanged = joined(sorted({_exchange(item["permutation"]) for item in evidence["permutations"]}))
    return Finding(
        "NNG106",
        subject,
        f"Test-time mirroring uses {flip_names(flips, record)}, under which training exchanged labels ({exchanged}).",
        seen=_seen(record, flips_of(axes), uses),
        effect=(
            "the network answers a mirrored image with exchanged labels, and nnU-Net does not exchange them back: "
            "averaging with the plain view makes one label of two, or none."
        ),
        remedy=remedy,
        evidence=evidence,
        severity=_severity(record),
        setting=written(axes),
    )


def plain_view(record: Record, subject: str) -> list[Finding]:
    """NNG113: training always flips, beyond chance."""
    mirroring = record.mirroring
    if mirroring.state != "observed" or mirroring.plain_rate != 0 or not mirroring.flips:
        return []
    most = max(flip.rate for flip in mirroring.flips)
    common = min((flip.rate for flip in mirroring.flips if flip.rate >= TRAINED_RATIO * most), default=0.0)
    if (1 - common) ** mirroring.clean > PLAIN_VIEW_CHANCE:
        return []
    flips = [flip.axes for flip in mirroring.flips if flip.count]
    return [
        Finding(
            "NNG113",
            subject,
            "Training always flips: the plain view, from which every prediction starts, was never shown.",
            seen=_seen(record, flips, "every prediction uses the plain view"),
            effect="each prediction starts from images that lie the other way round than anything the network saw.",
            remedy="Mirror by chance: MirrorTransform(allowed_axes=mirror_axes) flips each axis with probability 0.5.",
            evidence=_evidence(record, flips, (), ()),
        )
    ]


def _seen(record: Record, flips: list[Axes], uses: str) -> str:
    """Trained with X; predictor uses Y; and which verdicts are only estimates."""
    unsettled = unsettled_flips(record, [flip for flip in flips if record.mirroring.flip(flip)])
    caveat = (
        f"; too few draws to settle {flip_names(unsettled, record)}, which is judged by its estimate"
        if unsettled
        else ""
    )
    return f"{training_showed(record, flips)}; {uses}{caveat}"


def _uses(prediction: Prediction) -> str:
    """What the predictor uses, and where that comes from."""
    if not prediction.use_mirroring:
        return "predictor uses no mirroring (--disable_tta or use_mirroring=False)"
    return f"predictor uses axes {written(prediction.axes)}, from {prediction.axes_from}"


def _evidence(record: Record, flips: list[Axes], axes: Axes, safe: Axes) -> dict[str, Any]:
    evidence = evidence_of(record)
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


def _severity(record: Record) -> str | None:
    """The catalogue's, unless the verdict rests on somebody's word alone."""
    return None if record.mirroring.state in SETTLED else ADVISORY


def _exchange(permutation: Mapping[int, int] | None) -> str:
    """``1 and 2`` from ``{1: 2, 2: 1}``; some flips exchange labels without a rule that could be read off."""
    moved = [f"{source} becomes {target}" for source, target in sorted((permutation or {}).items()) if source != target]
    return joined(moved) if moved else "some of them, without one rule"


def _settling(prediction: Prediction) -> str:
    """What would settle an unknown."""
    place = remedies.quote(prediction.subject) if prediction.checkpoint_axes is not msgspec.UNSET else "CHECKPOINT"
    return (
        f"Until it is known, predict without mirroring:\n    {remedies.without_mirroring(prediction)}\n"
        "To settle it, compare predictions with and without mirroring:\n    nnguard fliptest MODEL_FOLDER -i IMAGES\n"
        f"or state what you know of the training:\n    nnguard annotate {place} --mirror-axes 0,1"
    )


def _axes_named_by(axes: Any, spatial_dims: int | None) -> Axes:
    """The spatial axes that a value names, whatever else is wrong with it: narrowing may drop, never add."""
    try:
        entries = [axes] if isinstance(axes, int) else list(axes if axes is not None else ())
    except TypeError:
        return ()
    named = set()
    for entry in entries:
        try:
            axis = index(entry)
        except TypeError:
            continue
        if not isinstance(entry, bool) and 0 <= axis < (spatial_dims or 3):
            named.add(axis)
    return tuple(sorted(named))
