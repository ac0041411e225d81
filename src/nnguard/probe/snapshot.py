"""The pipeline as an augmenter's workers copied it.

Workers are forked when the augmenter starts, and they hold copies from that moment. A later edit of the trainer's
pipeline never reaches them.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ..foreign_calls import Failed, attempt
from .pipeline import Pipeline, Stage, locate
from .pipeline_copy import copied, untouched_randomness
from .transform_tree import describe, difference, fingerprint


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """Copies of the stages, and their description, from before the workers started."""

    stages: list[Stage]
    trees: list[dict[str, Any]]


def snapshot(augmenter: Any) -> Snapshot | None:
    """Copies the pipeline of ``augmenter`` before its workers start and copy it too.

    Returns:
        ``None`` if the pipeline cannot be copied.
    """
    pipeline = locate(augmenter)
    trees = describe(pipeline.stages)
    with untouched_randomness(*(stage.transform for stage in pipeline.stages)):
        stages = attempt(_copies, pipeline.stages)
    return None if isinstance(stages, Failed) else Snapshot(stages=stages, trees=trees)


def _copies(stages: list[Stage]) -> list[Stage]:
    return [Stage(transform=copied(s.transform), unit=s.unit, where=s.where) for s in stages]


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """The stages that the workers use, and how the trainer's present stages differ from them.

    ``restructured`` says in words which transforms were added, removed or moved. ``retuned`` is true if anything
    differs; if only parameters do, it matters only when they change which flips training shows.
    """

    stages: list[Stage]
    restructured: str | None = None
    retuned: bool = False


def held_by_workers(pipeline: Pipeline, kept: Snapshot | None) -> Held:
    """The workers' stages if there is a snapshot of them, else the live ones."""
    if kept is None:
        return Held(stages=pipeline.stages)
    live = describe(pipeline.stages)
    if fingerprint(live) == fingerprint(kept.trees):
        return Held(stages=kept.stages)
    return Held(stages=kept.stages, restructured=difference(kept.trees, live), retuned=True)
