"""One version's folders, and the commands that run in its environment."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from nnguard.demo import disc_dataset, outcome
from tests.support import commands
from tests.support.commands import Ran

from .claims import Wrong, tail
from .environments import commands_environment, recorded_as
from .inside import MARK

#: Long for the slowest command; one that takes longer hangs.
PATIENCE = 400


class Site:
    """Where one version works; everything below ``folder``."""

    def __init__(self, version: str, python: Path, folder: Path) -> None:
        self.version, self.python, self.folder = version, python, folder
        #: As records tell it.
        self.nnunetv2 = recorded_as(version)
        self.log = folder / "nnguard.log"
        folder.mkdir(parents=True)
        self.variables: dict[str, str] = self.inside("variables", str(folder / "warn"))
        self.dataset = Path(self.variables["nnUNet_raw"]) / disc_dataset.DATASET_NAME

    def model(self, results: str, trainer: str) -> Path:
        return self.folder / results / disc_dataset.DATASET_NAME / f"{trainer}__nnUNetPlans__2d"

    def train(self, trainer: str, mode: str, results: str, *options: str, **variables: str) -> Ran:
        """``nnUNetv2_train`` on fold 0."""
        arguments = [str(disc_dataset.DATASET_ID), "2d", "0", "-tr", trainer, "-device", "cpu", *options]
        # Not 0: without workers, nnU-Net 2.2 fails at the end of every training.
        fixed = {"nnUNet_results": str(self.folder / results), "nnUNet_n_proc_DA": "1", "NNGUARD": mode}
        return self.run([str(self.python.with_name("nnUNetv2_train")), *arguments], **(fixed | variables))

    def predict(self, model: Path, target: str, mode: str, *options: str, folds: str = "0") -> Ran:
        """``nnUNetv2_predict_from_modelfolder`` on the test images, with a worker each to read and to write."""
        folders = ["-i", str(self.dataset / "imagesTs"), "-o", str(self.folder / target), "-m", str(model)]
        here = ["-f", *folds.split(), "-device", "cpu", "-npp", "1", "-nps", "1"]
        program = str(self.python.with_name("nnUNetv2_predict_from_modelfolder"))
        return self.run([program, *folders, *here, *options], NNGUARD=mode)

    def predict_here(self, model: Path, target: str, mode: str) -> Ran:
        """The same with nnU-Net's predictor in one process."""
        arguments = ["predict", str(model), str(self.dataset / "imagesTs"), str(self.folder / target)]
        return self.run([str(self.python), "-m", "tests.compat.inside", *arguments], NNGUARD=mode)

    def inside(self, what: str, *arguments: str, mode: str = "off") -> Any:
        """The answer of ``tests.compat.inside``.

        Raises:
            Wrong: it gave none.
        """
        ran = self.run([str(self.python), "-m", "tests.compat.inside", what, *arguments], patience=3600, NNGUARD=mode)
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
        try:
            ran = commands.run(command, environment, patience)
        except TimeoutError as error:
            raise Wrong(str(error)) from None
        with (self.folder / "commands.txt").open("a") as log:
            log.write(f"\n$ {' '.join(command)}  # exit {ran.status}\n{ran.output}")
        return ran

    def dice(self, target: str) -> float:
        return outcome.dice(self.folder / target, self.dataset / "labelsTs")
