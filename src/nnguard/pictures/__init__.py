"""Pictures of what was seen. Only this room knows matplotlib, which is an extra."""

from importlib.util import find_spec

from ..errors import NNGuardError


def require_matplotlib() -> None:
    """To be asked before the work that a picture shows.

    Raises:
        NNGuardError: matplotlib is not installed.
    """
    if find_spec("matplotlib") is None:
        raise NNGuardError("nnguard needs matplotlib to draw a picture: pip install matplotlib")
