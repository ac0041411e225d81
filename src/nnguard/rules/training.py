"""A training starts: NNG103, NNG104, NNG105, NNG106, NNG108, NNG112, NNG113, NNG114, NNG115."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..axes import normalise, problem_with, written
from ..findings import Finding
from ..flips import flips_of, safe_axes
from ..record import Apart, Axes, Record
from . import remedies, verdicts
from .shared import grade_words, image_apart, plain_view, seen_words, swapped, thin
from .subjects import Training
from .words import flip_names


def check_training(record: Record, training: Training) -> list[Finding]:
    """Judges a training at its start.

    Args:
        record: what was observed, with the declared axes.
        training: what the rules need beside it.

    Returns:
        Findings, one for each rule at most. A pending record yields nothing about mirroring.
    """
    findings = []
    if training.apart:
        findings.append(image_apart(training.subject, Apart(draws=training.apart, clean=record.mirroring.clean)))
    if training.edited_after_start:
        findings.append(edited_after_start(training.subject, training.edited_after_start))
    axes = record.axes.effective if record.axes.changed_by else record.axes.declared
    problem = problem_with(axes, verdicts.dimensions(record.spatial_dims))
    if problem:
        findings.append(malformed_in_training(record, training, axes, problem))
    if record.mirroring.state == "unknown":
        findings.append(unverified_training(record, training))
    if record.mirroring.state not in verdicts.JUDGED:
        return findings
    if not problem:
        findings += declared_axes(record, training, normalise(axes))
    return findings + plain_view(record, training.subject)


def edited_after_start(subject: str, difference: str) -> Finding:
    """NNG115."""
    return Finding(
        "NNG115",
        subject,
        "The augmentation was changed after the data loader's workers had copied it: the change has no effect.",
        seen=f"the workers train with the pipeline as it was when they started; {difference}",
        effect="training goes on with the old pipeline; the verdict on mirroring is about that one.",
        remedy=(
            "Make the change in get_training_transforms, which runs before the workers start:\n"
            "    @staticmethod\n"
            "    def get_training_transforms(*args, **kwargs):\n"
            "        transforms = nnUNetTrainer.get_training_transforms(*args, **kwargs)\n"
            "        ...  # change transforms here\n"
            "        return transforms"
        ),
        evidence={"difference": difference},
    )


def malformed_in_training(record: Record, training: Training, axes: Any, problem: str) -> Finding:
    """NNG105 before the first epoch."""
    settled = record.mirroring.state in verdicts.JUDGED
    named = verdicts.axes_named_by(axes, record.spatial_dims) if settled else ()
    meant = safe_axes(verdicts.evidence_of(record), named)
    shown = verdicts.all_safe_axes(record) if settled else ()
    return Finding(
        "NNG105",
        training.subject,
        f"The trainer declares mirroring axes that nnU-Net cannot use: {problem}.",
        seen=f"inference_allowed_mirroring_axes = {written(axes)}",
        effect="nothing goes wrong while training; the validation after the last epoch, or every prediction, does.",
        remedy=remedies.declare_in_trainer(meant or None, shown),
        evidence={"axes": written(axes), "spatial_dims": record.spatial_dims},
        setting=written(axes),
    )


def unverified_training(record: Record, training: Training) -> Finding:
    """NNG108 at training start."""
    reasons = record.mirroring.reasons
    return Finding(
        "NNG108",
        training.subject,
        "Whether training mirrors could not be observed.",
        seen=f"{'; '.join(reasons) or 'no reason was recorded'}; the trainer declares {written(record.axes.declared)}",
        effect="nothing is known, which is not the same as nothing wrong: predictions with mirroring are unverified.",
        remedy=(
            "Compare predictions with and without mirroring once the model is trained:\n"
            "    nnguard fliptest MODEL_FOLDER -i IMAGES\n"
            "or state what you know of the checkpoint:\n"
            "    nnguard repair CHECKPOINT --state AXES   (such as 0,1, or none)"
        ),
        evidence={
            "state": record.mirroring.state,
            "reasons": reasons,
            "own_train_step": training.own_train_step,
        },
        setting=written(record.axes.declared),
    )


def declared_axes(record: Record, training: Training, axes: Axes) -> list[Finding]:
    """NNG103, NNG106, NNG104, NNG112 for well-formed declared axes."""
    unsound = verdicts.unsound_flips(record, axes)
    safe = safe_axes(verdicts.evidence_of(record), axes)
    declares = f"the trainer declares {written(axes)}"
    findings = []
    if unsound["unseen"] or unsound["rare"]:
        findings.append(trap(record, training, axes, unsound, safe))
    if unsound["swapped"]:
        can = verdicts.correctable(record, unsound["swapped"])
        remedy = remedies.for_training(safe, verdicts.all_safe_axes(record), can, exchanges=True)
        findings.append(swapped(record, training.subject, axes, unsound["swapped"], safe, declares, remedy))
    if not findings and set(axes) < set(verdicts.all_safe_axes(record)):
        findings.append(withheld(record, training, axes))
    if flips := verdicts.thin_flips(record, axes):
        remedy = (
            "Mirror each axis with probability 0.5, as nnU-Net's MirrorTransform does, or measure the trained model:\n"
            "    nnguard fliptest MODEL_FOLDER -i IMAGES -l LABELS"
        )
        findings.append(thin(record, training.subject, axes, flips, declares, remedy))
    return findings


def trap(record: Record, training: Training, axes: Axes, unsound: Mapping[str, list[Axes]], safe: Axes) -> Finding:
    """NNG103."""
    flips = verdicts.in_order(*unsound["unseen"], *unsound["rare"])
    kinds = (("unseen", "never shows {}"), ("rare", "shows {} too rarely to be learnt"))
    told = ", and ".join(words.format(flip_names(unsound[kind], record)) for kind, words in kinds if unsound[kind])
    return Finding(
        "NNG103",
        training.subject,
        f"The trainer allows test-time mirroring along {written(axes)}, but its training {told}"
        f"{grade_words(record, flips)}.",
        seen=seen_words(record, flips_of(axes), f"the trainer declares {written(axes)}"),
        effect=(
            "the loss and the pseudo Dice look perfect; validation and every prediction average in views that the "
            "network cannot read, and are ruined where left and right carry different labels."
        ),
        remedy=remedies.for_training(safe, verdicts.all_safe_axes(record), verdicts.correctable(record, flips)),
        evidence=verdicts.evidence_data(record, flips, axes, safe),
        severity=verdicts.severity_of(record, flips),
        setting=written(axes),
    )


def withheld(record: Record, training: Training, axes: Axes) -> Finding:
    """NNG104."""
    trained = verdicts.all_safe_axes(record)
    return Finding(
        "NNG104",
        training.subject,
        f"Training mirrors along {written(trained)}, and the trainer forbids it at test time.",
        seen=seen_words(record, flips_of(trained), f"the trainer declares {written(axes or None)}"),
        effect="predictions are faster and sound; test-time mirroring might have gained a little.",
        remedy=f"If that is meant, nothing. Otherwise: self.inference_allowed_mirroring_axes = {written(trained)}",
        evidence=verdicts.evidence_data(record, flips_of(trained), axes, trained),
        setting=written(axes),
    )
