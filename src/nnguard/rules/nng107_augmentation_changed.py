"""A resumed training augments differently, beyond chance.

## Why it matters

A training was resumed (`--c`) with other augmentation than it began with. The weights are a mixture
of both, and the checkpoint's axes are those of today's code. nnguard weighs what was shown by
optimiser steps.

## Bad

```
nnUNetv2_train 2 2d 0 -tr nnUNetTrainerMine          # mirrors
# ... edit nnUNetTrainerMine: no mirroring any more ...
nnUNetv2_train 2 2d 0 -tr nnUNetTrainerMine --c      # does not
```

## Good

```
nnUNetv2_train 2 2d 0 -tr nnUNetTrainerMineNoFlip    # another training has another name
```

## How to mend it

If the change is meant, start anew under another trainer name, or fine-tune with
`-pretrained_weights`. If not, take the edit back and resume.

## How to silence it

```
NNGUARD=warn,NNG107=ignore
```
"""

from __future__ import annotations

from math import sqrt
from typing import Any

from ..difference import ABSENT, differences, is_pipeline, transform_setting
from ..findings import ADVISORY, Finding
from ..record import Axes, Mirroring, Record, Segment
from .verdicts import SETTLED
from .words import flip_name, percent

SEVERITY = ADVISORY

#: Standard errors between two rates from which on they differ beyond chance. Up to eight views are compared at
#: each resume: at 3.5 fewer than four of a thousand resumes under unchanged code would be called changed.
BEYOND_CHANCE = 3.5
#: Changes of transforms that are worth a line; the record has them all.
MOST_CHANGES = 6


def check_resumed(before: Record, now: Record, subject: str) -> list[Finding]:
    """Compares what a training shows from now on with what it showed until its checkpoint.

    Args:
        before: the record that came with the checkpoint.
        now: this process's own observation, of the pipeline that it trains with from here.
        subject: the training, for people.

    Returns:
        One finding at most. Equal pipelines, and rates that differ by chance alone, are nothing.
    """
    if not now.segments:
        return []
    last, own = _last_trained(before), now.segments[-1]
    flips = changed_flips(last.mirroring, now.mirroring) if last is not None else []
    same = last is not None and last.fingerprint is not None and last.fingerprint == own.fingerprint
    transforms = [] if same else changed_transforms(before, now)
    if not flips and not transforms:
        return []
    told = [_flip_words(flip, then, today, now) for flip, then, today in flips]
    told += transforms[:MOST_CHANGES]
    if len(transforms) > MOST_CHANGES:
        told.append(f"{len(transforms) - MOST_CHANGES} more changes of transforms")
    return [
        Finding(
            "NNG107",
            subject,
            "The training was resumed, and augments differently from before.",
            seen="; ".join(told),
            effect=(
                "the network becomes a mixture of both; what is safe at test time is judged by the share of optimiser "
                "steps that each was trained in."
            ),
            remedy=(
                "If the change is meant, start anew under another trainer name, or fine-tune:\n"
                "    nnUNetv2_train DATASET CONFIGURATION FOLD -tr TRAINER -pretrained_weights CHECKPOINT\n"
                "If not, take the edit back and resume again."
            ),
            evidence={
                "flips": [
                    {"axes": list(flip), "rate_before": round(then, 4), "rate_now": round(today, 4)}
                    for flip, then, today in flips
                ],
                "transforms": transforms,
                "steps_before": sum(segment.steps for segment in before.segments),
            },
            setting=f"{last.fingerprint if last is not None else None} {own.fingerprint}",
        )
    ]


def changed_flips(before: Mirroring, now: Mirroring) -> list[tuple[Axes, float, float]]:
    """The views whose rates differ beyond chance: flip, rate before, rate now; the plain view is ``()``."""
    if before.state not in SETTLED or now.state not in SETTLED or not before.clean or not now.clean:
        return []
    first, second = _rates(before), _rates(now)
    views = sorted({*first, *second}, key=lambda axes: (len(axes), axes))
    return [
        (view, first.get(view, 0.0), second.get(view, 0.0))
        for view in views
        if _differ(first.get(view, 0.0), before.clean, second.get(view, 0.0), now.clean)
    ]


def changed_transforms(before: Record, now: Record) -> list[str]:
    """What was removed, added and set otherwise, in words, as far as both records describe it."""
    if not (is_pipeline(before.transforms) and is_pipeline(now.transforms)):
        return []
    # The same source compiles to other code under another Python.
    with_code = before.environment.python == now.environment.python
    changes = differences("", before.transforms, now.transforms)
    return [words for change in changes if (words := _in_words(*change, with_code)) is not None]


def _in_words(key: str, before: Any, now: Any, with_code: bool) -> str | None:
    name = transform_setting(key)
    if before is ABSENT or now is ABSENT:
        # A parameter that only one version of a library has is no change.
        return f"{'added' if before is ABSENT else 'removed'} {name}" if key.endswith("]") else None
    if key.endswith((".where", ".children")):  # where is no setting; too many children are not listed
        return None
    if key.endswith(".code"):
        return f"{name.removesuffix('.code')}'s code was changed" if with_code else None
    return f"{name}: {before!r}, now {now!r}"


def _last_trained(record: Record) -> Segment | None:
    trained = [segment for segment in record.segments if segment.steps > 0]
    return next(reversed(trained or record.segments), None)


def _rates(mirroring: Mirroring) -> dict[Axes, float]:
    return {flip.axes: flip.rate for flip in mirroring.flips} | {(): mirroring.plain_rate or 0.0}


def _differ(first: float, first_draws: int, second: float, second_draws: int) -> bool:
    pooled = (first * first_draws + second * second_draws) / (first_draws + second_draws)
    error = sqrt(max(pooled * (1 - pooled), 0.0) * (1 / first_draws + 1 / second_draws))
    return error > 0 and abs(first - second) > BEYOND_CHANCE * error


def _flip_words(flip: Axes, before: float, now: float, record: Record) -> str:
    name = flip_name(flip, record.spatial_dims, record.transpose_forward)
    return f"{name}: {percent(before)} before and {percent(now)} now"
