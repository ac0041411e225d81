"""Which versions a training runs with."""

from __future__ import annotations

import platform

from ..distributions import version_of
from ..record import Environment

#: Import name -> the record's field; a fork's distribution has another name, so the import name decides.
PACKAGES = ("nnunetv2", "batchgenerators", "batchgeneratorsv2", "torch")


def environment() -> Environment:
    """The versions of what trains, by the distributions that provide the modules."""
    return Environment(python=platform.python_version(), **{name: version_of(name) for name in PACKAGES})
