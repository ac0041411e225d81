"""``.pth`` files as bytes: a reader that runs nothing in them, and a writer that does not change the weights."""

from typing import TYPE_CHECKING, Any

from .globals import Opaque
from .reader import (
    Checkpoint,
    exported_checkpoints,
    exported_files,
    read_checkpoint,
    read_exported,
    weights_fingerprint,
)

if TYPE_CHECKING:
    from .writer import SpliceResult, splice

__all__ = [
    "Checkpoint",
    "Opaque",
    "SpliceResult",
    "exported_checkpoints",
    "exported_files",
    "read_checkpoint",
    "read_exported",
    "splice",
    "weights_fingerprint",
]


def __getattr__(name: str) -> Any:
    # The writer's imports would cost every reader some milliseconds.
    if name in ("SpliceResult", "splice"):
        from . import writer

        return getattr(writer, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
