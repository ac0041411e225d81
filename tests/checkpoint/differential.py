"""Compares the reader with PyTorch on any checkpoints: ``python -m tests.checkpoint.differential PATH...``.

A path is a checkpoint or a folder, in which every ``.pth`` of nnU-Net is compared. PyTorch loads them, so that code
in them runs: for files that you trust.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from nnguard.errors import CheckpointError
from tests.support.agreement import assert_agrees


def checkpoints_in(path: Path) -> list[Path]:
    """The path itself, or every checkpoint below it."""
    return sorted(path.rglob("*.pth")) if path.is_dir() else [path]


def main(paths: Iterable[str | Path]) -> int:
    """Prints a line a checkpoint and a count; 1 where any differs, cannot be read, or there is none."""
    found = [one for path in paths for one in checkpoints_in(Path(path))]
    wrong = 0
    for path in found:
        try:
            read = assert_agrees(path)
        except (AssertionError, CheckpointError, OSError, KeyError) as error:
            wrong += 1
            print(f"DIFFERS {path}: {error!r}")
        else:
            print(f"equal   {path}: {len(read.keys)} keys")
    print(f"{len(found)} checkpoints: {len(found) - wrong} equal to torch.load's, {wrong} not")
    return 1 if wrong or not found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
