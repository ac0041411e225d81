"""Which installed distribution provides a module, and its version. This module imports only the standard library."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from importlib import metadata


@lru_cache(maxsize=32)
def provider_of(module: str) -> tuple[str, str] | None:
    """The name and version of the distribution that contains a module.

    A fork of nnU-Net is a distribution with another name and the same module (``nnunetv2-neuropoly``). The result is
    cached, because a search through all installed distributions takes some milliseconds.

    Args:
        module: the name that is imported.

    Returns:
        ``None`` if no distribution contains the module: it is not installed, or only ``PYTHONPATH`` finds it.
    """
    try:
        return module, metadata.version(module)
    except metadata.PackageNotFoundError:
        return next(_providers(module), None)


def version_of(module: str) -> str | None:
    """The version as records store it: ``2.8.1``; for a fork with its distribution's name: ``name 2.6.2``."""
    provider = provider_of(module)
    if provider is None:
        return None
    name, version = provider
    return version if name == module else f"{name} {version}"


def _providers(module: str) -> Iterator[tuple[str, str]]:
    # metadata.packages_distributions() would read the file lists of all distributions, which takes 0.2 s. Before Python
    # 3.11, it also misses distributions without a top_level.txt, such as those built by hatchling and poetry.
    file_of_the_module = re.compile(rf"^{re.escape(module)}(/|\.py,)", re.MULTILINE)
    for distribution in metadata.distributions():
        declared = distribution.read_text("top_level.txt")
        files = distribution.read_text("RECORD") if declared is None else None
        if module in (declared or "").split() or file_of_the_module.search(files or ""):
            yield distribution.metadata["Name"], distribution.version
