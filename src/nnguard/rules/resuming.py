"""NNG107: a training is resumed, and its augmentation is not what it was."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import SequenceMatcher
from math import sqrt
from typing import Any

from ..findings import Finding
from ..record import Axes, Mirroring, Record, Segment
from .verdicts import SETTLED
from .wording import flip_name, joined, percent

#: Standard errors between two rates from which on they differ beyond chance. Up to eight views are compared at
#: each resume: at 3.5 fewer than four of a thousand resumes under unchanged code would be called changed.
BEYOND_CHANCE = 3.5
#: Changes of transforms that are worth a line; the record has them all.
MOST_CHANGES = 6
#: Described trees come from a file: deeper ones are none of ours.
DEEPEST = 16


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
    # The same source compiles to other code under another Python.
    with_code = before.environment.python == now.environment.python
    first, second = list(_nodes(before.transforms)), list(_nodes(now.transforms))
    changes: list[str] = []
    if not first or not second or any(isinstance(node.get("children"), str) for node in (*first, *second)):
        return changes  # nothing is described, or too many transforms to list
    matched = SequenceMatcher(None, [_name(node) for node in first], [_name(node) for node in second], autojunk=False)
    for kind, start, end, other_start, other_end in matched.get_opcodes():
        if kind == "equal":
            for then, today in zip(first[start:end], second[other_start:other_end], strict=True):
                changes += _changed_settings(then, today, with_code)
            continue
        changes += [f"removed {node.get('class')}" for node in first[start:end]]
        changes += [f"added {node.get('class')}" for node in second[other_start:other_end]]
    return changes


def _last_trained(record: Record) -> Segment | None:
    trained = [segment for segment in record.segments if segment.steps > 0]
    return next(reversed(trained or record.segments), None)


def _rates(mirroring: Mirroring) -> dict[Axes, float]:
    return {flip.axes: flip.rate for flip in mirroring.flips} | {(): mirroring.plain_rate or 0.0}


def _differ(first: float, first_draws: int, second: float, second_draws: int) -> bool:
    pooled = (first * first_draws + second * second_draws) / (first_draws + second_draws)
    error = sqrt(max(pooled * (1 - pooled), 0.0) * (1 / first_draws + 1 / second_draws))
    return error > 0 and abs(first - second) > BEYOND_CHANCE * error


def _nodes(trees: Any, depth: int = 0) -> Iterator[dict[str, Any]]:
    if depth > DEEPEST or not isinstance(trees, list):
        return
    for tree in trees:
        if isinstance(tree, dict):
            yield tree
            yield from _nodes(tree.get("children"), depth + 1)


def _changed_settings(before: dict[str, Any], now: dict[str, Any], with_code: bool) -> list[str]:
    name = now.get("class")
    first, second = _parameters(before), _parameters(now)
    shared = sorted({*first} & {*second})
    changes = [f"{name}.{key}: {first[key]!r}, now {second[key]!r}" for key in shared if first[key] != second[key]]
    then, today = before.get("probability"), now.get("probability")
    if then is not None and today is not None and then != today:
        changes.append(f"{name}'s probability: {then!r}, now {today!r}")
    if with_code and before.get("code") and now.get("code") and before["code"] != now["code"]:
        changes.append(f"{name}'s code was changed")
    return changes


def _parameters(node: dict[str, Any]) -> dict[str, Any]:
    parameters = node.get("parameters")
    return parameters if isinstance(parameters, dict) else {}


def _name(node: dict[str, Any]) -> str:
    return f"{node.get('module')}.{node.get('class')}"


def _flip_words(flip: Axes, before: float, now: float, record: Record) -> str:
    name = flip_name(flip, record.spatial_dims, record.transpose_forward)
    return f"{name}: {joined([f'{_share(before)} before', f'{_share(now)} now'])}"


def _share(rate: float) -> str:
    return percent(rate) if rate else "never"
