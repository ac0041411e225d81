"""NNG401 and NNG402: results that do not fit together, or no longer fit the checkpoint."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ..axes import same_axes, written
from ..findings import NOTE, UNVERIFIED, Finding
from .subjects import Scores

#: Pseudo Dice is of patches, validation Dice of whole images, and nnU-Net's maintainers call a gap normal (#1993,
#: #2045): 0.84 against 0.70 in their issue #2128. Untrained mirroring makes 0.94 into 0.47 (``nnguard demo``).
METRIC_GAP = 0.2

#: Findings that make validation worse than training without showing in the pseudo Dice. NNG402 is among them: after a
#: repair it is the old axes' validation that lies there.
EXPLAINS_A_GAP = ("NNG101", "NNG103", "NNG105", "NNG106", "NNG113", "NNG116", "NNG201", "NNG402")


def check_gap(
    subject: str,
    scores: Scores,
    others: Iterable[Finding] = (),
    *,
    model: str = "MODEL_FOLDER",
) -> list[Finding]:
    """NNG401.

    Args:
        subject: the fold, for people.
        scores: of this fold.
        others: this subject's other findings, some of which may explain the gap.
        model: its folder, as a shell takes it.
    """
    gap = scores.gap
    if gap is None or not gap > METRIC_GAP:
        return []
    others = list(others)
    explained = sorted({one.code for one in others if one.code in EXPLAINS_A_GAP and one.severity != NOTE})
    seen = [f"a gap of {gap:.2f}; up to {METRIC_GAP} is usual, because patches are easier than whole images"]
    if explained:
        seen.append(f"{', '.join(explained)} explain{'s' if len(explained) == 1 else ''} it")
    elif any(one.code == UNVERIFIED for one in others):
        seen.append("what training mirrored is not known (NNG108): untrained mirroring would explain it")
    remedy = [f"See to {', '.join(explained)} first, then validate again."] if explained else []
    remedy.append(f"Measure what mirroring costs:\n    nnguard fliptest {model} -i IMAGES -l LABELS")
    return [
        Finding(
            "NNG401",
            subject,
            f"The pseudo Dice is {scores.pseudo:.2f} and the validation Dice {scores.validation:.2f}.",
            seen="; ".join(seen),
            effect="the network is better than the results that it is judged by, or training hides what goes wrong.",
            remedy="\n".join(remedy),
            evidence={
                "pseudo_dice": scores.pseudo,
                "validation_dice": scores.validation,
                "gap": round(gap, 4),
                "explained_by": explained,
            },
        )
    ]


def check_stale(
    subject: str, validated_with: Any, checkpoint_axes: Any, results: Sequence[str], again: str
) -> list[Finding]:
    """NNG402.

    Args:
        subject: the checkpoint or model folder, for people.
        validated_with, checkpoint_axes: the axes of the validation and those of today, verbatim.
        results: what lies there and was made by validation, as paths a person knows
            (``fold_0/validation``); nothing there, nothing stale.
        again: in words, what to make anew.
    """
    if not results or same_axes(validated_with, checkpoint_axes):
        return []
    before, now = written(validated_with), written(checkpoint_axes)
    return [
        Finding(
            "NNG402",
            subject,
            f"Validation used mirroring axes {before}; the checkpoint now has {now}.",
            seen=f"made with the old axes: {', '.join(results)}",
            effect=(
                "reported Dice, the choice of the best configuration, postprocessing and what a cascade's next stage "
                "was trained on belong to the old axes."
            ),
            remedy=again,
            evidence={"validated": before, "checkpoint": now, "results": list(results)},
            setting=now,
        )
    ]
