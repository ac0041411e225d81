"""Claims about opening a model folder as nnU-Net's predictor would."""

import re

import pytest

from nnguard.errors import CheckpointError
from nnguard.models import open_model
from nnguard.models.folder import detect_folds, open_fold
from tests.support.checkpoints import DATASET, PLANS, save_checkpoint, save_model
from tests.support.records import record_of


def test_a_model_has_its_plans_dataset_and_folds(tmp_path):
    model = open_model(save_model(tmp_path, (0, 1), record=record_of()))
    assert model.plans == PLANS
    assert model.dataset == DATASET
    assert [fold.fold for fold in model.folds] == [0, 1]
    assert [fold.record for fold in model.folds] == [record_of()] * 2
    assert model.errors == []


def test_fold_all_is_not_found_by_itself(tmp_path):
    assert detect_folds(save_model(tmp_path, (0, "all"))) == [0]


def test_fold_all_is_opened_when_asked_for(tmp_path):
    model = open_model(save_model(tmp_path, (0, "all")), folds=["all"])
    assert [fold.fold for fold in model.folds] == ["all"]


def test_a_model_with_fold_all_only_says_how_to_ask_for_it(tmp_path):
    with pytest.raises(CheckpointError, match="-f all"):
        open_model(save_model(tmp_path, ("all",)))


def test_folds_come_in_nnunets_order_which_is_that_of_text(tmp_path):
    assert detect_folds(save_model(tmp_path, (2, 10, 1))) == [1, 10, 2]


def test_a_fold_without_the_checkpoint_is_not_found(tmp_path):
    save_model(tmp_path, (0,))
    save_checkpoint(tmp_path / "fold_1/checkpoint_best.pth")
    assert detect_folds(tmp_path) == [0]


def test_another_checkpoint_is_named_where_the_usual_one_is_missing(tmp_path):
    with pytest.raises(CheckpointError, match=r"checkpoint_best\.pth: choose with -chk"):
        open_model(save_model(tmp_path, checkpoint_name="checkpoint_best.pth"))


def test_a_fold_folder_is_told_from_its_model(tmp_path):
    model = save_model(tmp_path / "model", (0,))
    with pytest.raises(CheckpointError, match=f"its model folder is {re.escape(str(model))}$"):
        open_model(model / "fold_0")


def test_a_missing_folder_is_an_error(tmp_path):
    with pytest.raises(CheckpointError, match="does not exist"):
        open_model(tmp_path / "nowhere")


def test_a_file_is_no_model_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="is not a folder"):
        open_model(tmp_path / "file")


def test_an_unreadable_fold_does_not_hide_the_others(tmp_path):
    save_model(tmp_path, (0, 1))
    (tmp_path / "fold_1/checkpoint_final.pth").write_bytes(b"")
    model = open_model(tmp_path)
    assert model.folds[0].checkpoint is not None
    assert model.folds[1].checkpoint is None
    assert len(model.errors) == 1
    assert "fold_1" in model.errors[0]


def test_a_broken_record_is_not_no_record(tmp_path):
    fold = open_fold(save_checkpoint(tmp_path / "fold_0/checkpoint_final.pth", record="{"))
    assert fold.record is None
    assert "not the JSON text" in fold.record_error
    assert open_fold(save_checkpoint(tmp_path / "fold_1/checkpoint_final.pth")).record_error is None


def test_missing_and_broken_plans_are_errors(tmp_path):
    save_model(tmp_path)
    (tmp_path / "plans.json").unlink()
    (tmp_path / "dataset.json").write_text("{")
    errors = open_model(tmp_path).errors
    assert len(errors) == 2
    assert "plans.json: does not exist" in errors[0]
    assert "dataset.json: holds no JSON object" in errors[1]


def test_a_fold_that_is_no_number_is_an_error(tmp_path):
    with pytest.raises(CheckpointError, match="is no fold"):
        open_model(save_model(tmp_path), folds=["first"])


def test_the_fold_of_a_lone_checkpoint_is_read_from_its_folder(tmp_path):
    assert open_fold(save_checkpoint(tmp_path / "fold_3/checkpoint_best.pth")).fold == 3
    assert open_fold(save_checkpoint(tmp_path / "fold_all/checkpoint_best.pth")).fold == "all"
