"""Claims about what is left of a training that nobody recorded."""

import json

import msgspec
import pytest

from nnguard.models.fold_files import weaker_evidence
from tests.support.checkpoints import DEBUG_MIRRORED, DEBUG_PLAIN, write_debug
from tests.support.records import record_of


def test_an_empty_folder_says_nothing(tmp_path):
    assert weaker_evidence(tmp_path) is None


def test_debug_json_tells_the_mirrored_axes_and_its_grade(tmp_path):
    write_debug(tmp_path, DEBUG_MIRRORED)
    evidence = weaker_evidence(tmp_path)
    assert evidence.grade == "debug.json"
    assert evidence.mirroring.axes == (0, 1)
    assert evidence.declared == (0, 1)
    assert "grade: debug.json" in evidence.sentence


def test_debug_json_without_a_mirror_says_so(tmp_path):
    write_debug(tmp_path, DEBUG_PLAIN)
    evidence = weaker_evidence(tmp_path)
    assert evidence.mirroring.axes == ()
    assert "no mirror transform" in evidence.sentence


def test_an_outer_transform_of_none_is_no_evidence_of_no_augmentation(tmp_path):
    (tmp_path / "debug.json").write_text(json.dumps({"dataloader_train.transform": "None"}))
    assert weaker_evidence(tmp_path) is None


def test_a_loader_without_transforms_mirrors_nothing(tmp_path):
    write_debug(tmp_path, "None")
    assert weaker_evidence(tmp_path).mirroring.axes == ()


def test_the_outer_pipeline_of_version_1_is_read(tmp_path):
    text = "Compose ( [MirrorTransform( p_per_sample = 1, axes = (0, 1, 2) )] )"
    (tmp_path / "debug.json").write_text(json.dumps({"dataloader_train.transform": text}))
    assert weaker_evidence(tmp_path).mirroring.axes == (0, 1, 2)


@pytest.mark.parametrize(("printed", "axes"), [(None, None), ((0,), (0,)), ((0, 1, 2), (0, 1, 2)), ((), ())])
def test_printed_axes_are_read_back(tmp_path, printed, axes):
    write_debug(tmp_path, DEBUG_MIRRORED, printed)
    assert weaker_evidence(tmp_path).declared == axes


@pytest.mark.parametrize("printed", ["<object at 0x7f>", "slice(0, 1)", "(a, b)"])
def test_axes_that_cannot_be_read_back_are_unset(tmp_path, printed):
    write_debug(tmp_path, DEBUG_MIRRORED, printed)
    assert weaker_evidence(tmp_path).declared is msgspec.UNSET


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"a": 1}', "\x00\x01", "[" * 100_000])
def test_a_broken_debug_json_is_no_evidence(tmp_path, text):
    (tmp_path / "debug.json").write_text(text)
    assert weaker_evidence(tmp_path) is None


def test_a_copy_of_the_record_beats_debug_json(tmp_path):
    write_debug(tmp_path, DEBUG_PLAIN)
    (tmp_path / "nnguard.json").write_text(record_of().to_json())
    evidence = weaker_evidence(tmp_path)
    assert evidence.grade == "nnguard.json"
    assert evidence.record == record_of()


def test_a_broken_copy_of_the_record_is_passed_over(tmp_path):
    write_debug(tmp_path, DEBUG_PLAIN)
    (tmp_path / "nnguard.json").write_text("{")
    assert weaker_evidence(tmp_path).grade == "debug.json"
