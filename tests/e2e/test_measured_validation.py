"""``NNGUARD_FLIPTEST`` under nnU-Net's own command: the trap's price, measured by the validation that hid it."""

from __future__ import annotations

import shutil

import nnguard
from nnguard.checkpoint import read_checkpoint
from nnguard.demo import discs


def test_validation_tells_what_mirroring_costs_and_changes_nothing(issue_2552, site):
    folder = site.results / discs.DATASET_NAME / issue_2552.folder.name
    shutil.copytree(issue_2552.folder, folder)
    final = folder / "fold_0/checkpoint_final.pth"
    segmentations = {path.name: path.read_bytes() for path in (folder / "fold_0/validation").glob("*.png")}
    before = read_checkpoint(str(final))

    trainer = folder.name.partition("__")[0]
    arguments = [str(discs.DATASET_ID), "2d", "0", "-tr", trainer, "-device", "cpu", "--val"]
    run = site.run("nnUNetv2_train", *arguments, mode="warn", NNGUARD_FLIPTEST="2")
    assert run.status == 0, run.output[-3000:]

    measured = nnguard.read_record(final).measured_validation()
    assert measured.cases == 2
    assert measured.plain.dice > 0.85
    assert measured.tta.dice < 0.7
    assert read_checkpoint(str(final)).weights_fingerprint == before.weights_fingerprint
    assert {path.name: path.read_bytes() for path in (folder / "fold_0/validation").glob("*.png")} == segmentations
    assert "as validated: mirroring costs 0." in run.output
    assert run.count("NNG102") == 0
    (gap,) = [finding for finding in nnguard.check_model(folder) if finding.code == "NNG401"]
    assert "measured on 2 cases of this validation" in gap.seen
