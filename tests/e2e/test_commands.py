"""nnU-Net's own commands under the guard: training, its validation, prediction from a model folder."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from nnguard import read_record
from nnguard.demo import disc_dataset, outcome
from tests.support import disc_datasets
from tests.support.commands import is_left

REPEATABLE = "nnUNetTrainerRepeatable2552"

#: What a training leaves; ``latest_as_it_was`` is the trainer's own copy of checkpoint_latest.pth.
CHECKPOINTS = ("latest_as_it_was.pth", "checkpoint_best.pth", "checkpoint_final.pth")
SCHEMA = Path(__file__).parents[2] / "docs" / "record.schema.json"
TRUTH = ("raw", disc_dataset.DATASET_NAME, "labelsTs")


def dice(predicted):
    return outcome.dice(predicted, disc_datasets.root().joinpath(*TRUTH))


def loaded(path):
    import torch

    return torch.load(path, map_location="cpu", weights_only=False)


# ---------------------------------------------------------------- issue 2552, strict


def test_strict_training_is_refused_before_the_first_epoch_with_the_remedy_and_no_worker_left(site):
    model = site.train(REPEATABLE, "strict", nnUNet_n_proc_DA="2")
    run = model.run
    assert run.status not in (0, 2)
    assert "MirroringError" in run.output
    assert run.count("NNG103") == 1
    assert "inference_allowed_mirroring_axes = None" in run.output
    assert "Epoch 0" not in run.output
    assert not list(model.folder.rglob("*.pth"))
    assert run.seconds < 60
    assert not is_left(run.group)


def test_strict_prediction_is_refused_before_any_worker_starts_and_nothing_is_written(site, issue_2552, tmp_path):
    run = site.predict(issue_2552, tmp_path / "out", mode="strict", workers=1)
    assert run.status not in (0, 2)
    assert "MirroringError" in run.output
    assert run.count("NNG101") == 1
    assert not list((tmp_path / "out").glob("*"))
    assert run.interpreters == 1


def test_the_same_prediction_in_warn_starts_workers_writes_and_is_as_bad_as_unguarded(site, issue_2552, tmp_path):
    warned = site.predict(issue_2552, tmp_path / "warned", mode="warn", workers=1)
    assert (warned.status, warned.count("NNG101")) == (0, 1), warned.output
    assert warned.interpreters > 1
    unguarded = site.predict(issue_2552, tmp_path / "unguarded", mode=None)
    assert (unguarded.status, unguarded.count("NNG101")) == (0, 0), unguarded.output
    assert outcome.same_files(tmp_path / "warned", tmp_path / "unguarded")
    assert dice(tmp_path / "warned") < 0.7


# ---------------------------------------------------------------- issue 2552, warn


def test_warn_trains_and_every_checkpoint_carries_the_record(issue_2552):
    assert issue_2552.run.count("NNG103") == issue_2552.run.count("NNG101") == 1
    for name in CHECKPOINTS:
        record = read_record(issue_2552.fold / name)
        assert record.mirroring.state == "observed"
        assert record.mirroring.safe_axes == ()
        assert {flip.axes: flip.verdict for flip in record.mirroring.flips} == {
            (0,): "unseen",
            (1,): "unseen",
            (0, 1): "unseen",
        }
        assert loaded(issue_2552.fold / name)["nnguard"] == record.to_json()
    assert read_record(issue_2552.fold / "checkpoint_final.pth").segments[-1].steps == 100
    copied = json.loads((issue_2552.fold / "nnguard.json").read_text())
    assert copied["mirroring"]["safe_axes"] == []
    assert set(CHECKPOINTS) - set(copied["weights"]) <= {"latest_as_it_was.pth"}
    schema = jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text()))
    for text in (copied, *(json.loads(read_record(issue_2552.fold / name).to_json()) for name in CHECKPOINTS)):
        schema.validate(text)


def test_an_unguarded_training_says_nothing_carries_nothing_and_validates_badly(unguarded):
    assert "nnguard" not in unguarded.run.output.lower()
    assert "NNG" not in unguarded.run.output
    assert read_record(unguarded.fold / "checkpoint_final.pth") is None
    assert not (unguarded.fold / "nnguard.json").exists()
    assert outcome.validation_dice(unguarded.folder) < 0.7


def test_four_epochs_guarded_and_unguarded_end_in_the_same_bits(issue_2552, unguarded):
    import torch

    guarded, plain = (loaded(model.fold / "checkpoint_final.pth") for model in (issue_2552, unguarded))
    assert set(guarded) == {*plain, "nnguard"}
    assert list(guarded["network_weights"]) == list(plain["network_weights"])
    for name, weights in plain["network_weights"].items():
        assert torch.equal(guarded["network_weights"][name], weights), name
    assert guarded["logging"]["train_losses"] == plain["logging"]["train_losses"]
    assert guarded["logging"]["val_losses"] == plain["logging"]["val_losses"]
    assert len(list((plain_validation := unguarded.fold / "validation").glob("*.png"))) == 4
    assert outcome.same_files(issue_2552.fold / "validation", plain_validation)


# ---------------------------------------------------------------- issue 2552, correct


def test_correct_predicts_the_same_bytes_as_without_tta_and_warns_once(site, issue_2552, tmp_path):
    corrected = site.predict(issue_2552, tmp_path / "corrected", mode="correct", workers=1)
    assert corrected.status == 0, corrected.output
    assert corrected.output.count("ConsistencyWarning") == corrected.count("NNG101") == 1
    plain = site.predict(issue_2552, tmp_path / "plain", "--disable_tta", mode=None)
    assert plain.status == 0, plain.output
    assert outcome.same_files(tmp_path / "corrected", tmp_path / "plain")
    assert len(list((tmp_path / "plain").glob("*.png"))) == disc_dataset.TEST_CASES
    assert dice(tmp_path / "corrected") > 0.85


def test_trained_under_correct_every_checkpoint_forbids_mirroring_and_validation_is_sound(corrected, unguarded):
    for name in CHECKPOINTS:
        assert loaded(corrected.fold / name)["inference_allowed_mirroring_axes"] is None
        axes = read_record(corrected.fold / name).axes
        assert (axes.declared, axes.effective, axes.changed_by) == ([0, 1], None, "correct")
    assert corrected.run.output.count("ConsistencyWarning") == corrected.run.count("NNG103") == 1
    assert corrected.run.count("NNG101") == 0
    assert outcome.validation_dice(corrected.folder) > 0.85
    assert loaded(unguarded.fold / "checkpoint_final.pth")["inference_allowed_mirroring_axes"] == (0, 1)


def test_a_model_trained_under_correct_is_predicted_under_exact_in_silence(site, corrected, tmp_path):
    run = site.predict(corrected, tmp_path / "out", mode="exact")
    assert run.status == 0, run.output
    assert "NNG" not in run.output
    assert dice(tmp_path / "out") > 0.85


# ---------------------------------------------------------------- the default trainer


def test_the_default_trainer_trains_and_validates_under_strict_in_silence(default):
    assert "NNG" not in default.run.output
    assert "ConsistencyWarning" not in default.run.output
    assert "Mean Validation Dice" in default.run.output
    assert read_record(default.fold / "checkpoint_final.pth").mirroring.safe_axes == (0, 1)


def test_the_default_model_predicts_under_strict_in_silence_and_without_tta_with_an_advice(site, default, tmp_path):
    run = site.predict(default, tmp_path / "mirrored", mode="strict")
    assert (run.status, "NNG" in run.output) == (0, False), run.output
    run = site.predict(default, tmp_path / "plain", "--disable_tta", mode="strict")
    assert (run.status, run.count("NNG102"), run.output.count("ConsistencyWarning")) == (0, 1, 1), run.output
    assert len(list((tmp_path / "plain").glob("*.png"))) == disc_dataset.TEST_CASES


# ---------------------------------------------------------------- settings that cannot be read, warnings as errors


@pytest.mark.parametrize("what", ["train", "predict"])
def test_a_misspelt_mode_costs_one_line_and_the_first_trainer_or_predictor_refuses(site, default, tmp_path, what):
    if what == "train":
        run = site.train("nnUNetTrainerBrief", "stict").run
    else:
        run = site.predict(default, tmp_path / "out", mode="stict")
    assert run.status == 1
    first = run.output.splitlines()[0]
    assert first.startswith("nnguard: ")
    assert all(mode in first for mode in ("stict", "off", "warn", "strict", "exact", "correct"))
    assert "ConfigurationError" in run.output.splitlines()[-1]


def test_a_misspelt_mode_is_exit_2_at_nnguards_own_commands(site, default):
    run = site.run("nnguard", "inspect", str(default.folder), mode="stict")
    assert run.status == 2, run.output
    assert "Traceback" not in run.output


def test_a_warning_asked_to_be_an_error_is_one_at_nnunets_command(site, issue_2552, tmp_path):
    options = {"PYTHONWARNINGS": "error::nnguard.ConsistencyWarning"}
    folders = ["-i", str(site.images), "-o", str(tmp_path / "out"), "-m", str(issue_2552.folder), "-f", "0"]
    here = ["-device", "cpu", "-npp", "0", "-nps", "0"]
    run = site.run("nnUNetv2_predict_from_modelfolder", *folders, *here, mode="warn", **options)
    assert run.status == 1, run.output
    assert "ConsistencyWarning" in run.output
    assert not list((tmp_path / "out").glob("*.png"))


# ---------------------------------------------------------------- what nnguard's own commands say of these models


@pytest.mark.parametrize(
    ("model", "status", "codes"), [("issue_2552", 1, ["NNG101"]), ("corrected", 0, []), ("unguarded", 0, ["NNG108"])]
)
def test_check_says_of_a_model_folder_what_its_prediction_would_be_told(site, request, model, status, codes):
    folder = request.getfixturevalue(model).folder
    run = site.run("nnguard", "check", str(folder), "-f", "0", "--format", "json", mode="off")
    assert run.status == status, run.output
    answer = json.loads(run.output)
    assert [finding["code"] for finding in answer["findings"] if finding["code"].startswith("NNG1")] == codes


def test_inspect_reads_a_trained_checkpoint(site, issue_2552):
    path = str(issue_2552.fold / "checkpoint_final.pth")
    run = site.run("nnguard", "inspect", path, "--format", "json", mode="off")
    answer = json.loads(run.output)
    assert answer["trainer"] == REPEATABLE
    assert (answer["declared_axes"], answer["record"]["mirroring"]["safe_axes"]) == ([0, 1], [])
