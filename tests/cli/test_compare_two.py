"""Claims about ``nnguard compare`` of exactly two things."""

import json

import pytest

from tests.support.checkpoints import export, save_checkpoint
from tests.support.records import record_of

NOISE = {"class": "RandomTransform", "children": [{"class": "GaussianNoiseTransform"}], "probability": 0.1}
BLUR = {"class": "RandomTransform", "children": [{"class": "GaussianBlurTransform"}], "probability": 0.2}
MIRROR = {"class": "MirrorTransform", "parameters": {"allowed_axes": [0, 1]}}


def pipeline(*transforms):
    return record_of(transforms=[{"class": "ComposeTransforms", "children": list(transforms)}])


def write(path, record):
    path.write_text(record.to_json())
    return path


def keys(done):
    return [change["key"] for change in json.loads(done.out)["changes"]]


def test_the_same_file_does_not_differ(nnguard, sound):
    path = sound / "fold_0/checkpoint_final.pth"
    done = nnguard("compare", path, path)
    assert done.status == 0
    assert done.out.startswith("nothing differs in ")


def test_only_changed_keys_are_shown(nnguard, sound):
    done = nnguard(
        "compare", sound / "fold_0/checkpoint_final.pth", sound / "fold_1/checkpoint_final.pth", "--format", "json"
    )
    assert done.status == 0
    assert keys(done) == ["init_args.fold"]


def test_a_transform_taken_out_shifts_no_other(nnguard, tmp_path):
    first = write(tmp_path / "a.json", pipeline(NOISE, BLUR, MIRROR))
    second = write(tmp_path / "b.json", pipeline(BLUR, MIRROR))
    done = nnguard("compare", first, second, "--format", "json")
    assert len(keys(done)) == 1
    assert "GaussianNoiseTransform" in keys(done)[0]
    assert "b" not in json.loads(done.out)["changes"][0]


def test_a_changed_probability_is_named_by_its_transform(nnguard, tmp_path):
    first = write(tmp_path / "a.json", pipeline(NOISE, BLUR))
    second = write(tmp_path / "b.json", pipeline(NOISE, {**BLUR, "probability": 0.5}))
    (key,) = keys(nnguard("compare", first, second, "--format", "json"))
    assert "GaussianBlurTransform" in key
    assert key.endswith("probability")


def test_a_missing_key_is_not_a_null(nnguard, tmp_path):
    with_axes = save_checkpoint(tmp_path / "a.pth", axes=None, record=record_of())
    without = save_checkpoint(tmp_path / "b.pth", axes=None, record=record_of())
    import torch

    from tests.support.checkpoints import checkpoint_dict

    bare = checkpoint_dict(record=record_of())
    del bare["inference_allowed_mirroring_axes"]
    torch.save(bare, without)
    (change,) = json.loads(nnguard("compare", with_axes, without, "--format", "json").out)["changes"]
    assert change == {"key": "inference_allowed_mirroring_axes", "a": None}


def test_model_folders_are_compared_with_their_plans(nnguard, sound, trapped):
    plans = json.loads((trapped / "plans.json").read_text())
    plans["configurations"]["2d"]["spacing"] = [2.0, 2.0]
    (trapped / "plans.json").write_text(json.dumps(plans))
    found = keys(nnguard("compare", sound, trapped, "--format", "json"))
    assert "plans.json.configurations.2d.spacing" in found
    assert "fold_0.record.mirroring.safe_axes" in found
    assert not any("dataset.json" in key for key in found)


def test_a_checkpoint_against_its_folder_is_compared_by_plans_and_dataset(nnguard, sound):
    checkpoint = sound / "fold_0/checkpoint_final.pth"
    assert nnguard("compare", checkpoint, sound).status == 0
    plans = json.loads((sound / "plans.json").read_text())
    plans["configurations"]["2d"]["batch_size"] = 3
    (sound / "plans.json").write_text(json.dumps(plans))
    assert keys(nnguard("compare", checkpoint, sound, "--format", "json")) == [
        "plans.json.configurations.2d.batch_size"
    ]


def test_a_record_and_a_folder_have_nothing_in_common(nnguard, sound, tmp_path):
    done = nnguard("compare", write(tmp_path / "a.json", record_of()), sound)
    assert (done.status, len(done.err.splitlines())) == (2, 1)


def test_values_nested_without_end_are_one_line(nnguard, sound, trapped):
    for folder, core in ((sound, "1"), (trapped, "2")):
        plans = (folder / "plans.json").read_text()
        deep = "[" * 900 + core + "]" * 900
        (folder / "plans.json").write_text(plans.replace('"spacing": [', f'"deep": {deep}, "spacing": ['))
    done = nnguard("compare", sound, trapped)
    assert (done.status, len(done.err.splitlines())) == (2, 1)
    assert "too deeply" in done.err


def test_text_shows_both_sides_escaped(nnguard, tmp_path):
    first = save_checkpoint(tmp_path / "a.pth", record=record_of())
    second = save_checkpoint(tmp_path / "b.pth", record=record_of(), trainer_name="Evil\x1b[2J")
    out = nnguard("compare", first, second).out
    assert "  - nnUNetTrainer\n  + Evil\\x1b[2J\n" in out


def test_a_broken_record_cannot_be_compared(nnguard, tmp_path):
    path = save_checkpoint(tmp_path / "a.pth", record="{")
    assert nnguard("compare", path, path).status == 2


def test_a_fold_is_compared_by_its_checkpoint_and_a_zip_as_the_model_in_it(nnguard, sound, tmp_path):
    assert keys(nnguard("compare", sound / "fold_0", sound / "fold_1", "--format", "json")) == ["init_args.fold"]
    archive = export(tmp_path / "model.zip", sound)
    assert nnguard("compare", archive, sound).out.startswith("nothing differs in plans.json, dataset.json, fold_0")
    # Between a checkpoint and a folder, these two are all that is compared: that is said.
    said = nnguard("compare", sound / "fold_0/checkpoint_final.pth", sound).out
    assert said == "nothing differs in plans.json, dataset.json\n"


def test_a_record_is_compared_with_a_checkpoints_own(nnguard, sound, tmp_path):
    record = write(tmp_path / "a.json", record_of(mirrored=()))
    found = keys(nnguard("compare", record, sound / "fold_0/checkpoint_final.pth", "--format", "json"))
    assert "record.mirroring.safe_axes" in found
    assert all(key.startswith("record.") for key in found)


@pytest.mark.parametrize("more", [["--baseline", "{sound}"], ["--sort", "gap"], ["--format", "csv"]])
def test_two_models_are_runs_where_a_table_is_asked_for(nnguard, sound, trapped, more):
    done = nnguard("compare", sound, trapped, *(part.format(sound=sound) for part in more))
    assert done.status == 0
    assert "mirrored in training: " in done.out
