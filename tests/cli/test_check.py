"""Claims about ``nnguard check``."""

import json

import pytest

from nnguard.record import Environment
from tests.support.checkpoints import DEBUG_MIRRORED, DEBUG_PLAIN, export, save_checkpoint, save_model
from tests.support.records import record_of


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
    save_checkpoint(sound / "fold_all/checkpoint_final.pth", record=record_of(mirrored=()), fold="all")
    assert nnguard("check", sound).status == 0
    assert nnguard("check", sound, "-f", "all").status == 1


def test_another_checkpoint_is_chosen_by_its_name(nnguard, sound):
    save_checkpoint(sound / "fold_0/checkpoint_best.pth", record=record_of(mirrored=()))
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
    assert nnguard("check", fine).status == 0
    assert nnguard("check", fine, "--fail-level", "advisory").status == 1  # nothing was observed


def test_json_has_the_contracts_keys(nnguard, trapped):
    data = json.loads(nnguard("check", trapped, "--format", "json").out)
    assert set(data) == {"schema_version", "findings", "checked", "skipped", "errors"}
    finding = data["findings"][0]
    assert {"code", "name", "severity", "message", "subject", "evidence", "remedy"} <= set(finding)


def test_other_versions_than_in_training_are_a_note(nnguard, tmp_path, monkeypatch):
    here = Environment(nnunetv2="2.8.1", torch="2.15.0")
    monkeypatch.setattr(Environment, "here", lambda: here)
    environment = Environment(nnunetv2="2.2.1", torch="1.0")
    folder = save_model(tmp_path / "model", (0, 1), record=record_of(environment=environment))
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
    done = nnguard("check", lone, "--format", "json")
    assert (done.status, json.loads(done.out)["kind"]) == (0, "checkpoint")


NAMES = ("check", "inspect", "audit")


@pytest.mark.parametrize("output_format", ["text", "json"])
@pytest.mark.parametrize("what", [".", "fold_0", "fold_0/checkpoint_final.pth", "..", "../model.zip"])
def test_what_lies_there_decides_what_is_shown_and_not_the_name(nnguard, trapped, what, output_format):
    export(trapped.parent / "model.zip", trapped)
    shown = {nnguard(name, trapped / what, "--format", output_format) for name in NAMES}
    assert len(shown) == 1
    assert "NNG101" in shown.pop().out


def test_one_checkpoint_is_inspected_one_model_checked_and_a_tree_audited(nnguard, sound, trapped):
    shapes = [
        set(json.loads(nnguard("check", *paths, "--format", "json").out))
        for paths in ([sound / "fold_0/checkpoint_final.pth"], [sound], [sound / "fold_0"], [sound.parent])
    ]
    document = {"schema_version", "findings", "checked", "skipped", "errors"}
    assert {"kind", "record", "declared_axes"} < shapes[0]
    assert shapes[1:] == [document, document, {*document, "models"}]
    several = json.loads(nnguard("check", sound, trapped / "fold_0/checkpoint_final.pth", "--format", "json").out)
    assert [one["verdict"] for one in several["models"]] == ["clean", "harmful"]


@pytest.mark.parametrize("inside", [False, True])
def test_a_fold_is_checked_within_its_model(nnguard, sound, monkeypatch, inside):
    save_checkpoint(sound / "fold_0/checkpoint_final.pth", record=record_of(mirrored=()))
    if inside:
        monkeypatch.chdir(sound / "fold_1")
    assert nnguard("check", "." if inside else sound / "fold_1").status == 0
    assert nnguard("check", sound / "fold_0").status == 1


def test_folds_are_those_of_one_model(nnguard, sound, trapped):
    for paths in ([sound.parent], [sound, trapped]):
        assert nnguard("check", *paths, "-f", "0").status == 2


def test_audit_without_a_path_checks_nnunets_results(nnguard, trapped, monkeypatch):
    monkeypatch.setenv("nnUNet_results", str(trapped.parents[1]))
    assert nnguard("audit") == nnguard("audit", trapped.parents[1])
    assert nnguard("check").status == nnguard("inspect").status == 2
    monkeypatch.delenv("nnUNet_results")
    assert nnguard("audit").status == 2


def test_checkpoints_without_folds_around_them_are_checked_one_by_one(nnguard, sound, trapped, tmp_path):
    for number, model in enumerate((sound, trapped)):
        (tmp_path / f"loose_{number}.pth").write_bytes((model / "fold_0/checkpoint_final.pth").read_bytes())
    loose = tmp_path / "loose"
    loose.mkdir()
    for file in tmp_path.glob("*.pth"):
        file.rename(loose / file.name)
    data = json.loads(nnguard("check", loose, "--format", "json").out)
    assert [one["verdict"] for one in data["models"]] == ["clean", "harmful"]
