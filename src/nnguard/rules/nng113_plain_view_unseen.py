"""Training always flips: the un-flipped view was never shown.

## Why it matters

Every prediction starts from the image as it lies. A training that always flips never shows that
view, and the network has to guess. Narrowing axes cannot mend it, for the plain view is always
used.

## Bad

```python
class AlwaysFlip(BasicTransform):
    def apply(self, data_dict, **params):
        return {key: torch.flip(value, dims=[-1]) for key, value in data_dict.items()}
```

## Good

```python
MirrorTransform(allowed_axes=(0, 1))  # each axis with probability 0.5
```

## How to mend it

Flip by chance, and train again. If the data are stored the wrong way round, turn them when they are
converted, for training and prediction alike.

## How to silence it

```
NNGUARD=warn,NNG113=ignore
```
"""

from __future__ import annotations

from ..findings import HARMFUL, Finding
from ..flips import TRAINED_RATIO
from ..record import Record
from .sentences import seen_words
from .subjects import Prediction, Training
from .verdicts import evidence_data

SEVERITY = HARMFUL

#: How improbable "never plain" must be, were the plain view as frequent as the rarest common flip. Three
#: axes mirrored by a coin leave 64 draws without a plain one in 2 of 10,000 trainings.
PLAIN_VIEW_CHANCE = 0.001


def check_training(record: Record, training: Training) -> list[Finding]:
    return _plain_view(record, training.subject)


def check_prediction(record: Record | None, prediction: Prediction) -> list[Finding]:
    return _plain_view(record, prediction.subject) if record is not None else []


def _plain_view(record: Record, subject: str) -> list[Finding]:
    mirroring = record.mirroring
    if mirroring.state != "observed" or mirroring.plain_rate != 0 or not mirroring.flips:
        return []
    most = max(flip.rate for flip in mirroring.flips)
    common = min((flip.rate for flip in mirroring.flips if flip.rate >= TRAINED_RATIO * most), default=0.0)
    if (1 - common) ** mirroring.clean > PLAIN_VIEW_CHANCE:
        return []
    flips = [flip.axes for flip in mirroring.flips if flip.count]
    return [
        Finding(
            "NNG113",
            subject,
            "Training always flips: the plain view, from which every prediction starts, was never shown.",
            seen=seen_words(record, flips, "every prediction uses the plain view"),
            effect="each prediction starts from images that lie the other way round than anything the network saw.",
            remedy="Mirror by chance: MirrorTransform(allowed_axes=mirror_axes) flips each axis with probability 0.5.",
            evidence=evidence_data(record, flips, (), ()),
        )
    ]
