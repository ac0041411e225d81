"""Claims about ``nnguard.json`` and the weights that it remembers."""

import pytest
import torch

from nnguard.hooks.sidecar import known_weights, saved_weights, write_copy
from nnguard.record import Record
from tests.support.checkpoints import checkpoint_dict, save_checkpoint
from tests.support.records import record_of

WRITTEN = "2025-01-02T03:04:05Z"


def test_a_copy_is_a_record_and_remembers_the_weights_of_the_checkpoints_that_are_there(tmp_path):
    record = record_of()
    path = save_checkpoint(tmp_path / "checkpoint_best.pth", record=record)
    saved = saved_weights(path, WRITTEN)
    write_copy(tmp_path, record, {path.name: saved, "checkpoint_latest.pth": saved})
    assert known_weights(tmp_path) == {path.name: saved}
    assert Record.from_json((tmp_path / "nnguard.json").read_bytes()) == record
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["checkpoint_best.pth", "nnguard.json"]


def test_without_checksums_or_without_a_zip_nothing_is_remembered(tmp_path):
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        path = save_checkpoint(tmp_path / "unchecked.pth")
    finally:
        torch.serialization.set_crc32_options(before)
    assert saved_weights(path, WRITTEN) is None
    torch.save(checkpoint_dict(), tmp_path / "legacy.pth", _use_new_zipfile_serialization=False)
    assert saved_weights(tmp_path / "legacy.pth", WRITTEN) is None
    assert saved_weights(tmp_path / "missing.pth", WRITTEN) is None


@pytest.mark.parametrize("text", [None, b"", b"{", b"\xff", b'{"schema": 99}'])
def test_a_copy_that_cannot_be_read_remembers_nothing(tmp_path, text):
    if text is not None:
        (tmp_path / "nnguard.json").write_bytes(text)
    assert known_weights(tmp_path) == {}


def test_a_folder_that_is_gone_gets_no_copy(tmp_path):
    write_copy(tmp_path / "gone", record_of(), {})
    assert list(tmp_path.iterdir()) == []
