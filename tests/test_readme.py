"""Claims about the README: what it lists is what there is."""

import re
from pathlib import Path

import pytest

import nnguard
from nnguard.cli import COMMANDS, group
from nnguard.findings import ADVISORY, HARMFUL, NOTE, RULES, UNVERIFIED
from nnguard.report.text import SEVERITY_WORDS
from nnguard.settings import MODES, Policy

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/architecture.md")]
README = PAGES[0].read_text(encoding="utf-8")


def rows(heading):
    """The cells of the first table below a heading, without its head."""
    section = README.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_the_table_of_rules_is_the_catalogue():
    assert rows("Rules") == [[rule.code, rule.name, rule.severity, rule.summary] for rule in RULES.values()]


def test_the_table_of_modes_is_the_policy():
    for cells in rows("Modes")[1:]:
        mode = cells[0].split("`")[1]
        told = [cell.split()[0].replace("put", "correct") for cell in cells[1:]]
        assert told == [MODES[mode][column] for column in (HARMFUL, ADVISORY, NOTE, UNVERIFIED)], mode
    assert {cells[0].split("`")[1] for cells in rows("Modes")} == {"off", *MODES}


def test_the_commands_are_there_and_do_what_the_table_says():
    there = group.list_commands(None)
    for name, summary in rows("Commands"):
        assert name.strip("`") in there
        assert summary == COMMANDS[name.strip("`")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_setting_that_a_page_shows_can_be_read(page):
    shown = re.findall(r"\bNNGUARD=([\w,=]+)", page.read_text(encoding="utf-8"))
    for setting in set(shown) - {"stict", "MODE"}:
        Policy.parse(setting)


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=lambda page: page.name)
def test_every_file_that_a_page_names_is_there(page):
    named = re.findall(
        r"`((?:docs|scripts|tests|benchmarks|report|rules|checkpoint|probe|effect|training|models|hooks|cli)/[\w./]+)`",
        page.read_text("utf-8"),
    )
    assert named
    for name in named:
        if "NNGxxx" in name or "NAME" in name:
            continue
        places = [ROOT / name, ROOT / "src/nnguard" / name]
        assert any(path.exists() or path.with_suffix(".py").exists() for path in places), name


def test_every_public_name_that_the_readme_uses_is_public():
    for name in set(re.findall(r"\bnnguard\.(\w+)", README)) - {"json"}:
        assert name in nnguard.__all__, name


def test_the_findings_in_its_examples_are_headed_as_they_are_printed():
    heads = re.findall(r"^(NNG\d{3}) ([\w-]+) \(([^)]*)\): ", README, re.MULTILINE)
    assert heads
    for code, name, words in heads:
        assert (RULES[code].name, SEVERITY_WORDS[RULES[code].severity]) == (name, words)


def test_every_command_has_its_exit_statuses():
    named = {name for cells in rows("Output and exit status") for name in re.findall(r"`(\w+)`", cells[0])}
    assert named == set(COMMANDS)
