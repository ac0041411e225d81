"""Issue 2552 without any record: a fliptest of the trained model is evidence enough to mend it."""

from __future__ import annotations

import json
import shutil

import pytest

from nnguard.demo import disc_dataset, outcome
from nnguard.models.folder import FLIPTEST_FILE
from tests.support import disc_datasets


def raw(name):
    return disc_datasets.root() / "raw" / disc_dataset.DATASET_NAME / name


@pytest.fixture(scope="module")
def model(unguarded, new_site):
    """The model that was trained without nnguard, in a results folder of its own, and that site."""
    site = new_site()
    folder = site.results / disc_dataset.DATASET_NAME / unguarded.folder.name
    shutil.copytree(unguarded.folder, folder)
    return site, folder


def test_what_was_measured_mends_a_model_that_nobody_observed(model, tmp_path):
    site, folder = model
    images, labels = str(raw("imagesTs")), str(raw("labelsTs"))
    tested = site.run(
        "nnguard", "fliptest", str(folder), "-i", images, "-l", labels, "-device", "cpu", "-o", str(folder), mode=None
    )
    assert tested.status == 1, tested.output
    document = json.loads((folder / FLIPTEST_FILE).read_text())
    flips = {tuple(flip["axes"]): flip for flip in document["flips"]}
    assert flips[(0,)]["verdict"] == "safe"
    assert flips[(0,)]["agreement"] > 0.9
    assert flips[(1,)]["verdict"] == flips[(0, 1)]["verdict"] == "harmful"
    assert flips[(1,)]["agreement"] < 0.15
    assert -document["tta"]["gain"] > 0.2

    audited = site.run("nnguard", "audit", str(site.results), "--format", "json", mode=None)
    assert audited.status == 1
    assert "NNG116" in {finding["code"] for finding in json.loads(audited.output)["findings"]}

    options = ["-i", images, "-o", str(tmp_path / "refused"), "-f", "0", "-device", "cpu"]
    refused = site.run("nnUNetv2_predict_from_modelfolder", "-m", str(folder), *options, mode="strict")
    assert (refused.count("NNG116"), refused.count("NNG108"), refused.interpreters) == (1, 0, 1), refused.output
    assert "MirroringError" in refused.output
    assert not list((tmp_path / "refused").glob("*"))

    def predicted(name):
        target = tmp_path / name
        command = ["-m", str(folder), "-i", images, "-o", str(target), "-f", "0", "-device", "cpu"]
        done = site.run("nnUNetv2_predict_from_modelfolder", *command, "-npp", "1", "-nps", "1", mode=None)
        assert done.status == 0, done.output[-2000:]
        return outcome.dice(target, raw("labelsTs"))

    assert predicted("before") == pytest.approx(document["tta"]["dice"], abs=0.02)
    mended = site.run("nnguard", "repair", str(folder), "--from-fliptest", str(folder / FLIPTEST_FILE), mode=None)
    assert mended.status == 0, mended.output
    assert "mirroring axes (0, 1) -> (0,)" in mended.output
    after = predicted("after")
    assert after > 0.85
    assert after == pytest.approx(document["plain"]["dice"], abs=0.03)
