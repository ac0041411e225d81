"""Claims about weights and record belonging together."""

import json

import pytest
import torch

from nnguard.hooks.sidecar import saved_weights, write_copy
from nnguard.models import check_model
from nnguard.models.audit import audit_folder
from nnguard.models.folder import open_fold
from nnguard.models.provenance import check_belonging, weights_belong
from tests.support.checkpoints import checkpoint_dict, save_model
from tests.support.records import record_of

NAME = "checkpoint_final.pth"


@pytest.fixture
def path(tmp_path):
    """A checkpoint as nnguard leaves it, its copy beside it."""
    record = record_of()
    path = save_model(tmp_path / "model", record=record) / "fold_0" / NAME
    write_copy(path.parent, record, {NAME: saved_weights(path, record.written_at)})
    return path


def test_untouched_weights_belong_and_are_no_finding(path):
    fold = open_fold(path)
    assert weights_belong(fold) is True
    assert check_belonging(fold) == []
    assert [finding.code for finding in audit_folder(path.parents[1])[0].findings] == []


def test_weights_changed_under_the_same_record_are_advice(path):
    loaded = torch.load(path, weights_only=False)
    next(iter(loaded["network_weights"].values()))[0] += 1
    torch.save(loaded, path)
    fold = open_fold(path)
    assert weights_belong(fold) is False
    (found,) = check_belonging(fold)
    assert (found.code, found.severity) == ("NNG108", "advisory")
    assert "NNG108" in [finding.code for finding in audit_folder(path.parents[1])[0].findings]


def test_other_entries_may_change_for_only_weights_count(path):
    loaded = torch.load(path, weights_only=False)
    torch.save({**loaded, "_best_ema": 0.1}, path)
    assert weights_belong(open_fold(path)) is True


def test_a_later_record_than_the_copys_tells_nothing(path):
    """Killed between saving a checkpoint and its copy."""
    torch.save(checkpoint_dict(record=record_of(written_at="2025-01-02T03:04:06Z"), network_weights={}), path)
    assert weights_belong(open_fold(path)) is None


def test_without_a_copy_or_under_another_name_nothing_is_told(path):
    renamed = path.rename(path.with_name("mine.pth"))
    assert weights_belong(open_fold(renamed)) is None
    renamed.rename(path)
    (path.parent / "nnguard.json").write_text("{")
    assert weights_belong(open_fold(path)) is None
    (path.parent / "nnguard.json").unlink()
    assert weights_belong(open_fold(path)) is None


# ---------------------------------------------------------------- a record that only the copy has kept


def saved_again(path, **changes):
    """As a tool does that knows nothing of the key: loaded, changed, and saved without it."""
    loaded = torch.load(path, weights_only=False)
    del loaded["nnguard"]
    torch.save({**loaded, **changes}, path)
    return path


def kept(path):
    return json.loads((path.parent / "nnguard.json").read_text())


def keep(path, **changes):
    (path.parent / "nnguard.json").write_text(json.dumps({**kept(path), **changes}))


@pytest.fixture
def trap(tmp_path):
    """The bug of nnU-Net issue 2552, its copy beside it."""
    record = record_of(mirrored=())
    path = save_model(tmp_path / "model", record=record) / "fold_0" / NAME
    write_copy(path.parent, record, {NAME: saved_weights(path, record.written_at)})
    return path


def found(path):
    return {finding.code: finding for finding in check_model(path.parents[1])}


def test_a_checkpoint_that_lost_its_record_is_judged_by_the_copy_that_its_weights_prove(trap):
    findings = found(saved_again(trap))
    assert {code: one.severity for code, one in findings.items()} == {"NNG101": "harmful", "NNG108": "note"}
    assert f"nnguard repair {trap}" in findings["NNG101"].remedy
    assert f"nnguard repair {trap}" in findings["NNG108"].remedy
    assert audit_folder(trap.parents[1])[0].grade == "record (nnguard.json)"


def test_the_copy_is_the_very_record_that_was_lost(path):
    before = open_fold(path)
    after = open_fold(saved_again(path))
    assert (after.record, after.copied, before.copied) == (before.record, True, False)
    assert {code: one.severity for code, one in found(path).items()} == {"NNG108": "note"}


def other_weights(path):
    weights = torch.load(path, weights_only=False)["network_weights"]
    saved_again(path, network_weights={name: value + 1 for name, value in weights.items()})


def no_optimiser(path):
    saved_again(path, optimizer_state={"state": {0: torch.ones(3)}})


def another_name(path):
    saved_again(path)
    keep(path, weights={})


def no_checksums(path):
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        saved_again(path)
    finally:
        torch.serialization.set_crc32_options(before)


def another_augmentation_later(path):
    saved_again(path)
    segments = kept(path)["segments"]
    keep(path, written_at="2025-01-02T03:04:09Z", segments=[*segments, {**segments[0], "fingerprint": "other"}])


@pytest.mark.parametrize(
    ("lose", "why"),
    [
        (other_weights, "is not that of what the checkpoint now holds"),
        (no_optimiser, "is not that of what the checkpoint now holds"),
        (another_name, "keeps no fingerprint"),
        (no_checksums, "no checksums"),
        (another_augmentation_later, "a later state of the training"),
    ],
)
def test_a_copy_that_nothing_ties_to_the_weights_advises_and_says_why_and_no_remedy_needs_it(trap, lose, why):
    lose(trap)
    assert open_fold(trap).record is None
    findings = found(trap)
    assert {code: one.severity for code, one in findings.items()} == {"NNG101": "advisory", "NNG108": "note"}
    assert why in findings["NNG108"].seen
    assert audit_folder(trap.parents[1])[0].grade == "nnguard.json"
    for finding in findings.values():
        assert f"nnguard repair {trap}\n" not in f"{finding.remedy}\n"
    assert f"nnguard repair {trap} --state none" in findings["NNG101"].remedy
    assert "--disable_tta" in findings["NNG101"].remedy


def test_an_earlier_checkpoint_of_one_augmentation_throughout_gets_the_record_as_it_was_then(trap):
    saved_again(trap)
    axes = {"declared": [0, 1], "effective": None, "changed_by": "repair", "changed_at": "2025-01-02T03:04:09Z"}
    keep(trap, written_at="2025-01-02T03:04:09Z", measured={"fliptest": {"cases": 8}}, axes=axes)
    record = open_fold(trap).record
    assert record.written_at == "2025-01-02T03:04:05Z"
    assert (record.measured, record.segments, record.axes.effective) == (None, [], [0, 1])
    assert found(trap)["NNG101"].severity == "harmful"


@pytest.mark.parametrize("text", ["{", "[]", '{"schema": 99}', "\x00"])
def test_a_copy_that_cannot_be_read_is_none(trap, text):
    saved_again(trap)
    (trap.parent / "nnguard.json").write_text(text)
    assert open_fold(trap).record is None
    assert {code: one.severity for code, one in found(trap).items()} == {"NNG108": "advisory"}


def test_a_broken_record_is_not_replaced_by_a_sound_copy(path):
    torch.save({**torch.load(path, weights_only=False), "nnguard": "{"}, path)
    fold = open_fold(path)
    assert (fold.record, fold.copied) == (None, False)
    assert fold.record_error


def test_a_record_put_into_another_trainings_checkpoint_is_advice(path):
    (path.parent / "nnguard.json").unlink()
    loaded = torch.load(path, weights_only=False)
    torch.save({**loaded, "trainer_name": "nnUNetTrainerOfSomebodyElse"}, path)
    (found,) = check_belonging(open_fold(path))
    assert (found.code, found.severity) == ("NNG108", "advisory")
    assert "nnUNetTrainerOfSomebodyElse" in found.seen


def test_a_record_of_the_checkpoints_own_training_is_none_though_nothing_keeps_a_fingerprint(path):
    (path.parent / "nnguard.json").unlink()
    assert weights_belong(open_fold(path)) is None
    assert check_belonging(open_fold(path)) == []
