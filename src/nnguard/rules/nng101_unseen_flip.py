"""The predictor uses a flip that training never or too rarely showed.

## Why it matters

nnU-Net's test-time mirroring predicts an image in several mirrored views and averages the answers.
A network that never saw such a view in training answers it wrongly, and the average inherits that.
Nothing warns: the loss and the pseudo Dice are perfect, for they are computed on plain images.
Where left and right carry different labels the result is ruined: in `nnguard demo`, and in
nnU-Net's issue #2552, Dice falls by half or more.

A flip that training shows rarely is not learnt either: as the half turn of a rotation, or in a
transform that is seldom applied. The threshold is a tenth: each axis of the flip must have been
flipped alone at least a tenth as often as not at all. Measured: a 2D training with half turns in 3
% of its samples, true mirror axis 0 and declared axes (0, 1), reaches a Dice of 0.95 with axis 0
alone and 0.47 with both.

## Bad

A trainer that drops mirroring and leaves the axes as they were:

```python
class nnUNetTrainerNoFlip(nnUNetTrainer):
    @staticmethod
    def get_training_transforms(patch_size, rotation, deep_supervision, mirror_axes, do_dummy_2d, **kwargs):
        return nnUNetTrainer.get_training_transforms(
            patch_size, rotation, deep_supervision, None, do_dummy_2d, **kwargs
        )
```

`inference_allowed_mirroring_axes` is still `(0, 1, 2)` in the checkpoint, and `nnUNetv2_predict`
uses it.

## Good

```python
class nnUNetTrainerNoFlip(nnUNetTrainer):
    def configure_rotation_dummyDA_mirroring_and_inital_patch_size(self):
        rotation, dummy_2d, patch_size, _ = super().configure_rotation_dummyDA_mirroring_and_inital_patch_size()
        self.inference_allowed_mirroring_axes = None
        return rotation, dummy_2d, patch_size, None
```

## How to mend it

- This run: `nnUNetv2_predict ... --disable_tta`
- The checkpoint, for everybody: `nnguard repair CHECKPOINT`. It sets the axes to those that
  training showed, `None` where there are none, and keeps a backup.
- By itself: `NNGUARD=correct` narrows the axes of each predictor when it starts.
- Results made before are worth making again: see NNG402.

A checkpoint whose owner has stated the mirroring (`nnguard repair --state`), or one judged from
`debug.json`, yields this rule as advisory only: weak evidence never condemns. So does a flip that
is rare or unseen only by estimate, because too few samples settle it: `strict` warns of it, and
`correct` takes no axis away.

## How to silence it

```
NNGUARD=warn,NNG101=ignore
```
"""

from __future__ import annotations

from ..axes import written
from ..findings import HARMFUL, Finding
from ..flips import flips_of, safe_axes
from ..record import Record
from . import remedies
from .precedence import judged_in_use, untrained_flips
from .sentences import grade_words, predictor_uses, seen_words
from .subjects import Prediction
from .verdicts import correctable, evidence_data, evidence_of, in_order, repaired_axes, severity_of
from .words import flip_names

SEVERITY = HARMFUL


def check_prediction(record: Record | None, prediction: Prediction) -> list[Finding]:
    judged = judged_in_use(record, prediction)
    if judged is None:
        return []
    record, axes = judged.record, judged.axes
    unseen, rare = untrained_flips(record, axes, judged.measured)
    if not unseen and not rare:
        return []
    flips = in_order(*unseen, *rare)
    kinds = ((unseen, "which training never showed"), (rare, "which training showed too rarely to be learnt"))
    told = " and ".join(f"{flip_names(kind, record)}, {words}" for kind, words in kinds if kind)
    safe = safe_axes(evidence_of(record), axes)
    return [
        Finding(
            "NNG101",
            prediction.subject,
            f"The predictor mirrors {told}{grade_words(record, flips)}.",
            seen=seen_words(record, flips_of(axes), predictor_uses(prediction)),
            effect=(
                f"{len(flips)} of the {len(flips_of(axes)) + 1} views that are averaged are ones that the network "
                "cannot read: segmentations get worse without any error, most where left and right carry different "
                "labels."
            ),
            remedy=remedies.for_prediction(prediction, safe, correctable(record, flips), repaired_axes(record, axes)),
            evidence=evidence_data(record, flips, axes, safe),
            severity=severity_of(record, flips),
            setting=written(axes),
        )
    ]
