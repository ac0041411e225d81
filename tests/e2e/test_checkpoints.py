"""The checkpoint commands on models that nnU-Net's own commands trained: audited, stated, repaired, used."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest

from nnguard.checkpoint import read_checkpoint
from nnguard.demo import disc_dataset, outcome
from tests.support.agreement import assert_agrees

NAME = "checkpoint_final.pth"


def trained_with_a_worker(site, trainer):
    """Without nnguard. Only with workers does nnU-Net print the training pipeline into ``debug.json``."""
    model = site.train(trainer, "off", nnUNet_n_proc_DA="1")
    assert model.run.status == 0, model.run.output[-3000:]
    return model


@pytest.fixture(scope="session")
def unguarded_2552(new_site):
    return trained_with_a_worker(new_site(), "nnUNetTrainerRepeatable2552")


@pytest.fixture(scope="session")
def unguarded_default(new_site):
    """nnU-Net's default trainer, two steps long."""
    return trained_with_a_worker(new_site(), "nnUNetTrainerBrief")


@pytest.fixture
def copy_of(tmp_path):
    """A copy that a command may change."""

    def copied(model):
        folder = tmp_path / "results" / disc_dataset.DATASET_NAME / model.folder.name
        shutil.copytree(model.folder, folder)
        return replace(model, folder=folder)

    return copied


def weights_are_equal(one, other):
    import torch

    first, second = (torch.load(path, map_location="cpu", weights_only=False) for path in (one, other))
    mapped = torch.load(one, map_location="cpu", weights_only=False, mmap=True)
    momentum, kept = (loaded["optimizer_state"]["state"] for loaded in (first, second))
    return (
        list(first["network_weights"]) == list(second["network_weights"]) == list(mapped["network_weights"])
        and all(
            torch.equal(first["network_weights"][name], second["network_weights"][name])
            for name in second["network_weights"]
        )
        and all(
            torch.equal(first["network_weights"][name], mapped["network_weights"][name])
            for name in mapped["network_weights"]
        )
        and list(momentum) == list(kept)
        and all(torch.equal(momentum[key]["momentum_buffer"], kept[key]["momentum_buffer"]) for key in kept)
    )


def test_every_value_of_a_real_checkpoint_is_what_pytorch_loads(unguarded):
    paths = list(unguarded.fold.glob("*.pth"))
    assert paths
    for path in paths:
        read = assert_agrees(path)
        assert read.weights_fingerprint
        assert not read.has_record


def test_audit_finds_the_bug_by_debug_json_and_passes_the_default_model_beside_it(
    site, unguarded_2552, unguarded_default, copy_of
):
    results = copy_of(unguarded_2552).folder.parents[1]
    copy_of(unguarded_default)
    run = site.run("nnguard", "audit", str(results), "--format", "json", "--fail-level", "advisory", mode=None)
    assert run.status == 1, run.output
    told = json.loads(run.output)
    assert (len(told["checked"]), told["errors"], told["skipped"]) == (2, [], [])
    bad = [finding for finding in told["findings"] if unguarded_2552.folder.name in finding["subject"]]
    good = [finding for finding in told["findings"] if unguarded_default.folder.name in finding["subject"]]
    found = next(finding for finding in bad if finding["code"] == "NNG101")
    assert (found["severity"], found["evidence"]["grade"]) == ("advisory", "debug.json")
    assert [(finding["code"], finding["severity"]) for finding in good] == [("NNG108", "advisory")]
    table = site.run("nnguard", "audit", str(results), mode=None)
    assert table.status == 0, table.output
    assert table.output.count("debug.json") >= 2


def test_a_zip_that_nnunet_exported_is_checked_as_its_folder_is(site, issue_2552, tmp_path):
    archive = tmp_path / "exported.zip"
    trainer, _plans, configuration = issue_2552.folder.name.split("__")
    options = ["-d", str(disc_dataset.DATASET_ID), "-o", str(archive), "-tr", trainer, "-c", configuration, "-f", "0"]
    results = str(issue_2552.folder.parents[1])
    run = site.run("nnUNetv2_export_model_to_zip", *options, mode=None, nnUNet_results=results)
    assert run.status == 0, run.output
    for what in (["check", str(archive)], ["audit", str(archive)]):
        run = site.run("nnguard", *what, "--format", "json", mode=None)
        assert run.status == 1, run.output
        told = json.loads(run.output)
        assert (len(told["checked"]), told["errors"]) == (1, [])
        assert [finding["code"] for finding in told["findings"] if finding["severity"] == "harmful"] == ["NNG101"]


def test_a_repaired_model_predicts_as_without_tta(site, issue_2552, copy_of, tmp_path):
    model = copy_of(issue_2552)
    run = site.run("nnguard", "repair", str(model.folder), mode=None)
    assert run.status == 0, run.output
    assert "NNG402" in run.output
    assert "--val" in run.output
    read = assert_agrees(model.fold / NAME)
    assert read.declared_axes is None
    assert weights_are_equal(model.fold / NAME, issue_2552.fold / NAME)
    predicted_alike(site, model, tmp_path, "strict")
    written = (model.fold / NAME).read_bytes()
    assert site.run("nnguard", "repair", str(model.folder), mode=None).status == 0
    assert (model.fold / NAME).read_bytes() == written


def test_an_annotated_and_repaired_model_predicts_as_without_tta(site, unguarded, copy_of, tmp_path):
    model = copy_of(unguarded)
    stated = site.run("nnguard", "repair", str(model.fold / NAME), "--state", "none", mode=None)
    assert stated.status == 0, stated.output
    assert assert_agrees(model.fold / NAME).record().mirroring.state == "declared"
    assert site.run("nnguard", "repair", str(model.fold / NAME), mode=None).status == 0
    assert read_checkpoint(model.fold / NAME).declared_axes is None
    assert weights_are_equal(model.fold / NAME, unguarded.fold / NAME)
    predicted_alike(site, model, tmp_path, None)


def predicted_alike(site, model, tmp_path, mode):
    repaired = site.predict(model, tmp_path / "repaired", mode=mode)
    assert repaired.status == 0, repaired.output
    plain = site.predict(model, tmp_path / "plain", "--disable_tta", mode=None)
    assert plain.status == 0, plain.output
    assert outcome.same_files(tmp_path / "repaired", tmp_path / "plain")
    assert len(list((tmp_path / "plain").glob("*.png"))) == disc_dataset.TEST_CASES
