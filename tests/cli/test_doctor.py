"""Claims about ``nnguard doctor``. Importing nnU-Net takes its time, so that most ask only for the start."""

import json

import pytest

from nnguard.cli import doctor


def test_without_the_variable_nothing_is_guarded_and_it_says_how(nnguard):
    done = nnguard("doctor", "--quick")
    assert done.status == 1
    assert "NNGUARD is not set" in done.out
    assert "armed at their start, were NNGUARD warn" in done.out


def test_with_the_variable_interpreters_are_armed(nnguard, monkeypatch):
    monkeypatch.setenv("NNGUARD", "strict")
    done = nnguard("doctor", "--quick", "--format", "json")
    data = json.loads(done.out)
    assert done.status == 0
    assert data["active"] is True
    assert data["armed_at_start"] is True
    assert data["reasons"] == []


def test_off_is_a_reason(nnguard, monkeypatch):
    monkeypatch.setenv("NNGUARD", "off")
    done = nnguard("doctor", "--quick")
    assert done.status == 1
    assert "switches the guard off" in done.out


def test_an_unreadable_mode_is_exit_2(nnguard, monkeypatch):
    monkeypatch.setenv("NNGUARD", "stict")
    assert nnguard("doctor", "--quick").status == 2


def answer(**changes):
    status = {"active": True, "inactive": [], "targets": {}, "versions": {}}
    return {"armed_at_start": True, "import_error": None, "status": status, "nnunetv2_path": "x", **changes}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"armed_at_start": False}, "a fresh interpreter is not armed"),
        ({"import_error": "No module named 'nnunetv2'"}, "nnU-Net cannot be imported"),
        ({"status": {**answer()["status"], "active": False, "inactive": ["no such method"]}}, "no such method"),
    ],
)
def test_each_reason_is_named(nnguard, monkeypatch, changes, reason):
    monkeypatch.setattr(doctor, "ask", lambda how, environment: answer(**changes))
    monkeypatch.setenv("NNGUARD", "warn")
    done = nnguard("doctor")
    assert done.status == 1
    assert reason in done.out


def test_missing_targets_of_a_fork_are_listed(nnguard, monkeypatch):
    targets = {"nnUNetPredictor": {"patched": ["a", "b"], "missing": ["predict_from_files"]}}
    monkeypatch.setattr(
        doctor, "ask", lambda how, environment: answer(status={**answer()["status"], "targets": targets})
    )
    monkeypatch.setenv("NNGUARD", "warn")
    done = nnguard("doctor")
    assert done.status == 0
    assert "nnUNetPredictor: 2 targets patched, missing: predict_from_files" in done.out


def test_an_interpreter_that_says_nothing_is_exit_2(nnguard, monkeypatch):
    monkeypatch.setattr(doctor, "QUESTION", "import sys; sys.exit('broken environment')")
    done = nnguard("doctor")
    assert done.status == 2
    assert "broken environment" in done.err


@pytest.mark.slow
def test_real_nnunet_is_found_guarded(nnguard, monkeypatch):
    monkeypatch.setenv("NNGUARD", "strict")
    data = json.loads(nnguard("doctor", "--format", "json").out)
    assert data["active"] is True
    assert data["status"]["targets"]["nnUNetPredictor"]["patched"]


TARGETS = {"nnUNetPredictor": {"patched": ["a", "b"], "missing": []}, "torch": {"patched": ["save"], "missing": []}}


@pytest.mark.parametrize("setting", [None, "off"])
def test_what_is_not_active_is_only_said_to_be_possible(nnguard, monkeypatch, setting):
    monkeypatch.setattr(
        doctor, "ask", lambda how, environment: answer(status={**answer()["status"], "targets": TARGETS})
    )
    if setting:
        monkeypatch.setenv("NNGUARD", setting)
    done = nnguard("doctor")
    assert done.status == 1
    assert "nnUNetPredictor: 2 targets would be patched" in done.out
    assert "torch: 1 target would be patched" in done.out
    assert "targets patched" not in done.out
    assert "not active: nnU-Net runs unguarded here" in done.out
    data = json.loads(nnguard("doctor", "--format", "json").out)
    assert (data["active"], data["setting"], data["asked_with"]) == (False, setting, "warn")


def test_what_is_active_is_said_to_be_so(nnguard, monkeypatch):
    monkeypatch.setattr(
        doctor, "ask", lambda how, environment: answer(status={**answer()["status"], "targets": TARGETS})
    )
    monkeypatch.setenv("NNGUARD", "strict")
    done = nnguard("doctor")
    assert done.status == 0
    assert "nnUNetPredictor: 2 targets patched" in done.out
    assert "would be" not in done.out
    assert json.loads(nnguard("doctor", "--format", "json").out)["asked_with"] == "strict"


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("NNGUARD_LOG", "/no/such/folder/x.log", "there is no folder /no/such/folder"),
        ("NNGUARD_LOG", "jsno", "expected one of off, console, json, or a path"),
    ],
)
def test_a_setting_that_cannot_be_used_has_its_line(nnguard, monkeypatch, variable, value, said):
    monkeypatch.setattr(doctor, "ask", lambda how, environment: answer())
    monkeypatch.setenv("NNGUARD", "warn")
    monkeypatch.setenv(variable, value)
    done = nnguard("doctor")
    (line,) = [line for line in done.out.splitlines() if variable in line and "=" in line]
    assert (done.status, said in line) == (0, True)
    assert json.loads(nnguard("doctor", "--format", "json").out)["settings_in_doubt"] != []


@pytest.mark.parametrize(
    ("variable", "value"),
    [("NNGUARD_LOG", "off"), ("NNGUARD_LOG", "json")],
)
def test_a_setting_that_can_be_used_has_none(nnguard, monkeypatch, variable, value):
    monkeypatch.setattr(doctor, "ask", lambda how, environment: answer())
    monkeypatch.setenv("NNGUARD", "warn")
    monkeypatch.setenv(variable, value)
    assert variable not in nnguard("doctor").out
