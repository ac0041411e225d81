"""Which versions a training runs with."""

from __future__ import annotations

import platform
from importlib import metadata

from ..record import Environment

#: Import name -> the record's field; a fork's distribution has another name, so the import name decides.
PACKAGES = ("nnunetv2", "batchgenerators", "batchgeneratorsv2", "torch")


def environment() -> Environment:
    """The versions of what trains, by the distributions that provide the modules."""
    return Environment(python=platform.python_version(), **{name: version_of(name) for name in PACKAGES})


def version_of(module: str) -> str | None:
    """The version of the distribution that provides ``module``; a fork's is ``name version``."""
    try:
        return metadata.version(module)
    except metadata.PackageNotFoundError:
        pass
    for distribution in metadata.packages_distributions().get(module, []):
        try:
            return f"{distribution} {metadata.version(distribution)}"
        except metadata.PackageNotFoundError:
            continue
    return None
