"""Claims about ``nnguard check``."""

import json

import pytest

from checkpoints import DEBUG_MIRRORED, DEBUG_PLAIN, export, make_record, save_checkpoint, save_model
from nnguard.record import Environment


def codes(done):
    return sorted({finding["code"] for finding in json.loads(done.out)["findings"]})


def test_a_sound_model_is_exit_0(nnguard, sound):
    done = nnguard("check", sound)
    assert (done.status, done.err) == (0, "")
    assert "no findings" in done.out


def test_the_trap_is_exit_1(nnguard, trapped):
    done = nnguard("check", trapped)
    assert done.status == 1
    assert "NNG101" in done.out


def test_disable_tta_makes_the_trap_harmless(nnguard, trapped):
    assert nnguard("check", trapped, "--disable_tta").status == 0


def test_disable_tta_on_a_mirrored_training_is_advice(nnguard, sound):
    assert nnguard("check", sound, "--disable_tta").status == 0
    assert nnguard("check", sound, "--disable_tta", "--fail-level", "advisory").status == 1


@pytest.mark.parametrize("spelt", [["-f", "0", "1"], ["-f", "0", "-f", "1"]])
@pytest.mark.parametrize("last", [True, False])
def test_folds_are_spelt_as_in_nnunet(nnguard, sound, spelt, last):
    order = [sound, *spelt] if last else [*spelt, sound]
    done = nnguard("check", *order, "--format", "json")
    assert [path.split("/")[-2] for path in json.loads(done.out)["checked"]] == ["fold_0", "fold_1"]


def test_one_fold_is_one_fold(nnguard, sound):
    done = nnguard("check", "-f", "1", sound, "--format", "json")
    assert [path.split("/")[-2] for path in json.loads(done.out)["checked"]] == ["fold_1"]


def test_fold_all_is_asked_for(nnguard, sound):
    save_checkpoint(sound / "fold_all/checkpoint_final.pth", record=make_record(mirrored=()), fold="all")
    assert nnguard("check", sound).status == 0
    assert nnguard("check", sound, "-f", "all").status == 1


def test_another_checkpoint_is_chosen_by_its_name(nnguard, sound):
    save_checkpoint(sound / "fold_0/checkpoint_best.pth", record=make_record(mirrored=()))
    assert nnguard("check", sound, "-chk", "checkpoint_best.pth").status == 1


def test_an_asked_for_fold_that_is_missing_is_exit_2(nnguard, sound):
    done = nnguard("check", sound, "-f", "0", "7", "--format", "json")
    assert done.status == 2
    assert "fold_7" in json.loads(done.out)["errors"][0]


def test_weak_evidence_is_shown_and_is_no_failure(nnguard, tmp_path):
    trapped = save_model(tmp_path / "trapped", debug=DEBUG_PLAIN)
    fine = save_model(tmp_path / "fine", debug=DEBUG_MIRRORED)
    assert nnguard("check", trapped).status == 0
    assert codes(nnguard("check", trapped, "--format", "json")) == ["NNG101", "NNG108"]
    assert nnguard("check", trapped, "--fail-level", "advisory").status == 1
    assert nnguard("check", fine, "--fail-level", "advisory").status == 0


def test_json_has_the_contracts_keys(nnguard, trapped):
    data = json.loads(nnguard("check", trapped, "--format", "json").out)
    assert set(data) == {"schema_version", "findings", "checked", "skipped", "errors"}
    finding = data["findings"][0]
    assert {"code", "name", "severity", "message", "subject", "evidence", "remedy"} <= set(finding)


def test_other_versions_than_in_training_are_a_note(nnguard, tmp_path, monkeypatch):
    here = Environment(nnunetv2="2.8.1", torch="2.15.0")
    monkeypatch.setattr(Environment, "here", lambda: here)
    environment = Environment(nnunetv2="2.2.1", torch="1.0")
    folder = save_model(tmp_path / "model", (0, 1), record=make_record(environment=environment))
    findings = json.loads(nnguard("check", folder, "--format", "json").out)["findings"]
    assert [(one["code"], one["severity"]) for one in findings] == [("NNG501", "note")]


def test_missing_plans_are_exit_2(nnguard, sound):
    (sound / "plans.json").unlink()
    done = nnguard("check", sound)
    assert done.status == 2
    assert "plans.json" in done.err


@pytest.mark.parametrize(("columns", "widest"), [("60", 60), ("30", 40), ("500", 100), ("", 100), ("wide", 100)])
@pytest.mark.parametrize("command", ["check", "inspect"])
def test_paragraphs_are_as_wide_as_columns_says(nnguard, trapped, monkeypatch, command, columns, widest):
    monkeypatch.setenv("COLUMNS", columns)
    out = nnguard(command, trapped).out
    seen = out[out.index("  Seen:") : out.index("  Remedy:")].splitlines()
    assert widest - 15 < max(map(len, seen)) <= widest


def test_what_nnguard_says_here_is_kept_in_what_it_advises(nnguard, trapped, monkeypatch):
    monkeypatch.setenv("NNGUARD", "correct,NNG401=ignore")
    out = nnguard("check", trapped).out
    assert "NNGUARD=correct,NNG401=ignore,NNG101=ignore" in out
    assert "let nnguard narrow" not in out


def test_an_exported_zip_stands_in_a_folders_place(nnguard, sound, trapped, tmp_path):
    archive = export(tmp_path / "model.zip", sound, trapped)
    done = nnguard("check", archive)
    assert done.status == 1
    assert "nnUNetTrainer__nnUNetPlans__2d: fold 0, 1, " in done.out
    assert "nnUNetTrainerNoMirror__nnUNetPlans__2d: fold 0, 1, " in done.out
    assert nnguard("check", archive, "--disable_tta").status == 0
    data = json.loads(nnguard("check", archive, "-f", "1", "--format", "json").out)
    assert [path.rpartition("!")[2].split("/")[-2] for path in data["checked"]] == ["fold_1", "fold_1"]


def test_a_checkpoint_is_no_exported_zip(nnguard, sound, tmp_path):
    lone = tmp_path / "lone.zip"
    lone.write_bytes((sound / "fold_0/checkpoint_final.pth").read_bytes())
    done = nnguard("check", lone)
    assert (done.status, len(done.err.splitlines())) == (2, 1)
    assert "nnguard inspect" in done.err


def test_a_results_tree_and_a_lone_checkpoint_are_pointed_to_their_commands(nnguard, sound):
    assert f"nnguard audit {sound.parent}" in nnguard("check", sound.parent).err
    checkpoint = sound / "fold_0/checkpoint_final.pth"
    assert f"nnguard inspect {checkpoint}" in nnguard("check", checkpoint).err
    assert "nnguard audit" not in nnguard("check", sound, "-chk", "checkpoint_x.pth").err
