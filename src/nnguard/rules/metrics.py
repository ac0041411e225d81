"""NNG401 and NNG402: results that do not fit together, or no longer fit the checkpoint."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any

import msgspec

from ..axes import written
from ..findings import UNVERIFIED, Finding, worst_first
from ..record import Record
from .remedies import same_axes
from .subjects import Scores
from .wording import joined

#: Pseudo Dice is of patches, validation Dice of whole images, and nnU-Net's maintainers call a gap normal (#1993,
#: #2045): 0.84 against 0.70 in their issue #2128. Untrained mirroring makes 0.94 into 0.47 (``nnguard demo``).
METRIC_GAP = 0.2

#: The bound for one label by itself: twice as much, for a label of few voxels scatters more than a mean. Where labels
#: lie left and right, untrained mirroring costs the worse one 0.56 to 0.92 (``nnguard demo``, four trainings).
LABEL_GAP = 2 * METRIC_GAP

#: Fewer other folds, or other labels, say nothing about what is usual.
FEWEST_OTHERS = 3

#: As far outside as a normal distribution goes once in a thousand: three standard deviations, told from the median
#: absolute deviation (times 1.4826), which one odd fold does not move.
FAR_OUTSIDE = 3 * 1.4826

#: Labels that a message names; the evidence has all of them.
LABELS_NAMED = 4

#: Findings that make validation worse than training without showing in the pseudo Dice. NNG402 is among them: after a
#: repair it is the old axes' validation that lies there.
EXPLAINS_A_GAP = (
    "NNG101",
    "NNG103",
    "NNG105",
    "NNG106",
    "NNG113",
    "NNG116",
    "NNG201",
    "NNG402",
)


def check_gap(
    subject: str,
    scores: Scores,
    others: Iterable[Finding] = (),
    *,
    siblings: Sequence[Scores] = (),
    model: str = "MODEL_FOLDER",
    measured: str = "",
    fliptest: str = "",
) -> list[Finding]:
    """NNG401.

    Of the two ways to average validation, over images or over all their voxels, the one that comes closer to the
    pseudo Dice counts: small objects in few images lower the first without anything being wrong.

    Args:
        subject: the fold, for people.
        scores: of this fold.
        others: this subject's other findings, some of which may explain the gap.
        siblings: the scores of the same model's other folds.
        model: its folder, as a shell takes it.
        measured: in words, what running the network without mirroring has shown; ``""`` where nobody has.
        fliptest: in words, what a fliptest of these weights has shown; ``""`` where there is none to go by.
    """
    gaps = label_gaps(scores)
    overall = _overall_gap(scores)
    outside = [label for label in gaps if _is_outside(label, gaps, [label_gaps(one) for one in siblings])]
    if not outside and (overall is None or overall <= METRIC_GAP):
        return []
    explained = sorted({one.code for one in worst_first(others) if one.code in EXPLAINS_A_GAP})
    unverified = not explained and any(one.code == UNVERIFIED for one in others)
    whole = overall is not None and overall > METRIC_GAP
    seen = [f"a gap of {overall:.2f}" if whole else _gap_words(outside, gaps, siblings)]
    seen.append(f"up to {METRIC_GAP} is usual, for patches are easier than whole images")
    seen += [_label_words(scores, gaps)] if gaps else []
    seen += [f"{', '.join(explained)} explain{'s' if len(explained) == 1 else ''} it"] if explained else []
    seen += ["what training mirrored is not known (NNG108): untrained mirroring would explain it"] if unverified else []
    seen += [measured] if measured else []
    return [
        Finding(
            "NNG401",
            subject,
            _gap_message(scores, outside, whole),
            seen="; ".join(seen),
            effect="the network is better than the results that it is judged by, or training hides what goes wrong.",
            remedy=(f"See to {', '.join(explained)} first, then validate again.\n" if explained else "")
            + (
                f"What mirroring costs has been measured already ({fliptest})."
                if fliptest
                else f"Measure what mirroring costs:\n    nnguard fliptest {model} -i IMAGES -l LABELS"
            ),
            evidence={
                "pseudo_dice": scores.pseudo,
                "validation_dice": scores.validation,
                "gap": None if overall is None else round(overall, 4),
                "labels": [
                    {
                        "label": label,
                        "pseudo_dice": scores.pseudo_labels[label],
                        "validation_dice": scores.validation_labels.get(label),
                        "gap": round(gap, 4),
                        "far_outside": label in outside,
                    }
                    for label, gap in gaps.items()
                ],
                "explained_by": explained,
            },
        )
    ]


def label_gaps(scores: Scores) -> dict[str, float]:
    """Pseudo Dice less the kinder validation Dice, for each label that has both."""
    gaps = {}
    for label, pseudo in scores.pseudo_labels.items():
        validated = [dice[label] for dice in (scores.validation_labels, scores.pooled_labels) if label in dice]
        if validated and math.isfinite(pseudo - max(validated)):
            gaps[label] = pseudo - max(validated)
    return gaps


def _overall_gap(scores: Scores) -> float | None:
    if scores.pseudo is None or scores.validation is None or not math.isfinite(scores.pseudo - scores.validation):
        return None
    pooled = list(scores.pooled_labels.values())
    kinder = max(scores.validation, sum(pooled) / len(pooled)) if pooled else scores.validation
    return scores.pseudo - kinder


def _is_outside(label: str, gaps: Mapping[str, float], siblings: Sequence[Mapping[str, float]]) -> bool:
    """Whether a label's gap is far outside what other labels and other folds show, or too wide whatever they show."""
    gap = gaps[label]
    if gap > LABEL_GAP:
        return True
    groups = ([other for name, other in gaps.items() if name != label], _elsewhere(label, siblings))
    told = [group for group in groups if len(group) >= FEWEST_OTHERS]
    return gap > METRIC_GAP and bool(told) and all(_far_above(gap, group) for group in told)


def _elsewhere(label: str, siblings: Sequence[Mapping[str, float]]) -> list[float]:
    return [one[label] for one in siblings if label in one]


def _far_above(gap: float, usual: Sequence[float]) -> bool:
    middle = median(usual)
    spread = median(abs(one - middle) for one in usual)
    return gap - middle > max(METRIC_GAP, FAR_OUTSIDE * spread)


def _gap_message(scores: Scores, outside: Sequence[str], whole: bool) -> str:
    if whole:
        return f"The pseudo Dice is {scores.pseudo:.2f} and the validation Dice {scores.validation:.2f}."
    named = [
        f"of {label} {scores.pseudo_labels[label]:.2f} and {_validated(scores, label):.2f}"
        for label in outside[:LABELS_NAMED]
    ]
    more = f", and of {len(outside) - LABELS_NAMED} labels more" if len(outside) > LABELS_NAMED else ""
    return f"Pseudo Dice and validation Dice are {joined(named)}{more}."


def _gap_words(outside: Sequence[str], gaps: Mapping[str, float], siblings: Sequence[Scores]) -> str:
    """``a gap of 0.45 for left; other labels 0.03; the same label in other folds 0.02``."""
    label = max(outside, key=lambda one: gaps[one])
    words = [f"a gap of {gaps[label]:.2f} for {label}"]
    rest = [gap for name, gap in gaps.items() if name not in outside]
    folds = _elsewhere(label, [label_gaps(one) for one in siblings])
    words += [f"other labels {median(rest):.2f}"] if rest else []
    words += [f"the same label in other folds {median(folds):.2f}"] if folds else []
    return "; ".join(words)


def _label_words(scores: Scores, gaps: Mapping[str, float]) -> str:
    """The widest gaps, for people: pseudo and validation side by side."""
    widest = sorted(gaps, key=lambda one: -gaps[one])
    pairs = [
        f"{label} {scores.pseudo_labels[label]:.2f} and {_validated(scores, label):.2f}"
        for label in widest[:LABELS_NAMED]
    ]
    more = f" and {len(widest) - LABELS_NAMED} more" if len(widest) > LABELS_NAMED else ""
    return f"by label, pseudo and validation: {', '.join(pairs)}{more}"


def _validated(scores: Scores, label: str) -> float:
    return scores.validation_labels.get(label, scores.pooled_labels.get(label, math.nan))


def axes_at_validation(record: Record) -> Any:
    """The axes that the trainer's own validation used: what was declared, unless ``correct`` narrowed it beforehand."""
    return record.axes.declared if record.axes.changed_by in ("repair", "annotate") else record.axes.effective


def check_stale(
    subject: str,
    record: Record | None,
    checkpoint_axes: Any,
    results: Sequence[str],
    commands: Sequence[str] = (),
    *,
    validated_with: Any = msgspec.UNSET,
) -> list[Finding]:
    """NNG402.

    Args:
        subject: the checkpoint or model folder, for people.
        record: tells what validation used; ``None`` only where ``validated_with`` does.
        checkpoint_axes: what the checkpoint has now, verbatim.
        results: what lies there and was made by validation, as paths a person knows
            (``fold_0/validation/summary.json``); nothing there, nothing stale.
        commands: what to run again, in order.
        validated_with: the axes of the validation, verbatim, where they are known better than from the record.
    """
    before = axes_at_validation(record) if validated_with is msgspec.UNSET and record is not None else validated_with
    if before is msgspec.UNSET or not results or same_axes(before, checkpoint_axes):
        return []
    return [
        Finding(
            "NNG402",
            subject,
            f"Validation used mirroring axes {written(before)}; the checkpoint now has {written(checkpoint_axes)}.",
            seen=f"made with the old axes: {', '.join(results)}",
            effect=(
                "reported Dice, the choice of the best configuration, postprocessing and what a cascade's next stage "
                "was trained on belong to the old axes."
            ),
            remedy="Make them again:\n"
            + "\n".join(f"    {command}" for command in commands or ["nnUNetv2_train ... --val"]),
            evidence={"validated": written(before), "checkpoint": written(checkpoint_axes), "results": list(results)},
            setting=written(checkpoint_axes),
        )
    ]
