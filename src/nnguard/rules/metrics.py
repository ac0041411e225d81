"""NNG401 and NNG402: results that do not fit together, or no longer fit the checkpoint."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from ..axes import written
from ..findings import Finding, worst_first
from ..record import Record
from .remedies import same_axes

#: Pseudo Dice is of patches, validation Dice of whole images, and nnU-Net's maintainers call a gap normal: 0.84
#: against 0.70 in their issue #2128. Untrained mirroring makes 0.94 into 0.47 (``nnguard demo``).
METRIC_GAP = 0.2

#: Findings that make validation worse than training without showing in the pseudo Dice. NNG402 is among them: after a
#: repair it is the old axes' validation that lies there.
EXPLAINS_A_GAP = ("NNG101", "NNG103", "NNG105", "NNG106", "NNG112", "NNG113", "NNG201", "NNG202", "NNG203", "NNG402")


def check_gap(
    subject: str, pseudo_dice: float | None, validation_dice: float | None, others: Iterable[Finding] = ()
) -> list[Finding]:
    """NNG401.

    Args:
        subject: the fold, for people.
        pseudo_dice: mean over the foreground classes at the last epoch, 0 to 1.
        validation_dice: nnU-Net's "Mean Validation Dice", 0 to 1.
        others: this subject's other findings, some of which may explain the gap.
    """
    if pseudo_dice is None or validation_dice is None or not math.isfinite(pseudo_dice - validation_dice):
        return []
    gap = pseudo_dice - validation_dice
    if gap <= METRIC_GAP:
        return []
    explained = sorted({one.code for one in worst_first(others) if one.code in EXPLAINS_A_GAP})
    because = f"{', '.join(explained)} explain{'s' if len(explained) == 1 else ''} it" if explained else ""
    return [
        Finding(
            "NNG401",
            subject,
            f"The pseudo Dice is {pseudo_dice:.2f} and the validation Dice {validation_dice:.2f}.",
            seen=f"a gap of {gap:.2f}; up to {METRIC_GAP} is usual, for patches are easier than whole images"
            + (f"; {because}" if because else ""),
            effect="the network is better than the results that it is judged by, or training hides what goes wrong.",
            remedy=(
                f"See to {', '.join(explained)} first, then validate again."
                if explained
                else "Validate without mirroring and compare: nnguard fliptest MODEL_FOLDER -i IMAGES"
            ),
            evidence={
                "pseudo_dice": pseudo_dice,
                "validation_dice": validation_dice,
                "gap": round(gap, 4),
                "explained_by": explained,
            },
        )
    ]


def axes_at_validation(record: Record) -> Any:
    """The axes that the trainer's own validation used: what was declared, unless ``correct`` narrowed it beforehand."""
    return record.axes.declared if record.axes.changed_by in ("repair", "annotate") else record.axes.effective


def check_stale(
    subject: str,
    record: Record,
    checkpoint_axes: Any,
    results: Sequence[str],
    commands: Sequence[str] = (),
    *,
    validated_with: Any = msgspec.UNSET,
) -> list[Finding]:
    """NNG402.

    Args:
        subject: the checkpoint or model folder, for people.
        record: tells what validation used.
        checkpoint_axes: what the checkpoint has now, verbatim.
        results: what lies there and was made by validation, as paths a person knows
            (``fold_0/validation/summary.json``); nothing there, nothing stale.
        commands: what to run again, in order.
        validated_with: the axes of the validation, verbatim, where they are known better than from the record.
    """
    before = axes_at_validation(record) if validated_with is msgspec.UNSET else validated_with
    if not results or same_axes(before, checkpoint_axes):
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
