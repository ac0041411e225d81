"""Observes a trainer's class as it is now: ``nnguard preflight`` in a process of its own, which it cannot harm.

What the checkpoint gives are names, and what runs is the code that is installed here under these names.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO

import msgspec

from ..errors import CheckpointError
from ..models.folder import LONGEST_FILE
from ..models.reobserved import NamedTraining, Reobserved
from ..policy import ENVIRONMENT_VARIABLE
from ..record import Record

#: Importing nnU-Net takes up to 20 s, observing up to 30 s; the rest is for trainers that load much before they start.
LONGEST = 300.0
#: Of what it prints, the end is enough to say why it failed.
TAIL = 64 << 10
#: The folder that one stands in is no place to import from: a results tree may hold anything.
PREFLIGHT = (
    sys.executable,
    "-c",
    "import sys; sys.path[:1] = [path for path in sys.path[:1] if path]\n"
    "from nnguard.cli import main; sys.exit(main())",
    "preflight",
)


def reobserved(training: NamedTraining) -> Reobserved:
    """Builds the training, up to its first step, and takes it down again; whatever goes wrong is in the answer."""
    names = (training.dataset, training.configuration, str(training.fold))
    options = ("-tr", training.trainer, "-p", training.plans, "--format", "json")
    with (
        # Whatever a process leaves that had to be killed goes with the folder.
        tempfile.TemporaryDirectory(prefix="nnguard-trainer-", ignore_cleanup_errors=True) as folder,
        (Path(folder) / "out").open("w+b") as out,
        (Path(folder) / "err").open("w+b") as err,
    ):
        status = _run([*PREFLIGHT, *names, *options], folder, out, err)
        if status is None:
            return Reobserved(training=training, failure=f"it had not started to train after {LONGEST:.0f} s")
        record = _record_in(out) if status in (0, 1) else None
        if record is None:
            return Reobserved(training=training, failure=_why(status, err))
        return Reobserved(training=training, record=record)


def _run(command: list[str], folder: str, out: IO[bytes], err: IO[bytes]) -> int | None:
    """The exit status; ``None`` where it took too long. No process of it is left."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ENVIRONMENT_VARIABLE)}
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=err,
        env={**environment, "TMPDIR": folder},
        start_new_session=True,
    )
    try:
        return process.wait(LONGEST)
    except subprocess.TimeoutExpired:
        return None
    finally:
        if hasattr(os, "killpg"):
            # Its augmentation workers, too. The group's number is not used again before `wait`, below.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
        process.kill()
        process.wait()


def _record_in(out: IO[bytes]) -> Record | None:
    out.seek(0)
    try:
        document = msgspec.json.decode(out.read(LONGEST_FILE), type=dict[str, msgspec.Raw])
        return Record.from_json(bytes(document.get("record", msgspec.Raw(b"null"))))
    except (msgspec.MsgspecError, UnicodeError, RecursionError, CheckpointError):
        return None


def _why(status: int, err: IO[bytes]) -> str:
    err.seek(max(0, err.seek(0, os.SEEK_END) - TAIL))
    lines = [line for line in err.read().decode("utf-8", "replace").splitlines() if line.strip()]
    told = next((line for line in reversed(lines) if line.startswith("nnguard: ")), None)
    if status == 2 and told is not None:
        return told.removeprefix("nnguard: ").removeprefix("the training cannot be started: ")
    last = f": {lines[-1].strip()}" if lines else ""
    if status < 0:
        return f"its process crashed (signal {-status}){last}"
    return f"its process ended without a record (status {status}){last}"
