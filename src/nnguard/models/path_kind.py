"""What lies at a path: a record file, a checkpoint, a fold, a model, an exported zip, or a tree of results."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from ..checkpoint import exported_checkpoints
from ..nnunet import FOLD_FOLDER

RECORD, CHECKPOINT, FOLD, MODEL, ZIP, TREE = "record", "checkpoint", "fold", "model folder", "exported zip", "tree"


def is_url(path: str | Path) -> bool:
    """Told by its ``://``, unless a file or folder has just this name."""
    return "://" in str(path) and not Path(path).exists()


def kind_of(path: str | Path) -> str:
    """One of the names above. A path where nothing lies is a checkpoint, and opening it says what is wrong.

    Args:
        path: a file, a folder or a URL. Of a zip its directory is read, of anything else nothing.

    Raises:
        CheckpointError: a zip cannot be read.
        OSError: a folder cannot be read.
    """
    local = Path(path)
    if is_url(path):
        return ZIP if not urlsplit(str(path)).path.endswith(".pth") and exported_checkpoints(path) else CHECKPOINT
    if local.is_dir():
        return _kind_of_folder(local)
    if local.suffix.lower() == ".zip" and local.is_file():
        return ZIP if exported_checkpoints(local) else CHECKPOINT
    return RECORD if local.suffix == ".json" and local.is_file() else CHECKPOINT


def _kind_of_folder(folder: Path) -> str:
    if FOLD_FOLDER.fullmatch(folder.absolute().name):
        return FOLD
    return MODEL if any(FOLD_FOLDER.fullmatch(entry.name) for entry in folder.iterdir()) else TREE
