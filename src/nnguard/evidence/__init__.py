"""The training side: from live objects to evidence.

``observe`` is what the hooks and ``nnguard.observe`` call; ``snapshot`` keeps the pipeline that an
augmenter's workers are about to copy, so that an edit made afterwards is told from the truth.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ..record import Record
from ..rules.subjects import Training


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """A record, and what the rules of a training start need beside it."""

    record: Record
    training: Training


def snapshot(augmenter: Any) -> Any:
    """Copies the pipeline that ``augmenter``'s workers are about to copy. Called before they start.

    Returns:
        An opaque value for ``observe``; ``None`` where there is nothing to copy.
    """
    raise NotImplementedError


def observe(trainer: Any, snapshot: Any = None) -> Observation:
    """Finds out what ``trainer``'s training pipeline does to data, and describes it.

    Args:
        trainer: an ``nnUNetTrainer`` whose ``dataloader_train`` is set.
        snapshot: what ``snapshot`` returned for that augmenter, if its workers have started.
    """
    raise NotImplementedError
