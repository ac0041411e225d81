"""Models trained by nnU-Net's own commands, once for a whole run, and the commands themselves."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from nnguard.demo import disc_dataset
from nnguard.demo.workspace import installed
from tests.support import commands, disc_datasets
from tests.support.commands import Ran

TRAINERS = Path(__file__).with_name("trainers")

#: Written by every interpreter as it starts: a worker that nnU-Net spawns is one more line.
TELLS_OF_ITS_START = "import os\nwith open(os.environ['STARTED'], 'a') as file:\n    file.write('x\\n')\n"


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items):
    """All of this folder is slow, and runs in one process, so that each model is trained once."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.slow)
            if item.get_closest_marker("xdist_group") is None:
                item.add_marker(pytest.mark.xdist_group("e2e"))


@dataclass(frozen=True)
class Trained:
    """A model folder and how it came about."""

    run: Ran
    folder: Path

    @property
    def fold(self) -> Path:
        return self.folder / "fold_0"


class Site:
    """One results folder, and the commands that work in it."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.results = folder / "results"
        self.images = disc_datasets.root() / "raw" / disc_dataset.DATASET_NAME / "imagesTs"
        (folder / "starts").mkdir(parents=True)
        (folder / "starts" / "sitecustomize.py").write_text(TELLS_OF_ITS_START)

    def run(self, program: str, *arguments: str, mode: str | None, **variables: str) -> Ran:
        started = self.folder / f"started_{time.monotonic_ns()}"
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("NNGUARD", "nnUNet"))}
        environment |= disc_datasets.environment(self.results)
        environment |= {
            "nnUNet_extTrainer": str(TRAINERS),
            "PYTHONPATH": str(self.folder / "starts"),
            "STARTED": str(started),
        }
        environment |= {"NNGUARD": mode} if mode is not None else {}
        environment |= variables
        ran = commands.run([installed(program), *arguments], environment)
        return ran._replace(interpreters=len(started.read_text().splitlines()))

    def train(self, trainer: str, mode: str | None, **variables: str) -> Trained:
        arguments = [str(disc_dataset.DATASET_ID), "2d", "0", "-tr", trainer, "-device", "cpu"]
        run = self.run("nnUNetv2_train", *arguments, mode=mode, **variables)
        return Trained(run, self.results / disc_dataset.DATASET_NAME / f"{trainer}__nnUNetPlans__2d")

    def predict(self, model: Trained, target: Path, *options: str, mode: str | None, workers: int = 0) -> Ran:
        """``nnUNetv2_predict_from_modelfolder``; without workers ``nnUNetv2_predict``, the only one that can do so."""
        common = ["-i", str(self.images), "-o", str(target), "-f", "0", "-device", "cpu"]
        common += ["-npp", str(workers), "-nps", str(workers), *options]
        if workers:
            return self.run("nnUNetv2_predict_from_modelfolder", "-m", str(model.folder), *common, mode=mode)
        trainer, _plans, configuration = model.folder.name.split("__")
        named = ["-d", str(disc_dataset.DATASET_ID), "-tr", trainer, "-c", configuration]
        results = str(model.folder.parents[1])
        return self.run("nnUNetv2_predict", *named, *common, mode=mode, nnUNet_results=results)


@pytest.fixture(scope="session")
def new_site(tmp_path_factory):
    return lambda: Site(tmp_path_factory.mktemp("site") / "nnunet")


def trained_well(site: Site, trainer: str, mode: str) -> Trained:
    model = site.train(trainer, mode)
    assert model.run.status == 0, model.run.output[-3000:]
    return model


@pytest.fixture(scope="session")
def issue_2552(new_site):
    """The trainer of issue 2552, trained under ``NNGUARD=warn``."""
    return trained_well(new_site(), "nnUNetTrainerRepeatable2552", "warn")


@pytest.fixture(scope="session")
def unguarded(new_site):
    """The same without nnguard."""
    return trained_well(new_site(), "nnUNetTrainerRepeatable2552", "off")


@pytest.fixture(scope="session")
def corrected(new_site):
    """The same under ``NNGUARD=correct``."""
    return trained_well(new_site(), "nnUNetTrainerRepeatable2552", "correct")


@pytest.fixture(scope="session")
def default(new_site):
    """nnU-Net's default trainer, two steps long, under ``NNGUARD=strict``."""
    return trained_well(new_site(), "nnUNetTrainerBrief", "strict")


@pytest.fixture
def site(new_site):
    """A site of the test's own."""
    return new_site()
