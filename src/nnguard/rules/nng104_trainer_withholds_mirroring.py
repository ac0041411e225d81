"""Training mirrors, and the trainer forbids it at test time.

## Why it matters

Training shows mirrored images, and the trainer forbids mirroring at test time. Predictions are
sound and faster. Usually that is meant; if not, a small gain is left out.

## Bad

```python
self.inference_allowed_mirroring_axes = None  # copied from another trainer, where it was right
```

## Good

```python
self.inference_allowed_mirroring_axes = None  # meant: speed, at the price of a little Dice
```

## How to mend it

Nothing, if it is meant. Otherwise declare the axes that the message names.

## How to silence it

```
NNGUARD=warn,NNG104=ignore
```
"""

from __future__ import annotations

from ..axes import written
from ..findings import NOTE, Finding
from ..flips import flips_of
from ..record import Record
from .precedence import judged_declared
from .sentences import seen_words, trainer_declares
from .subjects import Training
from .verdicts import all_safe_axes, evidence_data, unsound_flips

SEVERITY = NOTE


def check_training(record: Record, training: Training) -> list[Finding]:
    """Nothing if training speaks against what the trainer declares: then that is what has to change."""
    axes = judged_declared(record)
    if axes is None or any(unsound_flips(record, axes).values()):
        return []
    trained = all_safe_axes(record)
    if not set(axes) < set(trained):
        return []
    return [
        Finding(
            "NNG104",
            training.subject,
            f"Training mirrors along {written(trained)}, and the trainer forbids it at test time.",
            seen=seen_words(record, flips_of(trained), trainer_declares(axes or None)),
            effect="predictions are faster and sound; test-time mirroring might have gained a little.",
            remedy=f"If that is meant, nothing. Otherwise: self.inference_allowed_mirroring_axes = {written(trained)}",
            evidence=evidence_data(record, flips_of(trained), axes, trained),
            setting=written(axes),
        )
    ]
