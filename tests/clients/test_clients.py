"""Other people's software around nnU-Net's predictor: unchanged where sound, refused before the first patch where not.

TotalSegmentator and HD-BET are the packages themselves, without their dependencies, in a folder of their own; MONAI is
the one of the development environment.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import nnguard
from tests.support import disc_datasets, trainers

PROCESS = Path(__file__).with_name("client_process.py")
PACKAGES = ("TotalSegmentator==2.18.0", "HD-BET==2.0.1")
CLIENTS = ("totalsegmentator", "totalsegmentator_first", "hd_bet", "own_iterator", "axes_for_each_case", "monai")

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("clients")]


@pytest.fixture(scope="session")
def packages():
    """The folder with both packages; installed once a machine."""
    target = disc_datasets.CACHE.parent / "clients" / "-".join(PACKAGES)
    target.parent.mkdir(parents=True, exist_ok=True)
    with (target.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.is_dir():
            uv = shutil.which("uv")
            installer = [uv, "pip", "install", "-q"] if uv else [sys.executable, "-m", "pip", "install", "-q"]
            making = target.with_name("making")
            shutil.rmtree(making, ignore_errors=True)
            subprocess.run([*installer, "--no-deps", "--target", str(making), *PACKAGES], check=True)
            making.rename(target)
    return target


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """Two small 3D models, trained under the guard by their record's word: ``sound`` and ``unmirrored``."""
    base = trainers.trainer_class("nnUNetTrainer")

    class Unmirrored(base):
        @staticmethod
        def get_training_transforms(patch_size, rotation, scales, mirror_axes, *args, **kwargs):
            return base.get_training_transforms(patch_size, (-0.05, 0.05), scales, None, *args, **kwargs)

    def small(plans):
        arguments = plans["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"]
        arguments["features_per_stage"] = [4] * len(arguments["features_per_stage"])

    folders = {}
    nnguard.install("warn,NNG103=log")
    # Saved under nnU-Net's own name, by which the predictor looks the trainer up.
    for name, kind in (("sound", base), ("unmirrored", type("nnUNetTrainer", (Unmirrored,), {}))):
        results = tmp_path_factory.mktemp(name)
        with trainers.nnunet_variables(results, nnUNet_n_proc_DA="0"):
            made = trainers.new_trainer("isotropic", results, kind, fold="all", change_plans=small)
            made.num_epochs, made.num_iterations_per_epoch, made.num_val_iterations_per_epoch = 1, 10, 1
            made.run_training()
            folders[name] = Path(made.output_folder_base)
    nnguard.uninstall()
    return folders


@pytest.fixture
def predicts(packages, models, tmp_path):
    """``predicts(client, model, mode)``: what came of it, and the output folder."""

    def run(client, model, mode):
        raw = disc_datasets.root() / "raw" / disc_datasets.KINDS["isotropic"].name
        image = sorted((raw / "imagesTr").iterdir())[0]
        output = tmp_path / f"{client}-{model}-{mode}"
        output.mkdir()
        paths = [str(packages), os.environ.get("PYTHONPATH", "")]
        ran = subprocess.run(
            [sys.executable, str(PROCESS), client, str(models[model]), str(image), str(output), mode],
            env=os.environ
            | disc_datasets.environment(tmp_path)
            | {"NNGUARD": mode, "PYTHONPATH": os.pathsep.join(paths)},
            capture_output=True,
            text=True,
            timeout=300,
        )
        lines = [line for line in ran.stdout.splitlines() if line.startswith("CAME ")]
        assert lines, ran.stderr[-3000:]
        return json.loads(lines[0].removeprefix("CAME ")), ran.stderr

    return run


@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_with_a_sound_model_predicts_in_silence_what_it_predicts_unguarded(predicts, client):
    unguarded, _ = predicts(client, "sound", "off")
    guarded, said = predicts(client, "sound", "exact,NNG102=log")
    assert unguarded["segmentation"] is not None
    assert guarded == unguarded
    assert "NNG1" not in said


@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_with_an_unmirrored_model_is_refused_before_it_writes_anything(predicts, client):
    assert predicts(client, "unmirrored", "strict")[0] == {"refused": ["NNG101"], "segmentation": None}


@pytest.mark.parametrize("client", ["totalsegmentator", "hd_bet"])
def test_a_warned_client_predicts_what_it_predicts_unguarded(predicts, client):
    unguarded, _ = predicts(client, "unmirrored", "off")
    warned, said = predicts(client, "unmirrored", "warn")
    assert warned == unguarded
    assert said.count("NNG101 unseen-flip") == 1
