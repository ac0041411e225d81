"""The demo's folders, and how it runs nnU-Net's own commands in them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from shlex import quote

import msgspec

from ..errors import NNGuardError
from . import disc_dataset

TRAINER = "nnUNetTrainerIssue2552"
CONFIGURATION = "2d"
TRAINERS = Path(__file__).with_name("trainers")


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One finished command.

    ``command`` is what a user would type; ``short`` is its mode, program and last option.
    """

    command: str
    short: str
    output: str
    status: int
    seconds: float


class Workspace:
    """The demo's folders below one folder, and the environment of its commands.

    nnU-Net's variables are set only for these commands; the caller's environment stays as it is.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.raw = folder / "raw"
        self.preprocessed = folder / "preprocessed"
        self.results = folder / "results"
        self.logs = folder / "logs"
        self.trainers = folder / "trainers"
        for made in (self.raw, self.preprocessed, self.results, self.logs):
            made.mkdir(parents=True, exist_ok=True)
        # nnU-Net looks up a model's trainer by name whenever it loads the model, so a kept folder needs the trainer.
        shutil.copytree(TRAINERS, self.trainers, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
        lines = [f"export {name}={quote(value)}" for name, value in self.nnunet_variables().items()]
        lines.append(f'export PATH={quote(str(Path(sys.executable).parent))}:"$PATH"')
        (folder / "environment.sh").write_text("\n".join(lines) + "\n", encoding="utf-8")

    @property
    def dataset(self) -> Path:
        return self.raw / disc_dataset.DATASET_NAME

    @property
    def model(self) -> Path:
        return self.results / disc_dataset.DATASET_NAME / f"{TRAINER}__nnUNetPlans__{CONFIGURATION}"

    def nnunet_variables(self) -> dict[str, str]:
        """Where nnU-Net finds the demo's data, models and trainer."""
        return {
            "nnUNet_raw": str(self.raw),
            "nnUNet_preprocessed": str(self.preprocessed),
            "nnUNet_results": str(self.results),
            "nnUNet_extTrainer": str(self.trainers),
        }

    def environment(self, mode: str) -> dict[str, str]:
        """The environment variables of a command that runs under ``NNGUARD=mode``."""
        return {
            **os.environ,
            **self.nnunet_variables(),
            # Each further process would import torch again, and the cases are tiny.
            "nnUNet_def_n_proc": "1",
            "nnUNet_n_proc_DA": "0",
            "nnUNet_compile": "f",
            # By default torch's threads spin while they wait: next to a busy process, a step takes six times as long.
            "OMP_WAIT_POLICY": "PASSIVE",
            "NNGUARD": mode,
            "PYTHONUNBUFFERED": "1",
            "COLUMNS": "100",
        }

    def prepare(self) -> Run:
        """Plans and preprocesses the dataset."""
        arguments = ["-d", str(disc_dataset.DATASET_ID), "-c", CONFIGURATION]
        return self._run("prepare", [sys.executable, "-m", "nnguard.demo.preparation", *arguments], "off")

    def train(self, mode: str, follow: Callable[[str], None]) -> Run:
        """Runs ``nnUNetv2_train`` with the issue's trainer on fold 0; ``follow`` gets each line of output at once."""
        arguments = [str(disc_dataset.DATASET_ID), CONFIGURATION, "0", "-tr", TRAINER, "-device", "cpu"]
        return self._run(f"train_{mode}", [installed("nnUNetv2_train"), *arguments], mode, follow)

    def predict(self, mode: str, *options: str) -> tuple[Run, Path]:
        """Runs ``nnUNetv2_predict`` on the test images. Returns the run and its output folder."""
        name = "_".join(["predicted", mode, *(option.strip("-") for option in options)])
        target = self.folder / name
        folders = ["-i", str(self.dataset / "imagesTs"), "-o", str(target)]
        model = ["-d", str(disc_dataset.DATASET_ID), "-c", CONFIGURATION, "-tr", TRAINER, "-f", "0"]
        # These options start no worker processes, because each would import torch for a few small images.
        here = ["-device", "cpu", "-npp", "0", "-nps", "0"]
        command = [installed("nnUNetv2_predict"), *folders, *model, *here, *options]
        return self._run(name, command, mode), target

    def _run(self, name: str, command: list[str], mode: str, follow: Callable[[str], None] = lambda line: None) -> Run:
        program, *arguments = command
        program = Path(program).name
        start = time.monotonic()
        lines = []
        with subprocess.Popen(
            command,
            env=self.environment(mode),
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                lines.append(line)
                follow(line.rstrip("\n"))
        output = "".join(lines)
        (self.logs / f"{name}.txt").write_text(output)
        last = [argument for argument in arguments[-1:] if argument.startswith("--")]
        return Run(
            command=" ".join([f"NNGUARD={mode}", program, *arguments]).replace(f"{self.folder}{os.sep}", ""),
            short=" ".join([f"NNGUARD={mode}", program, *last]),
            output=output,
            status=process.returncode,
            seconds=time.monotonic() - start,
        )


def installed(program: str) -> str:
    """The path of one of nnU-Net's commands: from this environment, else from the ``PATH``.

    Raises:
        NNGuardError: the command is not installed.
    """
    beside = Path(sys.executable).with_name(program)
    found = str(beside) if beside.exists() else shutil.which(program)
    if found is None:
        raise NNGuardError(f"{program} is not installed in this environment: pip install 'nnguard[nnunet]'")
    return found


def check_nnunet() -> None:
    """Refuses an environment in which the demo cannot run.

    Raises:
        NNGuardError: nnU-Net is missing, or cannot take a trainer from another folder.
    """
    try:
        from nnunetv2 import paths
    except ImportError:
        raise NNGuardError(
            "the demo trains real nnU-Net, which is not installed: pip install 'nnguard[nnunet]'"
        ) from None
    if not hasattr(paths, "nnUNet_extTrainer"):
        raise NNGuardError(
            "the demo needs an nnU-Net that takes trainers from a folder (nnUNet_extTrainer): 2.8 or later"
        )
