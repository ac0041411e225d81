"""Training shows a flip in use, but seldom: the network may not have learnt it.

## Why it matters

A flip counts as trained when each of its axes was flipped alone at least a tenth as often as not at
all. An ordinary mirror is as frequent as the plain view. Between a tenth and three tenths it
depends on the images: where they tell which way round they lie, the flip is learnt. Where they do
not, the network answers as for the plain view. Measured on such images: mirroring with probability
0.1 or 0.3 in training cost half of Dice at test time, and the plain view kept its 0.94.

This rule advises. It speaks of flips of one axis alone, and only if enough samples settle that they
are trained; `correct` takes no axis away by it. A flip that `nnguard fliptest` measured has no need
of it.

## Bad

```python
RandomTransform(MirrorTransform(allowed_axes=(1,)), apply_probability=0.3)
```

## Good

```python
MirrorTransform(allowed_axes=(1,))  # flips with probability 0.5
```

## How to mend it

`nnguard fliptest MODEL_FOLDER -i IMAGES -l LABELS -o MODEL_FOLDER` measures whether the network
reads the flip. Until then `--disable_tta` predicts without it.

## How to silence it

```
NNGUARD=warn,NNG112=ignore
```
"""

from __future__ import annotations

from ..axes import written
from ..findings import ADVISORY, Finding
from ..record import Axes, Record
from . import remedies
from .precedence import judged_declared, judged_in_use, seldom_flips
from .sentences import predictor_uses, seen_words, trainer_declares
from .subjects import Prediction, Training
from .verdicts import evidence_data
from .words import flip_names

SEVERITY = ADVISORY


def check_training(record: Record, training: Training) -> list[Finding]:
    axes = judged_declared(record)
    flips = seldom_flips(record, axes or ())
    if axes is None or not flips:
        return []
    remedy = (
        "Mirror each axis with probability 0.5, as nnU-Net's MirrorTransform does, or measure the trained model:\n"
        "    nnguard fliptest MODEL_FOLDER -i IMAGES -l LABELS"
    )
    return [_thin(record, training.subject, axes, flips, trainer_declares(axes), remedy)]


def check_prediction(record: Record | None, prediction: Prediction) -> list[Finding]:
    judged = judged_in_use(record, prediction)
    if judged is None:
        return []
    flips = seldom_flips(judged.record, judged.axes, judged.measured)
    if not flips:
        return []
    folder = remedies.folder_of(prediction)
    remedy = f"Measure what mirroring costs:\n    nnguard fliptest {folder} -i IMAGES -l LABELS"
    return [_thin(judged.record, prediction.subject, judged.axes, flips, predictor_uses(prediction), remedy)]


def _thin(record: Record, subject: str, axes: Axes, flips: list[Axes], uses: str, remedy: str) -> Finding:
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
