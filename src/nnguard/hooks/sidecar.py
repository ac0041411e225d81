"""``nnguard.json`` beside the checkpoints: a copy of the record, and a fingerprint of each checkpoint's weights."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec

from ..errors import CheckpointError
from ..models.folder import fingerprint_in
from ..record import FILE_NAME, Record, RecordCopy, SavedWeights
from .live_trainings import live_training, record_of


def saved_weights(path: Path, written_at: str) -> SavedWeights | None:
    """The fingerprint of a checkpoint that was just written, by its zip directory alone.

    ``None`` where there is nothing to compare later: PyTorch was told to compute no checksums, or the
    file has another format than a zip.
    """
    fingerprint = fingerprint_in(path)
    return SavedWeights(fingerprint=fingerprint, written_at=written_at) if fingerprint is not None else None


def known_weights(folder: Path) -> dict[str, SavedWeights]:
    """What an earlier start of the same training left; empty where that cannot be read."""
    try:
        return RecordCopy.from_json((folder / FILE_NAME).read_bytes()).weights
    except (OSError, CheckpointError):
        return {}


def write_copy(folder: Path, record: Record, weights: dict[str, SavedWeights], text: str | None = None) -> None:
    """Writes ``nnguard.json``, where ``folder`` is there; checkpoints that are gone are left out.

    Args:
        text: ``record.to_json()``, where that was made already: ``weights`` is put in as its last member.
    """
    kept = {name: saved for name, saved in weights.items() if (folder / name).exists()}
    target = folder / FILE_NAME
    scratch = folder / f".{FILE_NAME}.{os.getpid()}"
    try:
        open_object = (text or record.to_json()).encode().removesuffix(b"}")
        scratch.write_bytes(b'%b,"weights":%b}\n' % (open_object, msgspec.json.encode(kept)))
    except (FileNotFoundError, NotADirectoryError):
        return
    # A reader never sees half a record. Not `replace`: renaming over a file makes ext4 flush the disk, which
    # took a third of the time of saving a checkpoint; for an instant there is no copy instead.
    target.unlink(missing_ok=True)
    scratch.rename(target)


def write_copy_of(trainer: Any, saved: Path | None = None) -> None:
    """Writes ``nnguard.json``; ``saved`` is the checkpoint that was just written."""
    training = live_training(trainer)
    folder = getattr(trainer, "output_folder", None)
    record = (training.saved if saved is not None else None) or record_of(trainer)
    if record is None or not folder:
        return
    if training.weights is None:
        training.weights = known_weights(Path(folder))
    if saved is not None and training.saved is not None:
        weights = saved_weights(saved, record.written_at)
        training.weights.pop(saved.name, None)
        training.weights.update({saved.name: weights} if weights is not None else {})
    text = training.saved_text if record is training.saved else None
    write_copy(Path(folder), record, training.weights, text)
