"""Image and segmentation are flipped differently.

## Why it matters

In some draws the image is flipped and its segmentation is not, or the other way round. The network
is taught wrong labels in these draws. On symmetric objects that hardly shows in the loss. The
record keeps it, so `check`, `audit` and every predictor tell of it, too: no setting at test time
puts such a network right.

## Bad

```python
image = flip(image, axis) if random() < 0.5 else image
segmentation = flip(segmentation, axis) if random() < 0.5 else segmentation  # another coin
```

## Good

```python
if random() < 0.5:
    image, segmentation = flip(image, axis), flip(segmentation, axis)
```

## How to mend it

Use one transform and one random choice for both. In batchgeneratorsv2 that is `get_parameters`,
drawn once, and `_apply_to_image` with `_apply_to_segmentation`, which both follow it.

A `train_step` that flips images apart from their targets is not seen.

## How to silence it

```
NNGUARD=warn,NNG114=ignore
```
"""

from __future__ import annotations

from ..findings import HARMFUL, Finding
from ..record import Apart, Record
from .subjects import Prediction, Training

SEVERITY = HARMFUL


def check_training(record: Record, training: Training) -> list[Finding]:
    if not training.apart:
        return []
    return [_apart(training.subject, Apart(draws=training.apart, clean=record.mirroring.clean))]


def check_prediction(record: Record | None, prediction: Prediction) -> list[Finding]:
    """For a network that is trained already, whatever its predictor does."""
    # Before a validation, the training's start or its first steps have said so already.
    if record is None or record.apart is None or prediction.validation:
        return []
    finding = _apart(prediction.subject, record.apart)
    return [
        finding.replace(
            message="The network was trained on images that were flipped differently from their segmentations.",
            remedy=f"Mend the training and train again, for no repair of the checkpoint helps.\n{finding.remedy}",
        )
    ]


def _apart(subject: str, apart: Apart) -> Finding:
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
