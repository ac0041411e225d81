"""Claims about judging a model folder: records first, weaker evidence graded."""

import json
from pathlib import Path

import pytest

from nnguard.errors import CheckpointError
from nnguard.findings import HARMFUL
from nnguard.models import check_model
from tests.support.checkpoints import (
    DEBUG_MIRRORED,
    DEBUG_PLAIN,
    PLANS,
    save_checkpoint,
    save_model,
    write_debug,
)
from tests.support.records import record_of

SEED_BUG = {"axes": (0, 1), "record": record_of(mirrored=(), declared=(0, 1))}
SOUND = {"axes": (0, 1), "record": record_of()}


def found(findings):
    return {finding.code: finding.severity for finding in findings}


def test_a_sound_model_has_no_finding(tmp_path):
    assert check_model(save_model(tmp_path, (0, 1), **SOUND)) == []


def test_the_seed_bug_is_found_from_its_record(tmp_path):
    assert found(check_model(save_model(tmp_path, **SEED_BUG)))["NNG101"] == "harmful"


def test_without_mirroring_the_seed_bug_is_harmless(tmp_path):
    assert check_model(save_model(tmp_path, **SEED_BUG), use_mirroring=False) == []


def test_disable_tta_on_a_mirrored_training_is_told(tmp_path):
    assert found(check_model(save_model(tmp_path, **SOUND), use_mirroring=False)) == {"NNG102": "advisory"}


def test_given_axes_replace_the_checkpoints(tmp_path):
    folder = save_model(tmp_path, axes=None, record=record_of(mirrored=(), declared=None))
    assert check_model(folder) == []
    assert found(check_model(folder, mirroring_axes=(0,)))["NNG101"] == "harmful"


def test_every_fold_is_judged_by_the_first_ones_axes(tmp_path):
    save_model(tmp_path, (0,), **SOUND)
    save_checkpoint(
        tmp_path / "fold_1/checkpoint_final.pth",
        axes=None,
        record=record_of(mirrored=(), declared=None, fold=1),
        fold=1,
    )
    findings = [finding for finding in check_model(tmp_path) if finding.code == "NNG101"]
    assert [Path(finding.subject).parent.name for finding in findings] == ["fold_1"]
    assert "first fold" in findings[0].seen


def test_no_record_and_no_evidence_is_unverified(tmp_path):
    assert found(check_model(save_model(tmp_path))) == {"NNG108": "advisory"}


def test_the_seed_bug_without_a_record_is_found_from_debug_json_as_advice(tmp_path):
    findings = check_model(save_model(tmp_path, debug=DEBUG_PLAIN))
    assert found(findings) == {"NNG101": "advisory", "NNG108": "note"}
    finding = next(finding for finding in findings if finding.code == "NNG101")
    assert finding.evidence["grade"] == "debug.json"
    assert "debug.json" in finding.message


def test_a_default_model_with_debug_json_is_unverified_all_the_same(tmp_path):
    findings = check_model(save_model(tmp_path, debug=DEBUG_MIRRORED))
    assert found(findings) == {"NNG108": "advisory"}
    assert "fits mirroring along (0, 1)" in findings[0].message
    assert findings[0].evidence["grade"] == "debug.json"


def test_an_unknown_transform_in_debug_json_condemns_nothing(tmp_path):
    text = DEBUG_PLAIN.replace("RemoveLabelTransform", "MyFlip( a = 1 ), RemoveLabelTransform")
    assert found(check_model(save_model(tmp_path, debug=text))) == {"NNG108": "advisory"}


def test_a_rare_mirror_in_debug_json_is_rare(tmp_path):
    mirror = "MirrorTransform( allowed_axes = (0, 1) )"
    text = DEBUG_MIRRORED.replace(mirror, f"RandomTransform(p=0.05, transform={mirror})")
    assert found(check_model(save_model(tmp_path, debug=text)))["NNG101"] == "advisory"


def test_axes_edited_since_debug_json_are_told(tmp_path):
    save_model(tmp_path, axes=(0, 1))
    write_debug(tmp_path / "fold_0", DEBUG_MIRRORED, (0,))
    assert found(check_model(tmp_path))["NNG109"] == "advisory"


def test_a_copy_of_the_record_advises(tmp_path):
    save_model(tmp_path)
    (tmp_path / "fold_0/nnguard.json").write_text(record_of(mirrored=()).to_json())
    assert found(check_model(tmp_path)) == {"NNG101": "advisory", "NNG108": "note"}


@pytest.mark.parametrize("debug", [None, DEBUG_PLAIN, DEBUG_MIRRORED])
def test_malformed_axes_need_no_evidence(tmp_path, debug):
    assert found(check_model(save_model(tmp_path, axes=(), debug=debug)))["NNG105"] == HARMFUL


def test_a_broken_record_is_told_with_its_reason(tmp_path):
    (finding,) = check_model(save_model(tmp_path, record="{"))
    assert finding.code == "NNG108"
    assert "not the JSON text" in finding.seen


def test_an_unreadable_fold_is_an_error_and_not_a_pass(tmp_path):
    save_model(tmp_path, (0, 1), **SOUND)
    (tmp_path / "fold_1/checkpoint_final.pth").write_bytes(b"")
    with pytest.raises(CheckpointError, match="fold_1"):
        check_model(tmp_path)


def test_edited_plans_are_found(tmp_path):
    save_model(tmp_path, **SOUND)
    plans = json.loads(json.dumps(PLANS))
    plans["configurations"]["2d"]["spacing"] = [2.0, 2.0]
    (tmp_path / "plans.json").write_text(json.dumps(plans))
    assert found(check_model(tmp_path)) == {"NNG201": "harmful"}


def test_a_gap_between_training_and_validation_is_told(tmp_path):
    save_model(tmp_path, **SOUND)
    summary = tmp_path / "fold_0/validation/summary.json"
    summary.parent.mkdir()
    summary.write_text(json.dumps({"foreground_mean": {"Dice": 0.3}}))
    assert found(check_model(tmp_path)) == {"NNG401": "advisory"}
    summary.write_text(json.dumps({"foreground_mean": {"Dice": 0.8}}))
    assert check_model(tmp_path) == []
