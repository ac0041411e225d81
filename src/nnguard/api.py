"""The two public functions that only tie rooms together: what a checkpoint says, what a trainer does."""

from __future__ import annotations

import os
from typing import Any

from .record import Record


def read_record(path: str | os.PathLike[str]) -> Record | None:
    """The record in a checkpoint file; ``None`` where the checkpoint carries none.

    Nothing in the file is executed and no weights are read.

    Raises:
        CheckpointError: the file cannot be read, or its record is broken or of a newer schema.
    """
    from .checkpoint import read_checkpoint

    return read_checkpoint(path).record()


def observe(trainer: Any) -> Record:
    """Finds out what a trainer's live training pipeline does to data.

    Args:
        trainer: an ``nnUNetTrainer`` whose ``dataloader_train`` is set (after ``on_train_start``, or after
            you assigned the first of ``get_dataloaders()``).

    Returns:
        The record that a guarded training would write into its checkpoints. Axes are spatial, 0-based,
        after ``transpose_forward``.
    """
    from . import probe

    return probe.observe(trainer).record
