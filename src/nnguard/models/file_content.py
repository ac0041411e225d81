"""What the files around a checkpoint hold. Anybody may have written them, so everything here is bounded."""

from __future__ import annotations

from pathlib import Path
from stat import S_ISREG
from typing import TypeVar

import msgspec

from ..checkpoint import read_exported
from ..errors import CheckpointError
from ..fold import Fold

Told = TypeVar("Told")

#: A ``debug.json`` of a large plan is some hundred kilobytes.
LONGEST_FILE = 16 << 20


def read_bounded(path: Path, longest: int = LONGEST_FILE) -> bytes | None:
    """The bytes of an ordinary file of bearable size; ``None`` for anything else."""
    try:
        told = path.stat()
        return path.read_bytes() if S_ISREG(told.st_mode) and told.st_size <= longest else None
    except (OSError, ValueError):
        return None


def read_beside(fold: Fold, name: str) -> bytes | None:
    """A file of bearable size in the fold's folder; ``None`` if it is not there or cannot be read."""
    if fold.archive is None:
        return read_bounded(fold.folder / name)
    try:
        return read_exported(fold.archive, (fold.folder / name).as_posix(), LONGEST_FILE)
    except CheckpointError:
        return None


def read_json(text: bytes | str | None, kind: type[Told]) -> Told | None:
    """What a foreign text holds, if that is JSON of this kind; ``None`` for anything else, and for no text."""
    try:
        return msgspec.json.decode(text, type=kind) if text is not None else None
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
