"""Mirroring axes that nnU-Net crashes on, or that flip the channels.

## Why it matters

nnU-Net reads the axes only when it predicts: after the last epoch, or days later on another
machine. Then `()` and `[]` end in a ValueError, an int in a TypeError, a repeated axis in a
RuntimeError, one beyond the data in an AssertionError. A negative one is worse: nnU-Net flips the
channels or the batch and returns nonsense without a word.

## Bad

```python
self.inference_allowed_mirroring_axes = ()  # ValueError
self.inference_allowed_mirroring_axes = 2  # TypeError
self.inference_allowed_mirroring_axes = (-1,)  # flips another axis than meant
self.inference_allowed_mirroring_axes = (0, 1, 2)  # with 2d: AssertionError
```

## Good

```python
self.inference_allowed_mirroring_axes = None  # no mirroring
self.inference_allowed_mirroring_axes = (0, 1)  # spatial axes from 0, after transpose_forward
```

## How to mend it

Write `None` for no mirroring, else a tuple of axes from 0: 2D data has 0 and 1, 3D data 0, 1 and 2.
In a checkpoint: `nnguard repair CHECKPOINT`.

## How to silence it

```
NNGUARD=warn,NNG105=ignore
```
"""

from __future__ import annotations

from ..axes import written
from ..findings import HARMFUL, Finding
from ..flips import safe_axes
from ..record import Record
from . import remedies
from .subjects import Prediction, Training
from .usable_axes import declared, problem_in_use, problem_with_declared
from .verdicts import JUDGED, all_safe_axes, axes_named_by, dimensions, evidence_of

SEVERITY = HARMFUL


def check_training(record: Record, training: Training) -> list[Finding]:
    """Before the first epoch."""
    problem, axes = problem_with_declared(record), declared(record)
    if not problem:
        return []
    settled = record.mirroring.state in JUDGED
    named = axes_named_by(axes, record.spatial_dims) if settled else ()
    meant = safe_axes(evidence_of(record), named)
    shown = all_safe_axes(record) if settled else ()
    return [
        Finding(
            "NNG105",
            training.subject,
            f"The trainer declares mirroring axes that nnU-Net cannot use: {problem}.",
            seen=f"inference_allowed_mirroring_axes = {written(axes)}",
            effect="nothing goes wrong while training; the validation after the last epoch, or every prediction, does.",
            remedy=remedies.declare_in_trainer(meant or None, shown),
            evidence={"axes": written(axes), "spatial_dims": record.spatial_dims},
            setting=written(axes),
        )
    ]


def check_prediction(record: Record | None, prediction: Prediction) -> list[Finding]:
    """Before the first patch."""
    problem = problem_in_use(record, prediction)
    if not problem:
        return []
    settled = record is not None and record.mirroring.state in JUDGED
    dims = dimensions(prediction.spatial_dims, record.spatial_dims if record else None)
    safe = safe_axes(evidence_of(record), axes_named_by(prediction.axes, dims)) if record and settled else ()
    return [
        Finding(
            "NNG105",
            prediction.subject,
            f"The predictor has mirroring axes that nnU-Net cannot use: {problem}.",
            seen=f"predictor uses {written(prediction.axes)}, from {prediction.axes_from}",
            effect="the run ends at its first patch, or flips the channels and returns nonsense without a word.",
            remedy=remedies.for_prediction(prediction, safe),
            evidence={"axes": written(prediction.axes), "axes_from": prediction.axes_from, "spatial_dims": dims},
            setting=written(prediction.axes),
        )
    ]
