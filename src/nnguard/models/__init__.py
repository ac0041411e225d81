"""A model folder as a subject: what check, audit, repair and the predictor hook share.

Its names are loaded when they are used: ``nnguard inspect`` has 150 ms for everything.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .fold_check import FROM_CHECKPOINT
    from .folder import open_model
    from .model_check import check_model

__all__ = ["FROM_CHECKPOINT", "check_model", "open_model"]

_ROOMS = {
    "FROM_CHECKPOINT": "fold_check",
    "check_model": "model_check",
    "open_model": "folder",
}


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_ROOMS[name]}"), name)
