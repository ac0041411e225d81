"""One version's folders, and the commands that run in its environment."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from nnguard.demo import discs, measure

from .environments import commands_environment
from .inside import MARK

#: Long for the slowest command; one that takes longer hangs.
PATIENCE = 400


class Wrong(Exception):
    """Something was not as it must be."""


class Ran(NamedTuple):
    """A command that has ended; ``group`` is its process group."""

    status: int
    output: str
    seconds: float
    group: int

    def count(self, code: str) -> int:
        """How often a person is told of this finding."""
        return sum(line.lstrip().startswith(f"{code} ") or f": {code} " in line for line in self.output.splitlines())


class Site:
    """Where one version works; everything below ``folder``."""

    def __init__(self, version: str, python: Path, folder: Path) -> None:
        self.version, self.python, self.folder = version, python, folder
        self.log = folder / "nnguard.log"
        folder.mkdir(parents=True)
        self.variables: dict[str, str] = self.inside("variables", str(folder / "warn"))
        self.dataset = Path(self.variables["nnUNet_raw"]) / discs.DATASET_NAME

    def model(self, results: str, trainer: str) -> Path:
        return self.folder / results / discs.DATASET_NAME / f"{trainer}__nnUNetPlans__2d"

    def train(self, trainer: str, mode: str, results: str, *options: str, **variables: str) -> Ran:
        """``nnUNetv2_train`` on fold 0."""
        arguments = [str(discs.DATASET_ID), "2d", "0", "-tr", trainer, "-device", "cpu", *options]
        # Not 0: without workers, nnU-Net 2.2 fails at the end of every training.
        fixed = {"nnUNet_results": str(self.folder / results), "nnUNet_n_proc_DA": "1", "NNGUARD": mode}
        return self.run([str(self.python.with_name("nnUNetv2_train")), *arguments], **(fixed | variables))

    def predict(self, model: Path, target: str, mode: str, *options: str) -> Ran:
        """``nnUNetv2_predict_from_modelfolder`` on the test images, with a worker each to read and to write."""
        folders = ["-i", str(self.dataset / "imagesTs"), "-o", str(self.folder / target), "-m", str(model), "-f", "0"]
        here = ["-device", "cpu", "-npp", "1", "-nps", "1"]
        program = str(self.python.with_name("nnUNetv2_predict_from_modelfolder"))
        return self.run([program, *folders, *here, *options], NNGUARD=mode)

    def predict_here(self, model: Path, target: str, mode: str) -> Ran:
        """The same with nnU-Net's predictor in one process."""
        arguments = ["predict", str(model), str(self.dataset / "imagesTs"), str(self.folder / target)]
        return self.run([str(self.python), "-m", "compat.inside", *arguments], NNGUARD=mode)

    def inside(self, what: str, *arguments: str) -> Any:
        """The answer of ``compat.inside``.

        Raises:
            Wrong: it gave none.
        """
        ran = self.run([str(self.python), "-m", "compat.inside", what, *arguments], patience=3600, NNGUARD="off")
        answers = [line for line in ran.output.splitlines() if line.startswith(MARK)]
        if ran.status or not answers:
            raise Wrong(f"{what} failed: {tail(ran)}")
        return json.loads(answers[-1].removeprefix(MARK))

    def guard(self, *arguments: str) -> Ran:
        """A command of the newest nnguard, in the environment that this script runs in."""
        return self.run([str(Path(sys.executable).with_name("nnguard")), *arguments])

    def run(self, command: list[str], patience: float = PATIENCE, **variables: str) -> Ran:
        environment = commands_environment(self.python) | getattr(self, "variables", {})
        environment |= {"NNGUARD_LOG": str(self.log)} | variables
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
                output, _ = process.communicate()
                raise Wrong(f"{Path(command[0]).name} hung for {patience:.0f} s") from None
        with (self.folder / "commands.txt").open("a") as log:
            log.write(f"\n$ {' '.join(command)}  # exit {process.returncode}\n{output}")
        return Ran(process.returncode, output, time.monotonic() - start, process.pid)

    def dice(self, target: str) -> float:
        return measure.dice(self.folder / target, self.dataset / "labelsTs")


def tail(ran: Ran) -> str:
    """The last lines of what a command printed, on one line."""
    return f"exit {ran.status}: {' / '.join(ran.output.strip().splitlines()[-3:])}"


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
