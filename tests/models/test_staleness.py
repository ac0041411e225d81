"""Claims about results that were made with other axes than a checkpoint has now, and what to make anew."""

import json
import os
import shutil

import pytest

from nnguard.cli import main
from nnguard.models import check_model
from nnguard.models.staleness import Results, results_of
from nnguard.record import AxesHistory
from tests.support.checkpoints import DEBUG_MIRRORED, save_model, write_debug
from tests.support.records import record_of

NAME = "checkpoint_final.pth"
DATASET = "Dataset002_Discs"
CHANGED, SINCE = "2026-01-01T00:00:00Z", 1.9e9


def model_in(root, configuration="3d_lowres", folds=(0, 1), trainer="nnUNetTrainerX", **options):
    return save_model(root / DATASET / f"{trainer}__nnUNetPlans__{configuration}", folds, **options)


def made(folder, at=0.0, text="{}"):
    """A folder of results, as old as that."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "summary.json").write_text(text)
    os.utime(folder / "summary.json", (at, at))
    os.utime(folder, (at, at))
    return folder


def results(model, fold=0):
    return results_of(model / f"fold_{fold}" / NAME)


def stale(model):
    return [finding for finding in check_model(model) if finding.code == "NNG402"]


# ---------------------------------------------------------------- what to make anew


def test_where_nothing_was_validated_nothing_is_to_be_made_anew(tmp_path):
    model = model_in(tmp_path)
    assert results(model) == results_of(tmp_path / "alone.pth") == Results()
    made(model / "crossval_results_folds_0_1")
    assert results(model) == Results()


def test_a_validation_alone_is_validated_anew(tmp_path):
    model = model_in(tmp_path)
    made(model / "fold_1/validation")
    assert results(model, 0) == Results()
    assert results(model, 1).again == "Make them anew: validate fold_1 (nnUNetv2_train ... --val)"
    assert results(model, 1).found == (f"{model.name}/fold_1/validation",)


def test_the_choice_and_the_ensembles_with_this_model_are_made_anew_after_the_validation(tmp_path):
    model = model_in(tmp_path)
    other = model_in(tmp_path, "2d")
    made(model / "fold_0/validation")
    made(model.parent / f"ensembles/ensemble___{other.name}___{other.name}2___0_1")
    assert "nnUNetv2_find_best_configuration" not in results(model).again
    made(model.parent / f"ensembles/ensemble___{other.name}___{model.name}___0_1")
    assert results(model).again.endswith(
        "then choose the best configuration and postprocessing (nnUNetv2_find_best_configuration)"
    )
    assert len(results(model).found) == 2


def test_the_next_stage_of_a_cascade_is_trained_anew_before_the_choice(tmp_path):
    model = model_in(tmp_path)
    made(model / "fold_0/validation")
    made(model / "predicted_next_stage/3d_cascade_fullres")
    made(model / "crossval_results_folds_0_1_2_3_4")
    assert "\n    then train the next stage (3d_cascade_fullres)\n    then choose" in results(model).again


# ---------------------------------------------------------------- when


def by(who, effective=None, validated=None):
    history = AxesHistory(declared=[0, 1], effective=effective, changed_by=who, changed_at=CHANGED, validated=validated)
    return record_of(mirrored=(), declared=(0, 1), axes=history)


def test_what_was_validated_before_a_repair_is_stale_until_it_is_made_anew_whatever_its_files_times_say(tmp_path):
    model = model_in(tmp_path, folds=(0,), record=record_of(mirrored=()))
    made(model / "fold_0/validation", SINCE)
    assert main(["repair", str(model)]) == 0
    (finding,) = stale(model)
    assert "Validation used mirroring axes (0, 1); the checkpoint now has None" in finding.message
    made(model / "fold_0/validation", 0.0, json.dumps({"foreground_mean": {"Dice": 0.9}}))
    assert stale(model) == []


@pytest.mark.parametrize("who", ["correct", "repair"])
@pytest.mark.parametrize(("at", "found"), [(0.0, 1), (SINCE, 0)])
def test_without_a_hash_times_tell_what_was_validated_before_the_axes_were_narrowed(tmp_path, who, at, found):
    model = model_in(tmp_path, folds=(0,), axes=None, record=by(who))
    made(model / "fold_0/validation", at)
    findings = stale(model)
    assert len(findings) == found
    assert all("Validation used mirroring axes (0, 1); the checkpoint now has None" in one.message for one in findings)


@pytest.mark.parametrize(("at", "found"), [(0.0, 1), (SINCE, 0)])
@pytest.mark.parametrize("recorded", [True, False])
def test_what_was_validated_before_somebody_edited_the_file_is_stale_until_it_is_made_anew(
    tmp_path, recorded, at, found
):
    model = model_in(tmp_path, folds=(0,), axes=(0,), record=record_of() if recorded else None)
    if not recorded:
        write_debug(model / "fold_0", DEBUG_MIRRORED, (0, 1))
    os.utime(model / "fold_0" / NAME, (1.8e9, 1.8e9))
    made(model / "fold_0/validation", at)
    findings = stale(model)
    assert len(findings) == found
    assert all("Validation used mirroring axes (0, 1); the checkpoint now has (0,)" in one.message for one in findings)


@pytest.mark.parametrize(("at", "found"), [(0.0, 1), (SINCE, 0)])
def test_a_repair_that_finds_the_axes_in_order_makes_nothing_stale_that_was_not(tmp_path, at, found):
    """Somebody had set them by hand; the repair brings the record up to date."""
    model = model_in(tmp_path, folds=(0,), axes=None, record=record_of(mirrored=()))
    os.utime(model / "fold_0" / NAME, (1.8e9, 1.8e9))
    made(model / "fold_0/validation", at)
    assert main(["repair", str(model)]) == 0
    assert len(stale(model)) == found


def test_axes_that_nobody_changed_make_nothing_stale_however_old(tmp_path):
    model = model_in(tmp_path, folds=(0,), record=record_of())
    made(model / "fold_0/validation")
    assert stale(model) == []
    unrecorded = model_in(tmp_path, "2d", folds=(0,))
    made(unrecorded / "fold_0/validation")
    assert stale(unrecorded) == []
    write_debug(unrecorded / "fold_0", DEBUG_MIRRORED, (0, 1))
    assert stale(unrecorded) == []


def test_a_statement_changes_no_axes(tmp_path):
    model = model_in(tmp_path, folds=(0,), record=by("annotate", [0, 1]))
    made(model / "fold_0/validation")
    assert stale(model) == []


def test_a_backup_put_back_is_as_before_the_repair(tmp_path):
    model = model_in(tmp_path, folds=(0,), record=record_of(mirrored=()))
    made(model / "fold_0/validation")
    shutil.copy(model / "fold_0" / NAME, model / "fold_0/kept")
    assert main(["repair", str(model)]) == 0
    assert len(stale(model)) == 1
    shutil.move(model / "fold_0/kept", model / "fold_0" / NAME)
    assert stale(model) == []
