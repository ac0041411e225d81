"""The pseudo Dice of training is far above the validation Dice.

## Why it matters

Pseudo Dice is computed during training on plain patches, validation Dice afterwards on whole images
with mirroring. Some gap is normal: patches are easier (nnU-Net's maintainers, #1993 and #2045).
More than 0.2 in the mean suggests that something differs between training and prediction. Untrained
mirroring makes 0.94 into 0.47.

The gap alone proves nothing: this rule is never more than advisory, and names the other findings
that explain it.

## Bad

```
Pseudo dice [0.94, 0.94]
Mean Validation Dice:  0.467
```

## Good

```
Pseudo dice [0.94, 0.94]
Mean Validation Dice:  0.92
```

## How to mend it

See to the findings that it names, then validate again. In any case measure what mirroring costs
(`nnguard fliptest MODEL_FOLDER -i IMAGES -l LABELS`). If that is nothing: look for small objects in
large images, and for a few broken cases.

## How to silence it

```
NNGUARD=warn,NNG401=ignore
```
"""

from __future__ import annotations

from collections.abc import Iterable

from ..findings import ADVISORY, NOTE, UNVERIFIED, Finding
from .subjects import Scores

SEVERITY = ADVISORY

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
    """Whether the pseudo Dice is far above the validation Dice.

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
