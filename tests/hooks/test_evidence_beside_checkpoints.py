"""Real predictors and what lies beside their checkpoints: the copy of a record that was lost, a fliptest."""

import json
import shutil
from pathlib import Path

import pytest

from nnguard import MirroringError, check_model
from nnguard.checkpoint import read_checkpoint
from nnguard.hooks import origins, patching
from nnguard.models import fliptest_evidence
from nnguard.models.folder import FLIPTEST_FILE
from tests.support.fliptests import document, written

CHECKPOINT = "checkpoint_final.pth"


@pytest.fixture
def folder_of(model_folders, tmp_path):
    """``folder_of("sound")``: a copy of a real model folder, to be edited."""
    return lambda name: Path(shutil.copytree(model_folders[name], tmp_path / name))


def load(made, folder, folds=(0,)):
    made.initialize_from_trained_model_folder(str(folder), folds, CHECKPOINT)
    return made


def saved_again(folder, change=lambda checkpoint: checkpoint.pop("nnguard", None)):
    """As a tool does that loads, changes and saves."""
    import torch

    path = folder / "fold_0" / CHECKPOINT
    loaded = torch.load(path, weights_only=False)
    change(loaded)
    torch.save(loaded, path)
    return folder


def other_weights(checkpoint):
    checkpoint.pop("nnguard", None)
    for value in checkpoint["network_weights"].values():
        value += 1


def another_epoch(checkpoint):
    checkpoint["current_epoch"] += 400


# ---------------------------------------------------------------- a record that only nnguard.json has kept


def test_a_checkpoint_that_lost_its_record_is_refused_by_the_copy_beside_it(guard, new_predictor, folder_of):
    folder = saved_again(folder_of("unmirrored"))
    guard("strict")
    with pytest.raises(MirroringError) as raised:
        load(new_predictor(), folder)
    assert [finding.code for finding in raised.value.findings] == ["NNG101"]
    assert "nnguard repair" in raised.value.findings[0].remedy


def test_a_sound_checkpoint_that_lost_its_record_is_used_in_silence(guard, new_predictor, folder_of, told):
    folder = saved_again(folder_of("sound"))
    guard("exact")
    load(new_predictor(), folder)
    assert told.codes == []


def test_correct_narrows_by_the_copy(guard, new_predictor, folder_of, told):
    folder = saved_again(folder_of("unmirrored"))
    guard("correct")
    assert load(new_predictor(), folder).allowed_mirroring_axes is None
    assert told.codes == ["NNG101"]


def test_a_copy_of_other_weights_is_unverified_and_the_message_says_why_it_was_not_used(
    guard, new_predictor, folder_of, told
):
    folder = saved_again(folder_of("unmirrored"), other_weights)
    guard("strict")
    load(new_predictor(), folder)
    assert told.codes == ["NNG101"]
    assert "(advisory: worth a look)" in told.texts[0]
    assert "nnguard.json beside the checkpoint" in " ".join(told.texts[0].split())
    assert "its fingerprint is not that of what the checkpoint now holds" in " ".join(told.texts[0].split())
    # There is nothing to repair by.
    assert f"nnguard repair {folder}/fold_0/{CHECKPOINT}\n" not in told.texts[0]


def test_a_checkpoint_with_a_record_asks_for_no_copy(guard, new_predictor, folder_of, monkeypatch, told):
    folder = folder_of("sound")
    (folder / "fold_0/nnguard.json").write_text("{")
    monkeypatch.setattr("nnguard.models.provenance.record_kept_for", lambda *_: pytest.fail("it was read"))
    guard("exact")
    load(new_predictor(), folder)
    assert told.codes == []


def test_by_torch_load_and_by_the_safe_reader_the_copy_is_the_same_record(guard, folder_of):
    import torch

    folder = folder_of("unmirrored")
    path = str(folder / "fold_0" / CHECKPOINT)
    lost = read_checkpoint(path).record()
    saved_again(folder)
    guard("warn")
    loaded = torch.load(path, weights_only=False)
    for origin in (origins.origin_of(loaded["network_weights"]), origins.origin_in_file(path)):
        assert (origin.record, origin.no_record, origin.copied) == (lost, None, True)


# ---------------------------------------------------------------- a fliptest in the model folder


def harmful_along_1(folder, **changes):
    """A network that reads flips along axis 0 alone, as ``nnguard fliptest -o MODEL_FOLDER`` would say it."""
    return written(folder, document(folder, (0,), folds=(0,), **changes))


@pytest.mark.parametrize("name", ["unguarded", "sound"])
def test_a_flip_that_was_measured_to_harm_is_refused_before_a_worker_or_a_patch(
    guard, new_predictor, folder_of, monkeypatch, tmp_path, name
):
    from torch.nn import Conv2d

    folder = folder_of(name)
    file = harmful_along_1(folder)
    monkeypatch.setattr(Conv2d, "forward", lambda *_: pytest.fail("a patch was predicted"))
    guard("strict")
    made = new_predictor()
    with pytest.raises(MirroringError) as raised:
        load(made, folder)
    (finding,) = raised.value.findings
    assert finding.code == "NNG116"
    assert f"--from-fliptest {file}" in finding.remedy
    with pytest.raises(MirroringError):
        made.predict_from_files(str(tmp_path / "in"), str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_network_that_reads_every_flip_needs_no_record(guard, new_predictor, folder_of, told):
    folder = folder_of("unguarded")
    written(folder, document(folder, (0, 1), folds=(0,)))
    guard("exact")
    load(new_predictor(), folder)
    assert told.codes == []


def test_without_mirroring_a_measured_harm_is_none(guard, new_predictor, folder_of, told):
    folder = folder_of("unguarded")
    harmful_along_1(folder)
    guard("exact")
    load(new_predictor(use_mirroring=False), folder)
    assert told.codes == []


@pytest.mark.parametrize("name", ["unguarded", "sound"])
def test_correct_narrows_to_what_was_measured_to_be_safe_and_says_so(guard, new_predictor, folder_of, told, name):
    folder = folder_of(name)
    harmful_along_1(folder)
    guard("correct")
    assert load(new_predictor(), folder).allowed_mirroring_axes == (0,)
    assert told.codes == ["NNG116"]
    assert "put this right" in told.texts[0]


def test_correct_keeps_no_axis_that_training_did_not_show_however_harmless_it_was_measured(
    guard, new_predictor, folder_of, told
):
    folder = folder_of("unmirrored")
    written(folder, document(folder, (0, 1), folds=(0,)))
    guard("correct")
    assert load(new_predictor(), folder).allowed_mirroring_axes is None
    assert told.codes == ["NNG101"]


@pytest.mark.parametrize(
    ("change", "why"), [(other_weights, "its weights are not those"), (another_epoch, "the tested epoch is")]
)
def test_a_fliptest_of_other_weights_or_another_epoch_is_not_used_and_that_is_said(
    guard, new_predictor, folder_of, told, change, why
):
    folder = folder_of("unguarded")
    harmful_along_1(folder)
    saved_again(folder, change)
    guard("strict")
    load(new_predictor(), folder)
    assert told.codes == ["NNG101", "NNG108"]
    assert f"{FLIPTEST_FILE} is not about this checkpoint: {why}" in " ".join(told.texts[1].split())


def test_where_the_record_decides_an_old_fliptest_is_a_note_for_the_log(
    guard, new_predictor, folder_of, told, monkeypatch, tmp_path
):
    from nnguard.report import log

    folder = folder_of("sound")
    harmful_along_1(folder)
    saved_again(folder, another_epoch)
    monkeypatch.setenv("NNGUARD_LOG", str(tmp_path / "events.json"))
    log.reset()
    guard("exact")
    load(new_predictor(), folder)
    log.reset()
    assert told.codes == []
    (event,) = [json.loads(line) for line in (tmp_path / "events.json").read_text().splitlines() if "NNG108" in line]
    assert (event["action"], event["severity"]) == ("log", "note")
    assert "the tested epoch is" in event["seen"]


@pytest.mark.parametrize("text", ["{", json.dumps({"schema_version": 99})])
def test_a_fliptest_that_cannot_be_read_is_told_and_hides_no_finding(guard, new_predictor, folder_of, told, text):
    folder = folder_of("unmirrored")
    written(folder, text)
    guard("warn,NNG108=warn")
    load(new_predictor(), folder)
    assert sorted(told.codes) == ["NNG101", "NNG108"]


def test_without_a_fliptest_nothing_is_read_for_one(guard, new_predictor, folder_of, told, monkeypatch):
    monkeypatch.setattr(fliptest_evidence, "read_measured", lambda *_: pytest.fail("it was read"))
    guard("warn")
    load(new_predictor(), folder_of("unmirrored"))
    assert told.codes == ["NNG101"]


@pytest.mark.expects_internal_error
@pytest.mark.parametrize("place", ["read_measured", "problem_between"])
def test_a_fault_in_reading_it_is_one_event_and_leaves_the_record_judged(
    guard, new_predictor, folder_of, monkeypatch, place
):
    def fail(*_arguments):
        raise RecursionError("ours")

    folder = folder_of("unmirrored")
    harmful_along_1(folder)
    monkeypatch.setattr(fliptest_evidence, place, fail)
    guard("strict")
    with pytest.raises(MirroringError) as raised:
        load(new_predictor(), folder)
    assert [finding.code for finding in raised.value.findings] == ["NNG101"]
    assert [(error.place, error.count) for error in patching.swallowed] == [
        ("reading what lies beside a checkpoint", 1)
    ]


def test_folds_share_one_finding_and_only_the_tested_ones_are_judged_by_it(guard, new_predictor, folder_of, told):
    folder = folder_of("unguarded")
    shutil.copytree(folder / "fold_0", folder / "fold_1")
    written(folder, document(folder, (0,), folds=(0, 1)))
    guard("warn")
    load(new_predictor(), folder, (0, 1))
    assert told.codes == ["NNG116"]
    assert "fold_1" in told.texts[0]


# ---------------------------------------------------------------- the same evidence, the same words


CHANGES = {
    "as it was": lambda folder: None,
    "lost record": saved_again,
    "other weights": lambda folder: saved_again(folder, other_weights),
    "fliptest": harmful_along_1,
    "broken fliptest": lambda folder: written(folder, "{"),
    "other weights under the record": lambda folder: saved_again(folder, heavier),
}


def heavier(checkpoint):
    for value in checkpoint["network_weights"].values():
        value += 1


@pytest.mark.parametrize("name", ["sound", "unmirrored", "unguarded"])
@pytest.mark.parametrize("change", CHANGES)
def test_a_starting_predictor_finds_what_check_finds(guard, new_predictor, folder_of, name, change, monkeypatch):
    folder = folder_of(name)
    CHANGES[change](folder)
    found = []
    monkeypatch.setattr("nnguard.hooks.enforcement.act", lambda findings, **_: found.extend(findings))
    guard("warn")
    load(new_predictor(), folder)
    checked = check_model(folder)
    assert sorted(map(of_one_fold, found)) == sorted(map(of_one_fold, checked))


def of_one_fold(finding):
    return (finding.code, finding.severity, finding.message, finding.setting)
