"""A command that is run to its end, in a process group of its own, and what it said."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple


class Ran(NamedTuple):
    """One command that has ended. ``group`` is its process group; ``interpreters`` is how many Pythons it started,
    itself included, where that was counted."""

    status: int
    output: str
    seconds: float
    group: int
    interpreters: int = 0

    def count(self, code: str) -> int:
        """How often a person is told of this finding, wherever it is printed."""
        return sum(line.lstrip().startswith(f"{code} ") or f": {code} " in line for line in self.output.splitlines())


def run(command: Sequence[str], environment: Mapping[str, str], patience: float | None = None) -> Ran:
    """Runs ``command``; what it prints on either stream becomes its output.

    Raises:
        TimeoutError: it took longer than ``patience`` seconds. It and all that it started are gone.
    """
    start = time.monotonic()
    with subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as process:
        try:
            output, _ = process.communicate(timeout=patience)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise TimeoutError(f"{Path(command[0]).name} hung for {patience:.0f} s") from None
    return Ran(process.returncode, output, time.monotonic() - start, process.pid)


def is_left(group: int, within: float = 10.0) -> bool:
    """Whether a process that a command started is still there, a while after its end."""
    until = time.monotonic() + within
    while time.monotonic() < until:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return False
        time.sleep(0.2)
    return True
