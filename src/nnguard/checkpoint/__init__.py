"""A ``.pth`` file as bytes: a reader that runs nothing, and a writer that leaves the weights alone."""

from .known import Opaque
from .reader import Checkpoint, exported_checkpoints, read_checkpoint

__all__ = ["Checkpoint", "Opaque", "exported_checkpoints", "read_checkpoint"]
