"""A model folder as a subject: what check, audit, repair and the predictor hook share.

Its names are loaded when they are used: ``nnguard inspect`` has 150 ms for everything.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .checking import check_model
    from .folder import Fold, Model, open_model
    from .older import Evidence, weaker_evidence
    from .predicting import FROM_CHECKPOINT

__all__ = ["FROM_CHECKPOINT", "Evidence", "Fold", "Model", "check_model", "open_model", "weaker_evidence"]

_ROOMS = {
    "FROM_CHECKPOINT": "predicting",
    "Evidence": "older",
    "Fold": "folder",
    "Model": "folder",
    "check_model": "checking",
    "open_model": "folder",
    "weaker_evidence": "older",
}


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_ROOMS[name]}"), name)
