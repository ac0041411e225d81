"""Claims about weights and record belonging together."""

import pytest
import torch

from checkpoints import checkpoint_dict, make_record, save_model
from nnguard.hooks.copies import saved_weights, write_copy
from nnguard.models.auditing import audit_folder
from nnguard.models.belonging import check_belonging, weights_belong
from nnguard.models.folder import open_fold

NAME = "checkpoint_final.pth"


@pytest.fixture
def path(tmp_path):
    """A checkpoint as nnguard leaves it, its copy beside it."""
    record = make_record()
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
    torch.save(checkpoint_dict(record=make_record(written_at="2025-01-02T03:04:06Z"), network_weights={}), path)
    assert weights_belong(open_fold(path)) is None


def test_without_a_copy_or_under_another_name_nothing_is_told(path):
    renamed = path.rename(path.with_name("mine.pth"))
    assert weights_belong(open_fold(renamed)) is None
    renamed.rename(path)
    (path.parent / "nnguard.json").write_text("{")
    assert weights_belong(open_fold(path)) is None
    (path.parent / "nnguard.json").unlink()
    assert weights_belong(open_fold(path)) is None
