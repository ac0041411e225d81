"""The sidecar ``nnguard.json``: the record, and a fingerprint of the weights of each checkpoint in its folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec

from ..errors import CheckpointError
from ..models.provenance import fingerprint_in
from ..record import FILE_NAME, Record, RecordCopy, SavedWeights
from .live_trainings import live_training, record_of


def saved_weights(path: Path, written_at: str) -> SavedWeights | None:
    """The fingerprint of a checkpoint that was just written, from its zip directory only.

    ``None`` if the checkpoint has no fingerprint: PyTorch was told to compute no checksums, or the file is no zip.
    """
    fingerprint = fingerprint_in(path)
    return SavedWeights(fingerprint=fingerprint, written_at=written_at) if fingerprint is not None else None


def known_weights(folder: Path) -> dict[str, SavedWeights]:
    """The fingerprints that an earlier start of the same training stored; empty if they are unreadable."""
    try:
        return RecordCopy.from_json((folder / FILE_NAME).read_bytes()).weights
    except (OSError, CheckpointError):
        return {}


def write_copy(folder: Path, record: Record, weights: dict[str, SavedWeights], text: str | None = None) -> None:
    """Writes ``nnguard.json`` if ``folder`` exists. Checkpoints that no longer exist are left out.

    Args:
        folder: the fold folder.
        record: the record to store.
        weights: checkpoint's file name -> its weights.
        text: ``record.to_json()``, if the caller has it already.
    """
    kept = {name: saved for name, saved in weights.items() if (folder / name).exists()}
    target = folder / FILE_NAME
    scratch = folder / f".{FILE_NAME}.{os.getpid()}"
    try:
        open_object = (text or record.to_json()).encode().removesuffix(b"}")
        scratch.write_bytes(b'%b,"weights":%b}\n' % (open_object, msgspec.json.encode(kept)))
    except (FileNotFoundError, NotADirectoryError):
        return
    # A rename, so that a reader never sees half a record. `replace` would make ext4 flush the disk, which took a third
    # of the time of saving a checkpoint. The price is that for an instant there is no sidecar.
    target.unlink(missing_ok=True)
    scratch.rename(target)


def write_copy_of(trainer: Any, saved: Path | None = None) -> None:
    """Writes a live trainer's ``nnguard.json``. ``saved`` is the checkpoint that was just written, if any."""
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
