"""Six of the gallery through nnU-Net's own commands, 2D and 3D: the same verdicts, end to end."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from nnguard.checkpoint import read_checkpoint
from nnguard.demo.workspace import installed
from tests.gallery import own_transforms, steps_and_loaders, third_party
from tests.support import disc_datasets

ENTRIES = {entry.name: entry for entry in (*own_transforms.gallery, *third_party.gallery, *steps_and_loaders.gallery)}
HERE = Path(__file__).parent


#: Gallery entry -> what its own validation, which the command runs after training, tells beside; ``None``: not run.
BY_COMMAND = {
    "flips_by_generators_of_its_own": None,
    "monai_rand_flipd": None,
    "exchanges_left_and_right": None,
    "steps_flip_less_than_is_declared": "NNG101",
    "drops_mirror_axes_in_3d": "NNG101",
    "torchio_flips_left_and_right_by_name": None,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", BY_COMMAND)
def test_the_command_gives_the_verdict_of_the_gallery(name, tmp_path):
    entry = ENTRIES[name]
    kind = disc_datasets.KINDS[entry.kind]
    trainer = f"nnUNetTrainerGallery_{name}"
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("NNGUARD", "nnUNet"))}
    environment |= disc_datasets.environment(tmp_path)
    environment |= {
        "NNGUARD": "warn",
        "nnUNet_extTrainer": str(HERE / "external"),
        "PYTHONPATH": str(HERE.parents[1]),
        "COLUMNS": "100",
    }
    if BY_COMMAND[name]:
        environment["GALLERY_VALIDATES"] = "1"
    command = [installed("nnUNetv2_train"), str(kind.number), kind.configuration, "0", "-tr", trainer]
    run = subprocess.run(
        [*command, "-device", "cpu"], env=environment, capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert run.returncode == 0, run.stderr[-3000:]
    fold = tmp_path / kind.name / f"{trainer}__nnUNetPlans__{kind.configuration}" / "fold_0"
    record = read_checkpoint(fold / "checkpoint_final.pth").record()
    assert record is not None, run.stderr[-3000:]
    assert (record.mirroring.state, record.mirroring.safe_axes) == (entry.state, entry.safe)
    assert {flip.axes for flip in record.mirroring.flips if flip.verdict == "trained"} == set(entry.trained)
    told = [line.split()[0] for line in run.stderr.splitlines() if line.startswith("NNG")]
    assert told == [*entry.finds, *([BY_COMMAND[name]] if BY_COMMAND[name] else [])]
