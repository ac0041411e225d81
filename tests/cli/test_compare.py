"""Claims about ``nnguard compare``: what it names, what it chooses, what it admits not to know."""

import csv
import json
from io import StringIO

import pytest

from tests.support.checkpoints import DATASET, DEBUG_MIRRORED, DEBUG_PLAIN, PLANS, save_model
from tests.support.records import record_of

TREE = [
    {
        "where": "loader.transforms",
        "class": "ComposeTransforms",
        "children": [
            {"class": "SpatialTransform", "parameters": {"patch_size": [64, 64], "rotation": [-3.14, 3.14]}},
            {"class": "RandomTransform", "probability": 0.1, "children": [{"class": "GaussianNoiseTransform"}]},
            {"class": "MirrorTransform", "parameters": {"allowed_axes": [0, 1]}},
        ],
    }
]
BARE_TREE = [{"where": "loader.transforms", "class": "ComposeTransforms", "children": [{"class": "MirrorTransform"}]}]


def logged(pseudo=(0.9, 0.94), lr=0.01, started=1000.0):
    mean = sum(pseudo) / len(pseudo)
    return {
        "mean_fg_dice": [mean],
        "ema_fg_dice": [mean],
        "dice_per_class_or_region": [list(pseudo)],
        "lrs": [lr],
        "epoch_start_timestamps": [started],
    }


def model(root, name="nnUNetTrainer", folds=(0,), validation=(0.88, 0.9), debug=None, **options):
    """A made model with scores; the trainer's class is its name."""
    folder = root / f"{name}__nnUNetPlans__2d"
    save_model(folder, folds, **{"trainer_name": name, "logging": logged(), "record": record_of(), **options})
    for fold in folds:
        if validation is not None:
            write_summary(folder / f"fold_{fold}", *validation)
        if debug is not None:
            (folder / f"fold_{fold}" / "debug.json").write_text(json.dumps(debug))
    return folder


def write_summary(fold_folder, *dice):
    (fold_folder / "validation").mkdir(parents=True)
    mean = {str(label): {"Dice": one, "TP": 9.0, "FP": 1.0, "FN": 1.0} for label, one in enumerate(dice, 1)}
    summary = {"foreground_mean": {"Dice": sum(dice) / len(dice)}, "mean": mean, "metric_per_case": []}
    (fold_folder / "validation" / "summary.json").write_text(json.dumps(summary))


def attributes(**changes):
    """``debug.json`` as nnU-Net prints a trainer, shortened."""
    optimizer = "SGD (\nParameter Group 0\n    foreach: None\n    lr: 0.01\n    momentum: 0.99\n    nesterov: True\n)"
    told = {
        "initial_lr": "0.01",
        "num_epochs": "1000",
        "oversample_foreground_percent": "0.33",
        "optimizer": optimizer,
        "lr_scheduler": "<nnunetv2.training.lr_scheduler.polylr.PolyLRScheduler object at 0x7f01>",
        "output_folder": "/somewhere",
        "hostname": "node1",
        "fold": "0",
    }
    return {**told, **changes}


def rows(done):
    assert done.status == 0, done.err
    return {(row["trainer"], row["fold"]): row for row in json.loads(done.out)["runs"]}


def settings(row):
    return [change["setting"] for change in row["differences"]]


@pytest.fixture
def compare(nnguard, tmp_path):
    return lambda *more: nnguard("compare", tmp_path, *more)


def test_a_run_that_differs_in_nothing_differs_by_nothing(compare, tmp_path):
    model(tmp_path, debug=attributes(), record=record_of(transforms=TREE))
    model(tmp_path, "nnUNetTrainerSame", debug=attributes(), record=record_of(transforms=TREE))
    row = rows(compare("--format", "json"))["nnUNetTrainerSame", 0]
    assert (row["differences"], row["unknown"]) == ([], [])
    assert "nothing" in compare().out


@pytest.mark.parametrize(
    ("changed", "setting"),
    [
        ({"num_epochs": "250"}, "num_epochs"),
        ({"oversample_foreground_percent": "0.8"}, "oversample_foreground_percent"),
        ({"own_switch": "True"}, "own_switch"),
        ({"lr_scheduler": "<own.Cosine object at 0x7f02>"}, "lr_scheduler"),
        ({"optimizer": attributes()["optimizer"].replace("0.99", "0.9")}, "optimizer.momentum"),
    ],
)
def test_an_attribute_of_the_trainer_is_named(compare, tmp_path, changed, setting):
    model(tmp_path, debug=attributes())
    model(tmp_path, "nnUNetTrainerOther", debug=attributes(**changed))
    assert settings(rows(compare("--format", "json"))["nnUNetTrainerOther", 0]) == [setting]


def test_places_progress_and_machine_are_no_settings(compare, tmp_path):
    model(tmp_path, debug=attributes())
    elsewhere = attributes(output_folder="/else", hostname="node2", log_file="/x", fold="3", current_epoch="7")
    model(tmp_path, "nnUNetTrainerOther", debug=elsewhere)
    assert settings(rows(compare("--format", "json"))["nnUNetTrainerOther", 0]) == []


def test_the_learning_rate_is_the_one_that_ran(compare, tmp_path):
    model(tmp_path, debug=attributes())
    slower = {"debug": attributes(initial_lr="0.01"), "logging": logged(lr=0.001)}
    model(tmp_path, "nnUNetTrainerSlow", **slower)
    (change,) = rows(compare("--format", "json"))["nnUNetTrainerSlow", 0]["differences"]
    assert change == {"setting": "initial_lr", "baseline": 0.01, "run": 0.001}


def test_mirroring_is_one_setting_however_many_places_show_it(compare, tmp_path):
    model(tmp_path, record=record_of(transforms=TREE))
    bare = [{**TREE[0], "children": TREE[0]["children"][:2]}]
    model(
        tmp_path, "nnUNetTrainerNoMirroring", axes=None, record=record_of(mirrored=(), declared=None, transforms=bare)
    )
    (change,) = rows(compare("--format", "json"))["nnUNetTrainerNoMirroring", 0]["differences"]
    assert change == {"setting": "mirrored in training", "baseline": [0, 1], "run": []}


def test_the_trap_of_issue_2552_is_mirroring_in_training_alone(compare, tmp_path):
    model(tmp_path)
    model(tmp_path, "nnUNetTrainerTrapped", record=record_of(mirrored=()))
    assert settings(rows(compare("--format", "json"))["nnUNetTrainerTrapped", 0]) == ["mirrored in training"]


def test_a_repaired_model_mirrors_less_at_test_time(compare, tmp_path):
    model(tmp_path, "nnUNetTrainerTrapped", record=record_of(mirrored=()))
    model(tmp_path, "nnUNetTrainerRepaired", axes=None, record=record_of(mirrored=()), logging=logged(started=2000.0))
    (change,) = rows(compare("--format", "json"))["nnUNetTrainerRepaired", 0]["differences"]
    assert change == {"setting": "mirrored at test time", "baseline": [0, 1], "run": []}


@pytest.mark.parametrize(
    ("place", "name", "value", "setting"),
    [
        (0, "parameters", {"patch_size": [64, 64], "rotation": [-0.05, 0.05]}, "SpatialTransform.rotation"),
        (1, "probability", 0.5, "GaussianNoiseTransform.probability"),
    ],
)
def test_a_transform_is_named_with_what_changed_in_it(compare, tmp_path, place, name, value, setting):
    children = [dict(child) for child in TREE[0]["children"]]
    children[place][name] = value
    model(tmp_path, record=record_of(transforms=TREE))
    model(tmp_path, "nnUNetTrainerOther", record=record_of(transforms=[{**TREE[0], "children": children}]))
    assert settings(rows(compare("--format", "json"))["nnUNetTrainerOther", 0]) == [setting]


def test_a_transform_that_was_taken_out_is_named(compare, tmp_path):
    fewer = [{**TREE[0], "children": [TREE[0]["children"][0], TREE[0]["children"][2]]}]
    model(tmp_path, record=record_of(transforms=TREE))
    model(tmp_path, "nnUNetTrainerOther", record=record_of(transforms=fewer))
    (change,) = rows(compare("--format", "json"))["nnUNetTrainerOther", 0]["differences"]
    assert change["setting"] == "GaussianNoiseTransform"
    assert "run" not in change
    assert "GaussianNoiseTransform: taken out" in compare().out


def with_patch(size):
    """Plans and record of a training with another patch, which its SpatialTransform repeats."""
    plans = json.loads(json.dumps(PLANS))
    plans["configurations"]["2d"]["patch_size"] = size
    spatial = {"class": "SpatialTransform", "parameters": {"patch_size": size, "rotation": [-3.14, 3.14]}}
    tree = [{**TREE[0], "children": [spatial, *TREE[0]["children"][1:]]}]
    init_args = {"plans": plans, "configuration": "2d", "fold": 0, "dataset_json": DATASET}
    return {"record": record_of(transforms=tree), "init_args": init_args}


def test_the_patch_size_is_named_once(compare, tmp_path):
    model(tmp_path, **with_patch([64, 64]))
    model(tmp_path, "nnUNetTrainerOther", **with_patch([32, 32]))
    assert settings(rows(compare("--format", "json"))["nnUNetTrainerOther", 0]) == ["patch_size"]


def test_pipelines_recorded_without_parameters_are_not_known_and_not_called_equal(compare, tmp_path):
    model(tmp_path, record=record_of(transforms=BARE_TREE))
    model(tmp_path, "nnUNetTrainerOther", record=record_of(transforms=BARE_TREE))
    row = rows(compare("--format", "json"))["nnUNetTrainerOther", 0]
    assert settings(row) == []
    assert "augmentation" in row["unknown"]


def test_runs_without_a_record_are_compared_by_debug_json(compare, tmp_path):
    printed = {"dataloader_train.generator.transforms": DEBUG_MIRRORED}
    unmirrored = {"dataloader_train.generator.transforms": DEBUG_PLAIN.replace("p_rotation = 0.2", "p_rotation = 0.7")}
    model(tmp_path, record=None, debug=attributes(**printed))
    model(tmp_path, "nnUNetTrainerOther", record=None, debug=attributes(**unmirrored))
    row = rows(compare("--format", "json"))["nnUNetTrainerOther", 0]
    assert row["evidence"] == "debug.json"
    assert settings(row) == ["mirrored in training", "SpatialTransform.p_rotation"]
    assert row["unknown"] == []


def test_what_nothing_tells_is_not_known_and_never_nothing(compare, tmp_path):
    model(tmp_path, debug=attributes(), record=record_of(transforms=TREE))
    model(tmp_path, "nnUNetTrainerOther", record=None)
    row = rows(compare("--format", "json"))["nnUNetTrainerOther", 0]
    assert row["evidence"] == "checkpoint"
    assert row["unknown"] == ["the trainer's attributes", "mirrored in training", "augmentation"]
    assert "not known: the trainer's attributes" in compare().out


def test_scores_are_those_that_nnunet_logged_and_wrote(compare, tmp_path):
    model(tmp_path, logging=logged((0.5, 0.7)), validation=(0.4, 0.2))
    row = rows(compare("--format", "json"))["nnUNetTrainer", 0]
    assert row["pseudo_dice"] == {"mean": pytest.approx(0.6), "labels": {"left": 0.5, "right": 0.7}}
    assert row["validation_dice"] == {"mean": pytest.approx(0.3), "labels": {"left": 0.4, "right": 0.2}}
    assert (row["gap"], row["epochs"]) == (pytest.approx(0.3), 4)


def test_a_run_that_was_not_validated_has_no_figure(compare, tmp_path):
    model(tmp_path, validation=None)
    row = rows(compare("--format", "json"))["nnUNetTrainer", 0]
    assert (row["validation_dice"], row["gap"]) == ({"mean": None, "labels": {}}, None)


def test_several_folds_have_a_mean_and_one_has_none(compare, tmp_path):
    several = model(tmp_path, "nnUNetTrainerFive", folds=(0, 1), validation=None)
    for fold, dice in ((0, 0.6), (1, 0.8)):
        write_summary(several / f"fold_{fold}", dice, dice)
    model(tmp_path)
    found = rows(compare("--format", "json"))
    assert set(found) == {
        ("nnUNetTrainer", 0),
        ("nnUNetTrainerFive", "mean"),
        *(("nnUNetTrainerFive", n) for n in (0, 1)),
    }
    assert found["nnUNetTrainerFive", "mean"]["validation_dice"]["mean"] == pytest.approx(0.7)


def test_a_mean_over_folds_of_which_one_is_not_validated_is_not_known(compare, tmp_path):
    folder = model(tmp_path, folds=(0, 1), validation=None)
    write_summary(folder / "fold_0", 0.9, 0.9)
    assert rows(compare("--format", "json"))["nnUNetTrainer", "mean"]["validation_dice"]["mean"] is None


def baseline_of(done):
    (baseline,) = json.loads(done.out)["baselines"]
    return baseline["model"].rpartition("/")[2].partition("__")[0], baseline["why"]


def test_the_baseline_is_nnunets_own_trainer_and_says_so(compare, tmp_path):
    model(tmp_path, "nnUNetTrainerA", logging=logged(started=1.0))
    model(tmp_path, logging=logged(started=9.0))
    assert baseline_of(compare("--format", "json")) == ("nnUNetTrainer", "trained by nnUNetTrainer")


def test_without_one_it_is_the_oldest(compare, tmp_path):
    model(tmp_path, "nnUNetTrainerA", logging=logged(started=9.0))
    model(tmp_path, "nnUNetTrainerB", logging=logged(started=1.0))
    trainer, why = baseline_of(compare("--format", "json"))
    assert trainer == "nnUNetTrainerB"
    assert why.startswith("the oldest")


def test_a_baseline_that_is_asked_for_wins_and_need_not_lie_there(nnguard, tmp_path):
    model(tmp_path / "here")
    asked = model(tmp_path / "elsewhere", "nnUNetTrainerA", record=record_of(mirrored=()))
    done = nnguard("compare", tmp_path / "here", "--baseline", asked, "--format", "json")
    assert baseline_of(done)[0] == "nnUNetTrainerA"
    assert settings(rows(done)["nnUNetTrainer", 0]) == ["mirrored in training"]


def test_each_data_set_has_a_baseline_of_its_own(compare, tmp_path):
    model(tmp_path / "a")
    other = json.loads(json.dumps(PLANS))
    other["dataset_name"] = "Dataset003_Other"
    arguments = {"plans": other, "configuration": "2d", "fold": 0, "dataset_json": DATASET}
    model(tmp_path / "b", "nnUNetTrainerA", init_args=arguments)
    document = json.loads(compare("--format", "json").out)
    assert [one["dataset"] for one in document["baselines"]] == ["Dataset002_Discs", "Dataset003_Other"]
    assert all(row["is_baseline"] for row in document["runs"])


def test_rows_are_sorted_as_asked_and_what_has_no_figure_comes_last(compare, tmp_path):
    model(tmp_path, validation=(0.5, 0.5))
    model(tmp_path, "nnUNetTrainerB", validation=(0.9, 0.9), current_epoch=2)
    model(tmp_path, "nnUNetTrainerA", validation=None, current_epoch=9)

    def order(*more):
        return [
            row["trainer"][len("nnUNetTrainer") :] for row in json.loads(compare("--format", "json", *more).out)["runs"]
        ]

    assert order() == ["B", "", "A"]
    assert order("--sort", "epochs") == ["A", "", "B"]
    assert order("--sort", "gap") == ["", "B", "A"]


def test_what_cannot_be_read_is_listed_beside_the_rest(compare, tmp_path):
    model(tmp_path)
    broken = model(tmp_path, "nnUNetTrainerBroken")
    (broken / "fold_0/checkpoint_final.pth").write_bytes(b"")
    done = compare()
    assert done.status == 0
    assert done.out.count("nnUNetTrainerBroken") == 1
    assert "not read: 1" in done.out
    assert "nnUNetTrainerBroken" in done.err
    assert "nnUNetTrainerBroken" in json.loads(compare("--format", "json").out)["errors"][0]


def test_where_nothing_can_be_read_the_status_is_2(compare, tmp_path):
    broken = model(tmp_path)
    (broken / "fold_0/checkpoint_final.pth").write_bytes(b"")
    done = compare()
    assert done.status == 2
    assert "nothing could be read" in done.err


@pytest.mark.parametrize("what", ["missing", "empty", "fold"])
def test_no_model_is_one_clear_line(nnguard, tmp_path, what):
    (tmp_path / "empty").mkdir()
    fold = model(tmp_path / "there") / "fold_0"
    done = nnguard("compare", {"missing": tmp_path / "missing", "empty": tmp_path / "empty", "fold": fold}[what])
    assert (done.status, done.out, len(done.err.splitlines())) == (2, "", 1)


def test_a_baseline_that_cannot_be_read_is_one_clear_line(compare, tmp_path):
    model(tmp_path)
    done = compare("--baseline", tmp_path / "missing")
    assert (done.status, done.out, len(done.err.splitlines())) == (2, "", 1)


def test_a_broken_record_is_told_and_the_rest_compared(compare, tmp_path):
    model(tmp_path)
    model(tmp_path, "nnUNetTrainerBroken", record="{")
    done = compare("--format", "json")
    assert "compared without its record" in done.err
    assert ("nnUNetTrainerBroken", 0) in rows(done)


def test_csv_has_a_line_for_each_run_and_each_error_and_no_formula(compare, tmp_path):
    labels = {"background": 0, "=cmd": 1, "right": 2}
    arguments = {"plans": PLANS, "configuration": "2d", "fold": 0, "dataset_json": {**DATASET, "labels": labels}}
    model(tmp_path, init_args=arguments, trainer_name="@nnUNetTrainer")
    broken = model(tmp_path, "nnUNetTrainerBroken")
    (broken / "fold_0/checkpoint_final.pth").write_bytes(b"")
    lines = list(csv.DictReader(StringIO(compare("--format", "csv").out)))
    assert len(lines) == 2
    assert lines[0]["trainer"] == "'@nnUNetTrainer"
    assert float(lines[0]["validation_dice"]) == pytest.approx(0.89)
    assert float(lines[0]["pseudo_dice_=cmd"]) == pytest.approx(0.9)
    assert "nnUNetTrainerBroken" in lines[1]["error"]


def test_the_page_needs_no_network_and_escapes_what_files_say(compare, tmp_path):
    model(tmp_path)
    model(
        tmp_path,
        "nnUNetTrainer<script>alert(1)",
        trainer_name="x",
        debug=attributes(own="<b>"),
        record=record_of(mirrored=()),
    )
    page = compare("--format", "html").out
    assert "<script>alert" not in page
    assert "http" not in page.replace("http-equiv", "")
    assert page.count("<svg") == 1
    assert page.count('class="gap"') == 2
    assert "mirrored in training: [0, 1] -&gt; []" in page


def test_it_can_be_written_to_a_file(compare, tmp_path):
    model(tmp_path)
    done = compare("--format", "html", "-o", tmp_path / "page.html")
    assert (done.status, done.out) == (0, "")
    assert (tmp_path / "page.html").read_text().startswith("<!doctype html>")


def test_text_is_escaped(compare, tmp_path):
    model(tmp_path)
    model(tmp_path, "nnUNetTrainerB", debug=attributes(), record=record_of())
    model(tmp_path, "nnUNetTrainerC", debug=attributes(own="\x1b[2J::error::"))
    assert "\x1b" not in compare().out


def test_the_document_keeps_its_schema(compare, tmp_path):
    from pathlib import Path

    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((Path(__file__).parents[2] / "docs/output.schema.json").read_text())
    model(tmp_path, folds=(0, 1))
    model(tmp_path, "nnUNetTrainerB", axes=(), record=None, validation=None)
    document = json.loads(compare("--format", "json").out)
    jsonschema.validate(document, {**schema, "anyOf": [{"$ref": "#/$defs/compare"}]})
    del document["runs"][0]["unknown"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, {**schema, "anyOf": [{"$ref": "#/$defs/compare"}]})


def test_a_narrow_terminal_gets_lines_that_fit(nnguard, sound, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.chdir(sound.parent)
    done = nnguard("compare", ".")
    assert done.status == 0
    assert max(map(len, done.out.splitlines())) <= 60
    assert "fold 1" in done.out
    assert "\n  2 epochs" in done.out or "epochs, pseudo" in done.out
