"""``nnguard demo``, as ``scripts/demo`` starts it: its table holds what was measured, and tells of the bug."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from nnguard.demo import disc_dataset, outcome
from nnguard.demo.workspace import TRAINER, installed

# Needs none of the shared models, so that another process may run it.
pytestmark = pytest.mark.xdist_group("demo")


@pytest.fixture(scope="session")
def demo(tmp_path_factory):
    """The demo's answer and the folder that it kept."""
    kept = tmp_path_factory.mktemp("demo") / "kept"
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("NNGUARD", "nnUNet"))}
    command = [installed("nnguard"), "demo", "--keep", str(kept), "--format", "json"]
    ran = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout), kept


def test_the_table_is_what_anybody_can_measure_again(demo):
    answer, kept = demo
    truth = kept / "raw" / disc_dataset.DATASET_NAME / "labelsTs"
    model = kept / "results" / disc_dataset.DATASET_NAME / f"{TRAINER}__nnUNetPlans__2d"
    again = {
        "nnU-Net's own validation": outcome.validation_dice(model),
        "test images, as nnU-Net predicts them": outcome.dice(kept / "predicted_warn", truth),
        "test images, corrected": outcome.dice(kept / "predicted_correct", truth),
        "test images, --disable_tta": outcome.dice(kept / "predicted_warn_disable_tta", truth),
    }
    told = {row["what"]: row for row in answer["rows"]}
    for what, score in again.items():
        assert told[what]["dice"] == pytest.approx(score)
        assert told[what]["measured"].startswith(f"{score:.3f}")
    assert outcome.same_files(kept / "predicted_correct", kept / "predicted_warn_disable_tta")


def test_the_story_is_the_issues(demo):
    answer, kept = demo
    told = {row["what"]: row for row in answer["rows"]}
    assert told["pseudo Dice in training"]["dice"] > 0.85
    assert told["nnU-Net's own validation"]["dice"] < 0.7
    assert told["test images, as nnU-Net predicts them"]["dice"] < 0.7
    assert told["test images, strict"]["measured"] == "refused, 0 files written"
    assert told["test images, corrected"]["dice"] > 0.85
    assert "byte for byte" in told["test images, --disable_tta"]["measured"]
    logs = "\n".join(path.read_text() for path in sorted((kept / "logs").iterdir()))
    assert [code for code in ("NNG103", "NNG101", "MirroringError") if code not in logs] == []
