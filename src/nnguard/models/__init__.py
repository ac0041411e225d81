"""A model folder as a subject: what check, audit, repair and the predictor hook share."""

from .checking import FROM_CHECKPOINT, check_model
from .folder import Fold, Model, open_model
from .older import Evidence, weaker_evidence

__all__ = ["FROM_CHECKPOINT", "Evidence", "Fold", "Model", "check_model", "open_model", "weaker_evidence"]
