"""Claims about the pages of the rules."""

import ast
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from nnguard.findings import RULES
from nnguard.report.rule_pages import PARTS, rule_page
from nnguard.settings import Policy

CODE = re.compile(r"```(\w*)\n(.*?)```", re.S)


@pytest.mark.parametrize("code", RULES)
def test_a_page_has_every_part_in_order(code):
    assert re.findall(r"^## (.*)$", rule_page(code), re.M) == list(PARTS)


@pytest.mark.parametrize("code", RULES)
def test_no_part_is_empty(code):
    for part in re.split(r"^## .*$", rule_page(code), flags=re.M)[1:]:
        assert len(part.strip()) > 20


@pytest.mark.parametrize("code", RULES)
def test_a_page_begins_with_the_catalogues_line_and_sentence(code):
    rule = RULES[code]
    title, _, rest = rule_page(code).partition("\n\n")
    assert title == f"# {code} {rule.name} ({rule.severity})"
    assert " ".join(rest.split("\n\n## ")[0].split()) == rule.summary


@pytest.mark.parametrize("code", RULES)
def test_a_page_silences_its_own_rule(code):
    (setting,) = re.findall(r"NNGUARD=(\S*ignore)", rule_page(code))
    assert Policy.parse(setting).overrides == {code: "ignore"}


@pytest.mark.parametrize("code", RULES)
def test_examples_can_be_read_by_their_language(code):
    for language, text in CODE.findall(rule_page(code)):
        if language == "python":
            ast.parse(text)
        if language == "json":
            json.loads("{" + text + "}")


@pytest.mark.parametrize("code", RULES)
def test_lines_fit_a_terminal(code):
    prose = CODE.sub("", rule_page(code))
    assert max(map(len, prose.splitlines())) <= 100


def test_rules_that_a_page_names_exist():
    for code in RULES:
        assert set(re.findall(r"NNG\d{3}", rule_page(code))) <= set(RULES)


def test_a_page_of_no_rule_is_an_error():
    with pytest.raises(KeyError):
        rule_page("NNG999")


@pytest.mark.slow
def test_the_wheel_carries_every_page(tmp_path):
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=root, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {f"nnguard/rules/{rule.module}.py" for rule in RULES.values()} <= names
    assert "nnguard/report/audit.html.jinja" in names


def test_the_documentation_lists_what_the_script_prints():
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, root / "scripts" / "rules"], capture_output=True, text=True, check=True)
    assert (root / "docs" / "rules.md").read_text(encoding="utf-8") == done.stdout
