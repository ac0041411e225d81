"""Validation was made with other mirroring axes than the checkpoint has.

## Why it matters

The checkpoint's mirroring axes have changed since it was validated. Reported Dice, the best
configuration, postprocessing, and the segmentations that a cascade's next stage was trained on
belong to the old axes.

## Bad

```
nnguard repair checkpoint_final.pth
# ... and the old summary.json goes into the paper
```

## Good

```
nnguard repair checkpoint_final.pth
nnUNetv2_train 2 3d_fullres 0 --val --npz
nnUNetv2_find_best_configuration 2 -c 3d_fullres
```

## How to mend it

Make anew what the finding lists, in its order: each step needs what the one before it makes. Every
fold of a cascade's next stage is trained anew, because what this fold validates, the others train
on. The choice of the best configuration determines the postprocessing, too.

`nnguard repair` keeps a hash of `validation/summary.json` in the record, so that a new validation
ends the finding. After an edit by hand, the files' times tell.

## How to silence it

```
NNGUARD=warn,NNG402=ignore
```
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..axes import same_axes, written
from ..findings import ADVISORY, Finding

SEVERITY = ADVISORY


def check_stale(
    subject: str, validated_with: Any, checkpoint_axes: Any, results: Sequence[str], again: str
) -> list[Finding]:
    """Whether results were made with other axes than the checkpoint has now.

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
