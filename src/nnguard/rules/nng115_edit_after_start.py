"""The pipeline was changed after the workers had copied it.

## Why it matters

nnU-Net's data loader starts its workers inside `get_dataloaders`, and each holds a copy of the
pipeline from that moment. A change made afterwards reaches none of them: training goes on as if it
had not been made. With `nnUNet_n_proc_DA=0` there are no copies and the change counts: the same
code trains differently on different machines.

## Bad

```python
def get_dataloaders(self):
    train, val = super().get_dataloaders()
    train.generator.transforms.transforms.pop()  # too late: the workers have their copies
    return train, val
```

## Good

```python
@staticmethod
def get_training_transforms(*args, **kwargs):
    transforms = nnUNetTrainer.get_training_transforms(*args, **kwargs)
    transforms.transforms.pop()
    return transforms
```

## How to mend it

Make the change in `get_training_transforms`, which runs before the workers start.

## How to silence it

```
NNGUARD=warn,NNG115=ignore
```
"""

from __future__ import annotations

from ..findings import HARMFUL, Finding
from ..record import Record
from .subjects import Training

SEVERITY = HARMFUL


def check_training(record: Record, training: Training) -> list[Finding]:
    difference = training.edited_after_start
    if not difference:
        return []
    return [
        Finding(
            "NNG115",
            training.subject,
            "The augmentation was changed after the data loader's workers had copied it: the change has no effect.",
            seen=f"the workers train with the pipeline as it was when they started; {difference}",
            effect="training goes on with the old pipeline; the verdict on mirroring is about that one.",
            remedy=(
                "Make the change in get_training_transforms, which runs before the workers start:\n"
                "    @staticmethod\n"
                "    def get_training_transforms(*args, **kwargs):\n"
                "        transforms = nnUNetTrainer.get_training_transforms(*args, **kwargs)\n"
                "        ...  # change transforms here\n"
                "        return transforms"
            ),
            evidence={"difference": difference},
        )
    ]
