"""Test-time mirroring uses a flip under which training swapped labels.

## Why it matters

Some trainings mirror an image and exchange its left and right labels, so that labels keep their
anatomical meaning. The network then answers a mirrored image with exchanged labels. nnU-Net's
test-time mirroring flips the answer back but does not exchange the labels back: the average of both
views makes one label of two, or none.

## Bad

```python
class SwappingMirror(MirrorTransform):  # flips axis 2 and exchanges labels 1 (left) and 2 (right)
    ...


self.inference_allowed_mirroring_axes = (0, 1, 2)
```

## Good

```python
self.inference_allowed_mirroring_axes = (0, 1)  # axis 2 exchanges labels: not for test time
```

## How to mend it

Take the axis out of `inference_allowed_mirroring_axes`; in a checkpoint, `nnguard repair
CHECKPOINT` does so. For one run: `--disable_tta`.

## How to silence it

```
NNGUARD=warn,NNG106=ignore
```
"""

from __future__ import annotations

from collections.abc import Mapping

from ..axes import written
from ..findings import HARMFUL, Finding
from ..flips import flips_of, safe_axes
from ..record import Axes, Record
from . import remedies
from .precedence import judged_declared, judged_in_use, swapped_flips
from .sentences import predictor_uses, seen_words, trainer_declares
from .subjects import Prediction, Training
from .verdicts import all_safe_axes, correctable, evidence_data, evidence_of, repaired_axes, severity_of
from .words import flip_names, joined

SEVERITY = HARMFUL


def check_training(record: Record, training: Training) -> list[Finding]:
    axes = judged_declared(record)
    flips = swapped_flips(record, axes or ())
    if axes is None or not flips:
        return []
    safe = safe_axes(evidence_of(record), axes)
    remedy = remedies.for_training(safe, all_safe_axes(record), correctable(record, flips), exchanges=True)
    return [_swapped(record, training.subject, axes, flips, safe, trainer_declares(axes), remedy)]


def check_prediction(record: Record | None, prediction: Prediction) -> list[Finding]:
    judged = judged_in_use(record, prediction)
    if judged is None:
        return []
    record, axes = judged.record, judged.axes
    flips = swapped_flips(record, axes)
    if not flips:
        return []
    safe = safe_axes(evidence_of(record), axes)
    remedy = remedies.for_prediction(prediction, safe, correctable(record, flips), repaired_axes(record, axes))
    return [_swapped(record, prediction.subject, axes, flips, safe, predictor_uses(prediction), remedy)]


def _swapped(
    record: Record, subject: str, axes: Axes, flips: list[Axes], safe: Axes, uses: str, remedy: str
) -> Finding:
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


def _exchange(permutation: Mapping[int, int] | None) -> str:
    """``1 becomes 2 and 2 becomes 1`` from ``{1: 2, 2: 1}``; some flips exchange labels without one rule."""
    moved = [f"{source} becomes {target}" for source, target in sorted((permutation or {}).items()) if source != target]
    return joined(moved) if moved else "some of them, without one rule"
