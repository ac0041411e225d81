"""The trainer declares axes that its training lacks.

## Why it matters

The trainer writes its declared axes into every checkpoint, and every predictor believes them. If
training does not show the flips of these axes, each prediction with this checkpoint falls into
NNG101. Told before the first epoch, it costs a line; told afterwards, a training.

A flip counts as shown when each of its axes was flipped alone at least a tenth as often as not at
all. Half turns of a rotation are not enough: they are seen in a few percent of the draws, and
test-time mirroring still halves Dice.

## Bad

```python
class nnUNetTrainerMyTransforms(nnUNetTrainer):
    @staticmethod
    def get_training_transforms(*args, **kwargs):
        return ComposeTransforms([...])  # own list, no mirroring in it
```

## Good

```python
class nnUNetTrainerMyTransforms(nnUNetTrainer):
    def configure_rotation_dummyDA_mirroring_and_inital_patch_size(self):
        settings = super().configure_rotation_dummyDA_mirroring_and_inital_patch_size()
        self.inference_allowed_mirroring_axes = None  # my transforms do not mirror
        return settings
```

## How to mend it

- Declare what training shows, as above; the message names the axes that are safe.
- Or mirror in training, if left and right may be exchanged in your data: hand `mirror_axes` on to
  nnU-Net's `get_training_transforms` as it came, or put `MirrorTransform(allowed_axes=mirror_axes)`
  among transforms that you list yourself, before `DownsampleSegForDSTransform`: behind it targets
  are lists, which MirrorTransform cannot flip.
- `NNGUARD=correct` narrows the declared axes at training start, so that validation and every
  checkpoint are sound.

## How to silence it

```
NNGUARD=warn,NNG103=ignore
```
"""

from __future__ import annotations

from ..axes import written
from ..findings import HARMFUL, Finding
from ..flips import flips_of, safe_axes
from ..record import Record
from . import remedies
from .precedence import judged_declared, untrained_flips
from .sentences import grade_words, seen_words, trainer_declares
from .subjects import Training
from .verdicts import all_safe_axes, correctable, evidence_data, evidence_of, in_order, severity_of
from .words import flip_names

SEVERITY = HARMFUL


def check_training(record: Record, training: Training) -> list[Finding]:
    axes = judged_declared(record)
    unseen, rare = untrained_flips(record, axes or ())
    if axes is None or not (unseen or rare):
        return []
    flips = in_order(*unseen, *rare)
    kinds = ((unseen, "never shows {}"), (rare, "shows {} too rarely to be learnt"))
    told = ", and ".join(words.format(flip_names(kind, record)) for kind, words in kinds if kind)
    safe = safe_axes(evidence_of(record), axes)
    return [
        Finding(
            "NNG103",
            training.subject,
            f"The trainer allows test-time mirroring along {written(axes)}, but its training {told}"
            f"{grade_words(record, flips)}.",
            seen=seen_words(record, flips_of(axes), trainer_declares(axes)),
            effect=(
                "the loss and the pseudo Dice look perfect; validation and every prediction average in views that the "
                "network cannot read, and are ruined where left and right carry different labels."
            ),
            remedy=remedies.for_training(safe, all_safe_axes(record), correctable(record, flips)),
            evidence=evidence_data(record, flips, axes, safe),
            severity=severity_of(record, flips),
            setting=written(axes),
        )
    ]
