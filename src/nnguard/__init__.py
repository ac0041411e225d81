"""nnguard compares what an nnU-Net was trained to see with what its predictor shows it.

Importing this package arms the guard (``NNGUARD`` says how, ``warn`` where it is not set). It happens at the
start of every interpreter that has ``NNGUARD`` set, so everything beyond the standard library is loaded when
a name below is first used.
"""

from _nnguard_start import contained as _contained

from . import arming as _arming
from .arming import install, status, uninstall
from .errors import (
    CheckpointError,
    ConfigurationError,
    ConsistencyWarning,
    InconsistencyError,
    MirroringError,
    NNGuardError,
)
from .findings import Finding

TYPE_CHECKING = False  # what type checkers take for typing's, which a bare interpreter has not imported
if TYPE_CHECKING:
    from .api import observe, read_record
    from .models import FROM_CHECKPOINT, check_model
    from .record import Record
    from .version import __version__

__all__ = [
    "FROM_CHECKPOINT",
    "CheckpointError",
    "ConfigurationError",
    "ConsistencyWarning",
    "Finding",
    "InconsistencyError",
    "MirroringError",
    "NNGuardError",
    "Record",
    "__version__",
    "check_model",
    "install",
    "observe",
    "read_record",
    "status",
    "uninstall",
]

_LAZY = {
    "FROM_CHECKPOINT": "models",
    "Record": "record",
    "check_model": "models",
    "observe": "api",
    "__version__": "version",
    "read_record": "api",
}


if not TYPE_CHECKING:  # a type checker that saw this function would accept every name

    def __getattr__(name):
        if name not in _LAZY:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        value = globals()[name] = getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
        return value


def __dir__() -> list[str]:
    return __all__


_contained("arming", _arming.arm)
