"""The versions that would predict here, told without importing torch or nnU-Net."""

from __future__ import annotations

import platform

from ..distributions import version_of
from ..record import Environment

PACKAGES = ("nnunetv2", "batchgenerators", "batchgeneratorsv2", "torch")


def versions_here() -> Environment:
    """This environment; a package that is not installed is ``None``, and no difference to anything."""
    return Environment(python=platform.python_version(), **{name: version_of(name) for name in PACKAGES})
