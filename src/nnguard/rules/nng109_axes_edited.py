"""The checkpoint's axes are not those that its record says.

## Why it matters

The checkpoint says one thing and the record inside it another: somebody set
`inference_allowed_mirroring_axes` after training, and not with `nnguard repair`, which keeps the
record in step. The validation results belong to the recorded axes.

## Bad

```python
checkpoint = torch.load(path, weights_only=False)
checkpoint["inference_allowed_mirroring_axes"] = (0, 1, 2)
torch.save(checkpoint, path)
```

## Good

```
nnguard repair checkpoint_final.pth
```

## How to mend it

Find out who changed them and why. `nnguard repair` sets the axes that are safe; `nnguard check`
shows the history.

## How to silence it

```
NNGUARD=warn,NNG109=ignore
```
"""

from __future__ import annotations

import msgspec

from ..axes import same_axes, written
from ..findings import ADVISORY, Finding
from ..record import Record
from . import remedies
from .subjects import Prediction

SEVERITY = ADVISORY


def check_prediction(record: Record | None, prediction: Prediction) -> list[Finding]:
    axes, mends = prediction.checkpoint_axes, prediction.repairable
    if record is None or axes is msgspec.UNSET or same_axes(axes, record.axes.effective):
        return []
    return [
        Finding(
            "NNG109",
            prediction.subject,
            f"The checkpoint's mirroring axes are {written(axes)}; its record says {written(record.axes.effective)}.",
            seen=f"trained with: {written(record.axes.effective)}, as recorded; the checkpoint now has {written(axes)}",
            effect="somebody changed them after training: validation results belong to the recorded axes.",
            remedy="Find out who and why."
            + (f" Back to what is safe: nnguard repair {remedies.quote(prediction.subject)}" if mends else ""),
            evidence={"checkpoint_axes": written(axes), "recorded_axes": written(record.axes.effective)},
            setting=written(axes),
        )
    ]
