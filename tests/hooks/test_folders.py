"""Real predictors under the guard: folds held against their folder and against each other, as a predictor starts."""

import copy
import gc
import json
import shutil
from pathlib import Path

import pytest

from nnguard import InconsistencyError, MirroringError
from nnguard.hooks import origins, patching, predictor
from nnguard.models import check_model
from tests.support.edits import ALL_TOLD, AMONG_FOLDS, EDITS, FATAL, IN_PLANS, configured, rewritten, top

CHECKPOINT = "checkpoint_final.pth"


def load(made, folder, folds=(0,)):
    made.initialize_from_trained_model_folder(str(folder), folds, CHECKPOINT)
    return made


@pytest.fixture
def folder(model_folders, tmp_path):
    """A copy of a real, sound model folder, to be edited."""
    return Path(shutil.copytree(model_folders["sound"], tmp_path / "model"))


@pytest.fixture
def with_folds(model_folders, folder):
    """``with_folds("sound", "unmirrored")``: an ensemble of folds 0 and 1, each from a real training."""

    def make(*names):
        for fold, name in enumerate(names):
            shutil.rmtree(folder / f"fold_{fold}", ignore_errors=True)
            shutil.copytree(model_folders[name] / "fold_0", folder / f"fold_{fold}")
        return folder

    return make


def edited_checkpoint(path, change):
    import torch

    checkpoint = torch.load(path, map_location="cpu", weights_only=False)
    change(checkpoint)
    torch.save(checkpoint, path)


def codes_of_check(folder):
    return sorted({finding.code for finding in check_model(folder) if finding.code in (*IN_PLANS, *AMONG_FOLDS)})


@pytest.mark.parametrize("case", EDITS)
def test_one_field_edited_after_training_is_told_at_predictor_start_and_in_check(
    guard, new_predictor, folder, told, case
):
    file, edit = EDITS[case]
    rewritten(folder / f"{file}.json", edit)
    guard(ALL_TOLD)
    load(new_predictor(), folder)
    assert told.codes == ["NNG201"]
    assert codes_of_check(folder) == ["NNG201"]


@pytest.mark.parametrize("case", FATAL)
def test_what_nnunet_cannot_load_fails_with_its_own_error_and_check_knows_why(guard, new_predictor, folder, told, case):
    file, edit = FATAL[case]
    rewritten(folder / f"{file}.json", edit)
    errors = []
    for mode in ("off", ALL_TOLD):
        guard(mode)
        with pytest.raises(Exception) as raised:  # noqa: PT011 - whatever nnU-Net says, with and without the guard
            load(new_predictor(), folder)
        errors.append((type(raised.value), str(raised.value)))
    assert errors[0] == errors[1]
    assert told.codes == []
    assert "NNG201" in codes_of_check(folder)


def whole_numbers_as_integers(value):
    if isinstance(value, dict):
        return {key: whole_numbers_as_integers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [whole_numbers_as_integers(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def renamed(old, new):
    return lambda content: content.update({new: content.pop(old)})


def inherited(plans):
    plans["configurations"]["parent"] = plans["configurations"]["2d"]
    plans["configurations"]["2d"] = {"inherits_from": "parent", "batch_size": 1}


REWRITTEN = {
    "untouched": ("plans", lambda plans: None, {}),
    "sorted keys": ("plans", lambda plans: None, {"sort_keys": True}),
    "reversed keys": ("plans", lambda plans: dict(reversed(plans.items())), {}),
    "dataset's keys sorted": ("dataset", lambda dataset: None, {"sort_keys": True}),
    "integers for floats": ("plans", whole_numbers_as_integers, {}),
    "continue_training": ("plans", top(continue_training=True), {}),
    "no continue_training": ("plans", lambda plans: plans.pop("continue_training", None) and None, {}),
    "new names": ("plans", top(plans_name="mine", dataset_name="Dataset999_Other", experiment_planner_used="P"), {}),
    "what inference does not read": ("plans", configured(batch_size=1, batch_dice=False, data_identifier="x"), {}),
    "the old name of intensities": (
        "plans",
        renamed("foreground_intensity_properties_per_channel", "foreground_intensity_properties_by_modality"),
        {},
    ),
    "an inherited configuration": ("plans", inherited, {}),
    "another configuration": ("plans", lambda plans: plans["configurations"].update(more={"spacing": [9]}), {}),
    "more in the dataset": ("dataset", top(licence="CC0", training=["a"], numTraining=3, name="x"), {}),
    "the old name of channels": ("dataset", renamed("channel_names", "modality"), {}),
}


@pytest.mark.parametrize("case", REWRITTEN)
def test_a_folder_that_says_the_same_in_other_ways_is_silent(guard, new_predictor, folder, told, case):
    file, change, how = REWRITTEN[case]
    rewritten(folder / f"{file}.json", change, **how)
    guard(ALL_TOLD.replace("warn,", "exact,", 1))
    load(new_predictor(), folder)
    assert told.codes == []
    assert check_model(folder) == []


def test_a_model_that_was_exported_and_installed_elsewhere_is_silent(
    guard, new_predictor, model_folders, tmp_path, told, monkeypatch
):
    from nnunetv2.model_sharing import model_export, model_import
    from nnunetv2.utilities import file_path_utilities

    results = Path(shutil.copytree(model_folders["sound"].parents[1], tmp_path / "results"))
    model = results / model_folders["sound"].relative_to(model_folders["sound"].parents[1])
    for name in ("progress.png", "validation/summary.json"):  # the exporter asks for what a whole training leaves
        (model / "fold_0" / name).parent.mkdir(exist_ok=True)
        (model / "fold_0" / name).write_text("{}")
    for module in (model_export, file_path_utilities):
        monkeypatch.setattr(module, "nnUNet_results", str(results))
    monkeypatch.setattr(model_export, "maybe_convert_to_dataset_name", lambda name: name)
    model_export.export_pretrained_model(model.parent.name, str(tmp_path / "model.zip"), ("2d",), folds=(0,))
    monkeypatch.setattr(model_import, "nnUNet_results", str(tmp_path / "elsewhere"))
    model_import.install_model_from_zip_file(str(tmp_path / "model.zip"))
    guard(ALL_TOLD.replace("warn,", "exact,", 1))
    load(new_predictor(), tmp_path / "elsewhere" / model.relative_to(results))
    assert told.codes == []


def test_a_sound_fold_in_front_hides_no_fold_of_issue_2552(guard, new_predictor, with_folds, told):
    folder = with_folds("sound", "unmirrored")
    guard("warn")
    load(new_predictor(), folder, (0, 1))
    assert told.codes == ["NNG101", "NNG301"]
    assert "fold 0 trained with mirroring along (0, 1)" in told.texts[1]
    assert "in views that training did not show to fold 1" in " ".join(told.texts[1].split())
    guard("strict")
    with pytest.raises(MirroringError) as raised:
        load(new_predictor(), folder, (0, 1))
    assert [finding.code for finding in raised.value.findings] == ["NNG101", "NNG301"]
    assert codes_of_check(folder) == ["NNG301"]


def test_folds_of_one_training_are_silent(guard, new_predictor, with_folds, told):
    guard(ALL_TOLD.replace("warn,", "exact,", 1))
    load(new_predictor(), with_folds("sound", "sound"), (0, 1))
    load(new_predictor(), with_folds("sound", "sound"), None)
    assert told.codes == []


def test_the_sound_fold_of_an_unsound_ensemble_is_silent_by_itself(guard, new_predictor, with_folds, told):
    guard("exact")
    load(new_predictor(), with_folds("sound", "unmirrored"), (0,))
    assert told.codes == []


def test_correct_narrows_to_what_is_safe_for_every_fold_and_says_so(guard, new_predictor, with_folds, told):
    guard("correct")
    made = load(new_predictor(), with_folds("sound", "unmirrored"), (0, 1))
    assert made.allowed_mirroring_axes is None
    assert told.codes == ["NNG101", "NNG301"]
    assert all("put this right" in text for text in told.texts)


def another_trainer(checkpoint):
    checkpoint["trainer_name"] = "nnUNetTrainerDA5"


def another_epoch(checkpoint):
    checkpoint["current_epoch"] += 400


def other_plans(checkpoint):
    checkpoint["init_args"]["plans"]["configurations"]["2d"]["spacing"] = [2.0, 2.0]


def other_names(checkpoint):
    checkpoint["init_args"]["plans"].update(plans_name="mine", dataset_name="Dataset999_Other")


@pytest.mark.parametrize(
    ("change", "codes"),
    [
        (another_trainer, ["NNG301"]),
        (other_plans, ["NNG201", "NNG301"]),
        (another_epoch, ["NNG301"]),
        (other_names, []),
    ],
)
def test_folds_that_do_not_belong_together_are_told(guard, new_predictor, with_folds, told, change, codes):
    folder = with_folds("sound", "sound")
    edited_checkpoint(folder / "fold_1" / CHECKPOINT, change)
    guard(ALL_TOLD)
    load(new_predictor(), folder, (0, 1))
    assert sorted(told.codes) == codes
    assert codes_of_check(folder) == codes


@pytest.mark.parametrize("package", ["nnunetv2", "batchgenerators", "batchgeneratorsv2", "torch"])
def test_other_versions_than_in_training_are_noted(guard, new_predictor, folder, told, package):
    def older(checkpoint):
        record = json.loads(checkpoint["nnguard"])
        record["environment"][package] = "0.0.1"
        checkpoint["nnguard"] = json.dumps(record)

    guard("warn,NNG501=warn")
    load(new_predictor(), folder)
    assert told.codes == []
    edited_checkpoint(folder / "fold_0" / CHECKPOINT, older)
    load(new_predictor(), folder)
    assert told.codes == ["NNG501"]
    guard("exact")
    load(new_predictor(), folder)
    assert told.codes == ["NNG501"]


def test_edited_plans_are_refused_at_the_start_and_again_when_going_on(guard, new_predictor, folder):
    rewritten(folder / "plans.json", configured(spacing=[1.0, 2.0]))
    guard("strict")
    made = new_predictor()
    with pytest.raises(InconsistencyError) as raised:
        load(made, folder)
    assert not isinstance(raised.value, MirroringError)
    assert raised.value.__context__ is None
    with pytest.raises(InconsistencyError):
        made.predict_from_files("in", "out")


def test_a_finding_is_told_once_whatever_axes_are_set_afterwards(guard, new_predictor, folder, told):
    rewritten(folder / "plans.json", configured(spacing=[1.0, 2.0]))
    guard("warn,NNG102=log")
    made = load(new_predictor(), folder)
    for axes in ((0,), (1,), None):
        made.allowed_mirroring_axes = axes
        predictor.check(made)
    load(new_predictor(), folder)
    assert told.codes == ["NNG201"]


def test_folds_that_share_an_edited_folder_share_a_finding(guard, new_predictor, with_folds, told):
    folder = with_folds("sound", "sound")
    rewritten(folder / "plans.json", configured(spacing=[1.0, 2.0]))
    guard("warn")
    load(new_predictor(), folder, (0, 1))
    assert told.codes == ["NNG201"]
    assert "fold_1" in told.texts[0]


def test_without_a_folder_nothing_is_compared_with_one(guard, new_predictor, folder, told):
    guard("off")
    donor = load(new_predictor(), folder)
    guard(ALL_TOLD.replace("warn,", "exact,NNG108=log,", 1))
    plans = copy.deepcopy(donor.plans_manager)
    plans.plans["configurations"]["2d"]["spacing"] = [1.0, 2.0]
    new_predictor().manual_initialization(
        donor.network,
        plans,
        plans.get_configuration("2d"),
        donor.list_of_parameters,
        donor.dataset_json,
        donor.trainer_name,
        donor.allowed_mirroring_axes,
    )
    assert told.codes == []


@pytest.mark.expects_internal_error
@pytest.mark.parametrize("accident", [ValueError("ours"), RecursionError("ours"), MemoryError("ours")], ids=repr)
def test_a_fault_in_these_rules_is_one_event_and_leaves_the_mirroring_judged(
    guard, new_predictor, with_folds, monkeypatch, accident
):
    def fail(*_arguments, **_options):
        raise accident

    monkeypatch.setattr(predictor, "judge_together", fail)
    guard("strict")
    load(new_predictor(), with_folds("sound"))
    with pytest.raises(MirroringError) as raised:
        load(new_predictor(), with_folds("unmirrored"))
    assert [finding.code for finding in raised.value.findings] == ["NNG101"]
    assert [(error.place, error.count) for error in patching.swallowed] == [("comparing folds and folder", 2)]


@pytest.mark.parametrize("odd", [None, [], "text", {"plans": 3}, {"plans": {}, "configuration": ["2d"]}], ids=repr)
def test_init_args_of_any_kind_are_no_fault_of_ours(guard, new_predictor, folder, told, odd):
    edited_checkpoint(folder / "fold_0" / CHECKPOINT, lambda checkpoint: checkpoint.update(init_args=odd))
    guard(ALL_TOLD)
    with pytest.raises(Exception):  # noqa: B017, PT011 - nnU-Net needs them
        load(new_predictor(), folder)
    assert told.codes == []


def test_plans_are_kept_no_longer_than_the_weights_that_they_came_with(guard, folder):
    import torch

    guard("warn")
    loaded = torch.load(folder / "fold_0" / CHECKPOINT, weights_only=False)
    assert "plans" in origins.origin_of(loaded["network_weights"]).checkpoint.init_args
    mark = origins.fingerprint(loaded["network_weights"])
    del loaded
    gc.collect()
    assert origins._by_content[mark].checkpoint.init_args == {}
    here = str(folder / "fold_0" / CHECKPOINT)
    assert not [origin for _, origin in origins._by_identity.items() if origin.checkpoint.path == here]
