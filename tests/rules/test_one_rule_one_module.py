"""Claims about the folder of rules: one rule, one module, and a new rule is one new file."""

import ast
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import nnguard
from nnguard.findings import RULES, SEVERITIES
from tests.support.checkpoints import save_model
from tests.support.records import record_of

ROOT = Path(__file__).parents[2]
PACKAGE = Path(nnguard.__file__).parent

NEW_RULE = '''"""An example of a rule, which speaks of every prediction.

## Why it matters

It shows that one file is all that a new rule takes.

## Bad

No file.

## Good

This file.

## How to mend it

Remove the file.

## How to silence it

NNGUARD=warn,NNG199=ignore
"""

from __future__ import annotations

from ..findings import ADVISORY, Finding
from ..record import Record
from .subjects import Prediction

SEVERITY = ADVISORY


def check_prediction(record: Record | None, prediction: Prediction) -> list[Finding]:
    return [Finding("NNG199", prediction.subject, "Somebody predicts.")]
'''


def tree(code):
    return ast.parse(RULES[code].source)


@pytest.mark.parametrize("code", RULES)
def test_a_rule_makes_findings_of_no_other_rule(code):
    made = {
        call.args[0].value
        for call in ast.walk(tree(code))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "Finding"
    }
    assert made == {code}


@pytest.mark.parametrize("code", RULES)
def test_no_rule_imports_another_rule(code):
    imported = [node.module or "" for node in ast.walk(tree(code)) if isinstance(node, ast.ImportFrom)]
    assert not [name for name in imported if name.startswith("nng")]


@pytest.mark.parametrize("code", RULES)
def test_a_rule_has_a_check_a_severity_and_a_page_of_its_own(code):
    module = tree(code)
    checks = [one.name for one in module.body if isinstance(one, ast.FunctionDef) and one.name.startswith("check_")]
    assert checks
    assert [name for name in checks if RULES[code].defines(name)] == checks
    assert RULES[code].severity in SEVERITIES
    assert RULES[code].explanation == ast.get_docstring(module, clean=False)


def test_severities_and_pages_are_known_where_python_drops_docstrings_and_without_importing_a_rule():
    code = (
        "import json, sys; before = set(sys.modules); from nnguard.findings import RULES\n"
        "told = [[rule.code, rule.severity, rule.explanation] for rule in RULES.values()]\n"
        "imported = sorted(name for name in set(sys.modules) - before if 'rules' in name or 'msgspec' in name)\n"
        "print(json.dumps([told, imported]))"
    )
    done = subprocess.run([sys.executable, "-OO", "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [[[rule.code, rule.severity, rule.explanation] for rule in RULES.values()], []]


# ---------------------------------------------------------------- a new rule


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs Python with a copy of nnguard that has one more rule, and one more module that is no rule."""
    copy = tmp_path / "src" / "nnguard"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(PACKAGE.parent / "_nnguard_start.py", copy.parent)
    (copy / "rules" / "nng199_example_rule.py").write_text(NEW_RULE, "utf-8")
    (copy / "rules" / "more_words.py").write_text(NEW_RULE.replace("NNG199", "NNG198"), "utf-8")
    monkeypatch.setenv("PYTHONPATH", str(copy.parent))
    monkeypatch.delenv("NNGUARD", raising=False)

    def in_the_copy(*arguments):
        return subprocess.run([sys.executable, *map(str, arguments)], capture_output=True, text=True, cwd=tmp_path)

    return in_the_copy


@pytest.fixture
def command(run):
    return lambda *arguments: run("-c", "import sys; from nnguard.cli import main; sys.exit(main())", *arguments)


def listed(text):
    return re.findall(r"^(?:\| )?(NNG\d+)", text, re.MULTILINE)


WITH_THE_NEW_RULE = sorted([*RULES, "NNG199"])


def test_a_new_rule_is_listed_and_what_is_no_rule_is_not(command):
    assert listed(command("rule").stdout) == WITH_THE_NEW_RULE
    assert "advisory  example-rule" in command("rule").stdout


def test_a_new_rule_has_its_page_as_text_and_as_json(command):
    title = "# NNG199 example-rule (advisory)"
    assert command("rule", "example-rule").stdout.startswith(f"{title}\n\nAn example of a rule,")
    (rule,) = json.loads(command("rule", "NNG199", "--format", "json").stdout)["rules"]
    assert rule["page"].startswith(title)
    assert command("rule", "more-words").returncode == 2


@pytest.mark.parametrize(("level", "status"), [("harmful", 0), ("advisory", 1)])
def test_a_new_rule_speaks_and_counts_in_the_exit_status(command, tmp_path, level, status):
    model = save_model(tmp_path / "Dataset002_Discs/nnUNetTrainer__nnUNetPlans__2d", (0, 1), record=record_of())
    done = command("check", model, "--fail-level", level, "--format", "json")
    assert done.returncode == status, done.stderr
    assert {one["code"] for one in json.loads(done.stdout)["findings"]} == {"NNG199"}


def test_without_the_new_rule_the_same_model_passes(tmp_path, monkeypatch):
    from nnguard.cli import main

    monkeypatch.delenv("NNGUARD", raising=False)
    model = save_model(tmp_path / "Dataset002_Discs/nnUNetTrainer__nnUNetPlans__2d", (0, 1), record=record_of())
    assert main(["check", str(model), "--fail-level", "advisory"]) == 0


@pytest.mark.parametrize(
    ("word", "overrides"), [("NNG199", ["NNG199"]), ("example-rule", ["NNG199"]), ("NNG198", None)]
)
def test_a_new_rule_is_understood_in_a_setting_and_what_is_no_rule_is_refused(run, word, overrides):
    code = "import sys; from nnguard.settings import Policy; print(list(Policy.parse(sys.argv[1]).overrides))"
    done = run("-c", code, f"strict,{word}=warn")
    assert (done.returncode == 0, done.stdout.strip()) == (overrides is not None, str(overrides or "").strip())


def test_a_new_rule_that_is_ignored_is_silent(command, tmp_path, monkeypatch):
    model = save_model(tmp_path / "Dataset002_Discs/nnUNetTrainer__nnUNetPlans__2d", (0, 1), record=record_of())
    monkeypatch.setenv("NNGUARD", "warn,example-rule=ignore")
    done = command("check", model, "--fail-level", "advisory")
    assert (done.returncode, "NNG199" in done.stdout) == (0, False), done.stdout + done.stderr


def test_a_new_rule_is_in_the_table_of_the_documentation(run):
    assert listed(run(ROOT / "scripts" / "rules").stdout) == WITH_THE_NEW_RULE
