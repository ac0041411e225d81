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

    __version__: str

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
    "read_record": "api",
}


def __getattr__(name):
    if name == "__version__":
        from importlib.metadata import version

        value = version("nnguard")
    elif name in _LAZY:
        from importlib import import_module

        value = getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__():
    return sorted({*globals(), *__all__})


_contained("arming", _arming.arm)
