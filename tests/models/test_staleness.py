"""Claims about results that were made with other axes than a checkpoint has now, and what makes them anew."""

import os
import shutil

import pytest

from checkpoints import DEBUG_MIRRORED, make_record, save_model, write_debug
from nnguard.cli import main
from nnguard.models import check_model
from nnguard.models.staleness import results_of
from nnguard.record import AxesHistory

NAME = "checkpoint_final.pth"
DATASET = "Dataset002_Discs"
THEN, CHANGED, SINCE = "2025-01-02T03:04:05Z", "2026-01-01T00:00:00Z", 1.9e9


def model_in(root, configuration="3d_lowres", folds=(0, 1), trainer="nnUNetTrainerX", **options):
    return save_model(root / DATASET / f"{trainer}__nnUNetPlans__{configuration}", folds, **options)


def made(folder, at=0.0, file="summary.json"):
    """A folder of results, as old as that."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / file).write_text("{}")
    os.utime(folder / file, (at, at))
    os.utime(folder, (at, at))
    return folder


def commands(model, fold=0, **options):
    """Without the notes behind them."""
    return [command.partition("  #")[0] for command in results_of(model / f"fold_{fold}" / NAME, **options).commands]


def stale(model):
    return [finding for finding in check_model(model) if finding.code == "NNG402"]


# ---------------------------------------------------------------- which commands


def test_where_nothing_was_made_nothing_is_to_be_made_again(tmp_path):
    assert results_of(model_in(tmp_path) / "fold_0" / NAME) == results_of(tmp_path / "alone.pth")
    assert commands(model_in(tmp_path)) == []


def test_a_validation_alone_is_validated_again(tmp_path):
    model = model_in(tmp_path)
    made(model / "fold_1/validation")
    assert commands(model, 0) == []
    assert commands(model, 1) == [f"nnUNetv2_train {DATASET} 3d_lowres 1 -tr nnUNetTrainerX -p nnUNetPlans --val"]


def test_probabilities_that_an_ensemble_needs_are_saved_again(tmp_path):
    model = model_in(tmp_path)
    made(model / "fold_0/validation", file="case_0.npz")
    assert commands(model)[0].endswith("--val --npz")


def test_every_fold_of_the_next_stage_is_trained_again_by_the_trainer_of_that_name(tmp_path):
    model = model_in(tmp_path)
    made(model / "fold_0/validation")
    made(model / "predicted_next_stage/3d_cascade_fullres")
    model_in(tmp_path, "3d_cascade_fullres", (0, 1))
    model_in(tmp_path, "3d_cascade_fullres", (3,), trainer="nnUNetTrainer")
    again = f"nnUNetv2_train {DATASET} 3d_cascade_fullres"
    assert commands(model)[1:] == [f"{again} {fold} -tr nnUNetTrainerX -p nnUNetPlans" for fold in (0, 1)]


def test_a_next_stage_that_is_not_there_is_named_in_case_it_was_trained(tmp_path):
    model = model_in(tmp_path)
    made(model / "predicted_next_stage/3d_cascade_fullres")
    _, train = results_of(model / "fold_0" / NAME).commands
    assert train.startswith(f"nnUNetv2_train {DATASET} 3d_cascade_fullres 0 -tr nnUNetTrainerX -p nnUNetPlans  # if it")


def test_the_choice_is_made_again_with_its_folds_and_its_postprocessing(tmp_path):
    model = model_in(tmp_path)
    made(model / "crossval_results_folds_0_1", file="postprocessing.pkl")
    (choose,) = results_of(model / "fold_0" / NAME).commands
    assert choose.startswith(
        f"nnUNetv2_find_best_configuration {DATASET} -c 3d_lowres -tr nnUNetTrainerX -p nnUNetPlans -f 0 1  #"
    )
    assert "postprocessing" in choose


def test_an_ensemble_is_chosen_again_from_the_same_models(tmp_path):
    model = model_in(tmp_path)
    other = model_in(tmp_path, "2d")
    for one in (model, other):
        made(one / "crossval_results_folds_0_1")
    made(model.parent / f"ensembles/ensemble___{other.name}___{model.name}___0_1")
    made(model.parent / f"ensembles/ensemble___{other.name}___{other.name}2___0_1")
    assert commands(model) == [
        f"nnUNetv2_find_best_configuration {DATASET} -c 3d_lowres 2d -tr nnUNetTrainerX -p nnUNetPlans -f 0 1"
    ]


def test_models_of_which_nnunet_would_miss_a_combination_are_left_to_the_user(tmp_path):
    model = model_in(tmp_path)
    other = model_in(tmp_path, "2d", trainer="nnUNetTrainer")
    made(model.parent / f"ensembles/ensemble___{other.name}___{model.name}___0_1")
    (choose,) = results_of(model / "fold_0" / NAME).commands
    assert "-c 3d_lowres -tr nnUNetTrainerX -p" in choose
    assert "name the models that it was compared with" in choose


def test_a_cascade_is_made_again_in_the_order_in_which_each_needs_the_last(tmp_path):
    model = model_in(tmp_path)
    after = model_in(tmp_path, "3d_cascade_fullres", (0,))
    made(model / "fold_0/validation")
    made(model / "predicted_next_stage/3d_cascade_fullres")
    for one in (model, after):
        made(one / "crossval_results_folds_0_1_2_3_4")
    names = "-tr nnUNetTrainerX -p nnUNetPlans"
    assert commands(model) == [
        f"nnUNetv2_train {DATASET} 3d_lowres 0 {names} --val",
        f"nnUNetv2_train {DATASET} 3d_cascade_fullres 0 {names}",
        f"nnUNetv2_find_best_configuration {DATASET} -c 3d_lowres 3d_cascade_fullres {names} -f 0 1 2 3 4",
    ]


def test_what_was_made_anew_since_is_left_out(tmp_path):
    model = model_in(tmp_path)
    made(model / "fold_0/validation", at=SINCE)
    made(model / "crossval_results_folds_0_1")
    for changed in (CHANGED, 1.8e9):
        assert [command.split()[0] for command in commands(model, older_than=changed)] == [
            "nnUNetv2_find_best_configuration"
        ]


# ---------------------------------------------------------------- when


def by(who, effective=None):
    return make_record(
        (), (0, 1), axes=AxesHistory(declared=[0, 1], effective=effective, changed_by=who, changed_at=CHANGED)
    )


@pytest.mark.parametrize("who", ["correct", "repair"])
@pytest.mark.parametrize(("at", "found"), [(0.0, 1), (SINCE, 0)])
def test_what_was_validated_before_nnguard_narrowed_the_axes_is_stale_until_it_is_made_anew(tmp_path, who, at, found):
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
    model = model_in(tmp_path, folds=(0,), axes=(0,), record=make_record() if recorded else None)
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
    model = model_in(tmp_path, folds=(0,), axes=None, record=make_record(()))
    os.utime(model / "fold_0" / NAME, (1.8e9, 1.8e9))
    made(model / "fold_0/validation", at)
    assert main(["repair", str(model)]) == 0
    assert len(stale(model)) == found


def test_axes_that_nobody_changed_make_nothing_stale_however_old(tmp_path):
    model = model_in(tmp_path, folds=(0,), record=make_record())
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
    model = model_in(tmp_path, folds=(0,), record=make_record(()))
    made(model / "fold_0/validation")
    shutil.copy(model / "fold_0" / NAME, model / "fold_0/kept")
    assert main(["repair", str(model)]) == 0
    assert len(stale(model)) == 1
    shutil.move(model / "fold_0/kept", model / "fold_0" / NAME)
    assert stale(model) == []


# ---------------------------------------------------------------- a folder of another name


def renamed(root, **options):
    model = save_model(root / DATASET / "our best model", (0,), axes=None, record=by("repair"), **options)
    made(model / "fold_0/validation")
    return model


def test_in_a_renamed_folder_the_checkpoint_tells_the_names(tmp_path):
    (finding,) = stale(renamed(tmp_path, trainer_name="nnUNetTrainerX"))
    assert f"nnUNetv2_train {DATASET} 2d 0 -tr nnUNetTrainerX -p nnUNetPlans --val" in finding.remedy
    assert "has to be called nnUNetTrainerX__nnUNetPlans__2d" in finding.remedy


def test_or_else_the_record_does(tmp_path):
    (finding,) = stale(renamed(tmp_path, trainer_name=None, init_args={}))
    assert f"nnUNetv2_train {DATASET} 2d 0 -tr nnUNetTrainer -p nnUNetPlans --val" in finding.remedy


def test_repair_tells_them_too(tmp_path, capsys):
    model = save_model(tmp_path / DATASET / "ours", (0,), record=make_record(()), trainer_name="nnUNetTrainerX")
    made(model / "fold_0/validation")
    assert main(["repair", str(model)]) == 0
    assert "-tr nnUNetTrainerX -p nnUNetPlans --val" in capsys.readouterr().out


def test_nnunets_own_name_needs_no_note(tmp_path):
    model = model_in(tmp_path, folds=(0,), axes=None, record=by("repair"))
    made(model / "fold_0/validation")
    assert "has to be called" not in stale(model)[0].remedy
