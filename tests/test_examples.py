"""The scripts in ``examples/`` do what they say, with real nnU-Net."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

import nnguard
from tests.support import disc_datasets
from tests.support.checkpoints import save_model
from tests.support.records import record_of
from tests.support.small_models import raw, small_model

EXAMPLES = Path(__file__).parents[1] / "examples"


def run(script, *arguments, results, **variables):
    """Runs an example as a user would, in an environment that says nothing of nnguard but ``variables``."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("NNGUARD", "nnUNet"))}
    environment = inherited | disc_datasets.environment(results) | variables
    command = [sys.executable, str(EXAMPLES / script), *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def recorded_model(results, mirrors):
    """A model folder whose training was guarded; nnU-Net declares the axes (0, 1) whatever it mirrors."""
    nnguard.install("warn")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", nnguard.ConsistencyWarning)
            return small_model("2d", results, steps=1, mirrors=mirrors)
    finally:
        nnguard.uninstall()


def test_there_is_a_test_for_each_example():
    text = Path(__file__).read_text("utf-8")
    assert all(f'"{path.name}"' in text for path in EXAMPLES.glob("*.py"))


@pytest.mark.parametrize(("trained", "status", "said"), [((0, 1), 0, ""), ((), 1, "NNG101")])
def test_a_folder_is_checked_and_the_exit_status_says_so(tmp_path, trained, status, said):
    model = save_model(tmp_path / "model", (0, 1), record=record_of(mirrored=trained))
    ran = run("check_a_folder.py", model, results=tmp_path)
    assert (ran.returncode, ran.stderr) == (status, "")
    assert said in ran.stdout


def test_a_folder_that_cannot_be_read_is_exit_status_2(tmp_path):
    ran = run("check_a_folder.py", tmp_path / "nowhere", results=tmp_path)
    assert ran.returncode == 2
    assert "nowhere" in ran.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mirrors", "mode", "predicts"), [(None, "strict", False), (None, "warn", True), ((0, 1), "strict", True)]
)
def test_a_script_that_imports_nnguard_predicts_only_what_its_mode_allows(tmp_path, mirrors, mode, predicts):
    model = recorded_model(tmp_path / "results", mirrors)
    images, target = raw("2d") / "imagesTs", tmp_path / "predictions"
    ran = run("guard_a_script.py", model, images, target, results=tmp_path, NNGUARD=mode)
    assert f"active, mode {mode} (NNGUARD)" in ran.stdout
    assert (ran.returncode == 0) == predicts, ran.stderr
    assert bool(list(target.glob("*.png"))) == predicts
    assert ("NNG101" in ran.stderr) == (mirrors is None)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("trainer", "safe", "declared"),
    [("nnUNetTrainer", "(0, 1)", "(0, 1)"), ("nnUNetTrainerNoMirroring", "()", "None")],
)
def test_a_trainer_is_observed_before_it_trains(tmp_path, trainer, safe, declared):
    number = disc_datasets.KINDS["2d"].number
    ran = run("observe_a_trainer.py", number, "2d", trainer, results=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert "state: observed" in ran.stdout
    assert f"safe to mirror: {safe}\n" in ran.stdout
    assert f"would mirror: {declared}\n" in ran.stdout
