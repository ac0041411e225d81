"""Which installed distribution provides a module, and at which version. Standard library only."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from importlib import metadata


@lru_cache(maxsize=32)
def provider_of(module: str) -> tuple[str, str] | None:
    """The distribution that a module came with: its name and version.

    A fork of nnU-Net is a distribution of another name with the same module inside (``nnunetv2-neuropoly``). Asked
    once a process: looking through everything that is installed takes some milliseconds.

    Args:
        module: the name that is imported.

    Returns:
        ``None`` where no distribution claims the module: not installed, or found by ``PYTHONPATH`` alone.
    """
    try:
        return module, metadata.version(module)
    except metadata.PackageNotFoundError:
        return next(_providers(module), None)


def version_of(module: str) -> str | None:
    """The version as records tell it: ``2.8.1``, and of a fork its distribution's name too, ``name 2.6.2``."""
    provider = provider_of(module)
    if provider is None:
        return None
    name, version = provider
    return version if name == module else f"{name} {version}"


def _providers(module: str) -> Iterator[tuple[str, str]]:
    # Not metadata.packages_distributions(): it reads the list of files of everything, for 0.2 s, and before Python
    # 3.11 knows no distribution without a top_level.txt, which is what hatchling and poetry build.
    file_of_the_module = re.compile(rf"^{re.escape(module)}(/|\.py,)", re.MULTILINE)
    for distribution in metadata.distributions():
        declared = distribution.read_text("top_level.txt")
        files = distribution.read_text("RECORD") if declared is None else None
        if module in (declared or "").split() or file_of_the_module.search(files or ""):
            yield distribution.metadata["Name"], distribution.version
