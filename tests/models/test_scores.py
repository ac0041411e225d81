"""Claims about scores: what nnU-Net logged and wrote, by label and by region, and what it leaves out."""

import json

import pytest

from nnguard.models.folder import open_fold
from nnguard.models.model_check import check_model
from nnguard.models.scores import labels_of, scores_of
from tests.support.checkpoints import DATASET, PLANS, save_model
from tests.support.records import record_of

REGIONS = {**DATASET, "labels": {"background": 0, "whole": [1, 2], "right": 2}, "regions_class_order": [1, 2]}


def curves(*dice):
    return {"mean_fg_dice": [sum(dice) / len(dice)], "dice_per_class_or_region": [[0.1] * len(dice), list(dice)]}


def metrics(dice, true=9.0, wrong=1.0):
    return {"Dice": dice, "TP": true, "FP": wrong, "FN": wrong}


def write_summary(fold_folder, text):
    (fold_folder / "validation").mkdir()
    (fold_folder / "validation" / "summary.json").write_text(text)


@pytest.fixture
def fold(tmp_path):
    """``fold(summary, **options)``: a made model's first fold, validated as ``summary`` says."""

    def make(summary, dataset=DATASET, **options):
        arguments = {"plans": PLANS, "configuration": "2d", "fold": 0, "dataset_json": dataset}
        folder = save_model(tmp_path / "model", record=record_of(), init_args=arguments, **options)
        if summary is not None:
            write_summary(folder / "fold_0", summary if isinstance(summary, str) else json.dumps(summary))
        return open_fold(folder / "fold_0/checkpoint_final.pth")

    return make


def test_labels_are_named(fold):
    summary = {"foreground_mean": metrics(0.7), "mean": {"1": metrics(0.8), "2": metrics(0.6, true=1.0)}}
    scores = scores_of(fold(summary, logging=curves(0.9, 0.95)))
    assert scores.pseudo_labels == {"left": 0.9, "right": 0.95}
    assert scores.validation_labels == {"left": 0.8, "right": 0.6}


def test_regions_are_named_in_the_order_of_dataset_json(fold):
    summary = {"foreground_mean": metrics(0.7), "mean": {"(1, 2)": metrics(0.8), "2": metrics(0.6)}}
    scores = scores_of(fold(summary, dataset=REGIONS, logging=curves(0.9, 0.95)))
    assert scores.pseudo_labels == {"whole": 0.9, "right": 0.95}
    assert scores.validation_labels == {"whole": 0.8, "right": 0.6}


def test_background_ignore_and_numbers_as_text_are_read_as_nnunet_reads_them():
    assert labels_of({"labels": {"b": "2", "background": 0, "a": "1", "ignore": 3}}) == {"1": "a", "2": "b"}


def test_a_label_that_no_image_has_is_left_out_and_the_rest_is_read(fold):
    per_case = [{"metrics": {"1": metrics(0.8), "2": metrics(float("nan"))}}]
    summary = {"foreground_mean": metrics(0.8), "mean": {"1": metrics(0.8), "2": metrics(float("nan"))}}
    text = json.dumps({**summary, "metric_per_case": per_case}, indent=4)
    assert ": NaN" in text
    scores = scores_of(fold(text, logging=curves(0.9, float("nan"))))
    assert (scores.validation, scores.pseudo_labels) == (0.8, {"left": 0.9})
    assert scores.validation_labels == {"left": 0.8}


@pytest.mark.parametrize("summary", ["{", "[]", '{"foreground_mean": 3}', '{"mean": {"1": {"Dice": "x", "TP": -1}}}'])
def test_a_summary_that_is_none_says_nothing(fold, summary):
    scores = scores_of(fold(summary, logging={"mean_fg_dice": "x", "dice_per_class_or_region": [3]}))
    assert (scores.pseudo, scores.validation, scores.validation_labels) == (None, None, {})


def test_classes_without_names_are_counted(fold):
    scores = scores_of(fold(None, logging=curves(0.9, 0.95, 0.99)))
    assert list(scores.pseudo_labels) == ["class 1", "class 2", "class 3"]


def gaps_found(folder):
    return [finding.subject.rpartition("/fold_")[2][0] for finding in check_model(folder) if finding.code == "NNG401"]


def test_each_fold_is_judged_by_its_own_validation(tmp_path):
    folder = save_model(tmp_path / "model", (0, 1, 2), record=record_of(), logging=curves(0.95, 0.95))
    for number, dice in enumerate((0.9, 0.6, 0.9)):
        write_summary(folder / f"fold_{number}", json.dumps({"foreground_mean": {"Dice": dice}, "mean": {}}))
    assert gaps_found(folder) == ["1"]


def test_a_sound_model_has_no_gap_worth_a_word(tmp_path):
    folder = save_model(tmp_path / "model", record=record_of(), logging=curves(0.95, 0.94))
    mean = {"1": {"Dice": 0.93}, "2": {"Dice": 0.91}}
    write_summary(folder / "fold_0", json.dumps({"foreground_mean": {"Dice": 0.92}, "mean": mean}))
    assert gaps_found(folder) == []
