"""Six of the gallery through nnU-Net's own commands, 2D and 3D: the same verdicts, end to end."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

import disc_datasets
from gallery import own_transforms, steps_and_loaders, third_party
from nnguard.checkpoint import read_checkpoint
from nnguard.demo.workspace import installed

ENTRIES = {entry.name: entry for entry in (*own_transforms.gallery, *third_party.gallery, *steps_and_loaders.gallery)}
HERE = Path(__file__).parent


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "flips_by_generators_of_its_own",
        "monai_rand_flipd",
        "exchanges_left_and_right",
        "steps_flip_less_than_is_declared",
        "drops_mirror_axes_in_3d",
        "torchio_flips_left_and_right_by_name",
    ],
)
def test_the_command_gives_the_verdict_of_the_gallery(name, tmp_path):
    entry = ENTRIES[name]
    kind = disc_datasets.KINDS[entry.kind]
    trainer = f"nnUNetTrainerGallery_{name}"
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("NNGUARD", "nnUNet"))}
    environment |= disc_datasets.environment(tmp_path)
    environment |= {
        "NNGUARD": "warn",
        "nnUNet_extTrainer": str(HERE / "external"),
        "PYTHONPATH": str(HERE.parent),
        "COLUMNS": "100",
    }
    command = [installed("nnUNetv2_train"), str(kind.number), kind.configuration, "0", "-tr", trainer]
    run = subprocess.run(
        [*command, "-device", "cpu"], env=environment, capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert run.returncode == 0, run.stderr[-3000:]
    fold = tmp_path / kind.name / f"{trainer}__nnUNetPlans__{kind.configuration}" / "fold_0"
    record = read_checkpoint(fold / "checkpoint_final.pth").record()
    assert (record.mirroring.state, record.mirroring.safe_axes) == (entry.state, entry.safe)
    assert {flip.axes for flip in record.mirroring.flips if flip.verdict == "trained"} == set(entry.trained)
    for code in entry.finds:
        assert f"{code} " in run.stderr
    if not entry.finds:
        assert "ConsistencyWarning" not in run.stderr
