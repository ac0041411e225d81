"""Finds the model folders below a results tree, and the zips, without looking inside."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from ..errors import CheckpointError
from ..nnunet import FOLD_FOLDER
from .model_zip import is_exported
from .path_kind import is_url

#: Results trees are DATASET/MODEL/fold_X, perhaps below a few folders of one's own. A deeper tree is
#: most likely not one, and a loop of links ends here at the latest.
DEEPEST = 12


def find_models(root: str | Path, with_zips: bool = False) -> Iterator[Path]:
    """Folders that hold ``fold_X`` folders, in the order of their names; ``root`` itself may be one.

    Links are followed, each folder is visited once. A folder that may not be read is passed over.

    Args:
        root: a results folder; or a zip, where those are asked for.
        with_zips: also every zip on the way, for there may be models in it.

    Raises:
        CheckpointError: ``root`` is no folder, or may not be read.
    """
    root = Path(root)
    if with_zips and is_exported(root):
        return iter([root])
    if not root.is_dir():
        missing = "is not a folder" if root.exists() else "does not exist"
        raise CheckpointError(f"{root}: {missing}; a results folder was expected")
    try:
        os.scandir(root).close()
    except OSError as error:
        raise CheckpointError(f"{root}: cannot be read: {error.strerror}") from None
    return _below(root, DEEPEST, set(), with_zips)


def listed_models(lines: Iterator[str] | list[str]) -> Iterator[Path | str]:
    """Folders and zips named one a line, URLs as text; empty lines and ``#`` comments are passed over."""
    for line in lines:
        name = line.strip()
        if name and not name.startswith("#"):
            yield name if is_url(name) else Path(name)


def _below(folder: Path, depth: int, visited: set[tuple[int, int]], with_zips: bool) -> Iterator[Path]:
    try:
        status = folder.stat()
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        folders = [entry for entry in entries if entry.is_dir()]
        zips = [Path(entry.path) for entry in entries if with_zips and is_exported(entry.path)]
    except OSError:
        return
    if (status.st_dev, status.st_ino) in visited:
        return
    visited.add((status.st_dev, status.st_ino))
    if any(FOLD_FOLDER.fullmatch(entry.name) for entry in folders):
        yield folder
        return
    yield from zips
    if depth > 0:
        for entry in folders:
            yield from _below(Path(entry.path), depth - 1, visited, with_zips)
