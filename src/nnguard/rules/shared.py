"""NNG106, NNG113 and NNG114, which training start and predictor both judge, and the words that all mirroring rules
share."""

from __future__ import annotations

from collections.abc import Mapping

from ..axes import written
from ..findings import Finding
from ..flips import TRAINED_RATIO, flips_of
from ..record import Apart, Axes, Record
from .verdicts import correctable, evidence_data, severity_of, unsettled_flips
from .words import flip_names, joined, training_showed

#: How improbable "never plain" must be, were the plain view as frequent as the rarest common flip. Three
#: axes mirrored by a coin leave 64 draws without a plain one in 2 of 10,000 trainings.
PLAIN_VIEW_CHANCE = 0.001


def swapped(record: Record, subject: str, axes: Axes, flips: list[Axes], safe: Axes, uses: str, remedy: str) -> Finding:
    """NNG106, for the axes that a trainer declares or a predictor uses."""
    evidence = evidence_data(record, flips, axes, safe)
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
        seen=seen_words(record, flips_of(axes), uses),
        effect=(
            "the network answers a mirrored image with exchanged labels, and nnU-Net does not exchange them back: "
            "averaging with the plain view makes one label of two, or none."
        ),
        remedy=remedy,
        evidence=evidence,
        severity=severity_of(record, flips),
        setting=written(axes),
    )


def thin(record: Record, subject: str, axes: Axes, flips: list[Axes], uses: str, remedy: str) -> Finding:
    """NNG112, for the axes that a trainer declares or a predictor uses."""
    return Finding(
        "NNG112",
        subject,
        f"Training seldom shows {flip_names(flips, record)}: the network may not have learnt it.",
        seen=seen_words(record, flips, uses),
        effect=(
            "none, if the network can tell from the image which way round it lies; if it cannot, mirroring costs up to "
            "half of Dice."
        ),
        remedy=remedy,
        evidence=evidence_data(record, flips, axes, axes),
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
            seen=seen_words(record, flips, "every prediction uses the plain view"),
            effect="each prediction starts from images that lie the other way round than anything the network saw.",
            remedy="Mirror by chance: MirrorTransform(allowed_axes=mirror_axes) flips each axis with probability 0.5.",
            evidence=evidence_data(record, flips, (), ()),
        )
    ]


def image_apart(subject: str, apart: Apart) -> Finding:
    """NNG114."""
    number, of, what = apart.draws, apart.clean, "clean draws"
    if not apart.draws:
        number, of, what = apart.cases, apart.compared, "cases of the first steps"
    return Finding(
        "NNG114",
        subject,
        "The image is flipped differently from its segmentation.",
        seen=f"trained with: {number} of {of} {what} flip one of the two and not the other",
        effect="the network is taught wrong labels in these cases; its results are worse however it predicts.",
        remedy="Give image and segmentation to the same transform in one call, so that both share its choice.",
        evidence={"apart": number, "of": of, "share": round(number / max(of, 1), 4)},
    )


def apart_in_training(record: Record, subject: str) -> list[Finding]:
    """NNG114 for a network that is trained already, whatever its predictor does."""
    if record.apart is None:
        return []
    finding = image_apart(subject, record.apart)
    return [
        finding.replace(
            message="The network was trained on images that were flipped differently from their segmentations.",
            remedy=f"Mend the training and train again, for no repair of the checkpoint helps.\n{finding.remedy}",
        )
    ]


def seen_words(record: Record, flips: list[Axes], uses: str) -> str:
    """Trained with X; predictor uses Y; and which verdicts are only estimates."""
    unsettled = unsettled_flips(record, [flip for flip in flips if record.mirroring.flip(flip)])
    caveat = (
        f"; too few draws to settle {flip_names(unsettled, record)}, which is judged by its estimate"
        if unsettled
        else ""
    )
    return f"{training_showed(record, flips)}; {uses}{caveat}"


def grade_words(record: Record, flips: list[Axes]) -> str:
    """What makes a verdict advisory, for its first sentence; nothing where it is settled."""
    if record.mirroring.state == "declared":
        return " (as the model's owner says)"
    return "" if correctable(record, flips) else " (an estimate)"


def _exchange(permutation: Mapping[int, int] | None) -> str:
    """``1 and 2`` from ``{1: 2, 2: 1}``; some flips exchange labels without a rule that could be read off."""
    moved = [f"{source} becomes {target}" for source, target in sorted((permutation or {}).items()) if source != target]
    return joined(moved) if moved else "some of them, without one rule"
