"""Claims about what the environment may say, who reads it, and what ``NNGUARD`` may say of rules."""

import re
from pathlib import Path

import pytest

from nnguard.errors import ConfigurationError
from nnguard.findings import HEIRS, RULES, codes_named
from nnguard.settings import Policy, Settings

SRC = Path(__file__).parents[1] / "src"

#: Which modules may name ``os.environ``, and how: to read it, to write to it, or to hand all of it to a command.
READS = {"nnguard/settings.py", "_nnguard_start.py"}
WRITES = {"nnguard/hooks/trial_start.py", "nnguard/demo/preparation.py"}
HANDS_ON = {"nnguard/cli/run.py", "nnguard/cli/doctor.py", "nnguard/demo/workspace.py"}


def uses_of_the_environment():
    for path in SRC.rglob("*.py"):
        for use in re.findall(r".*os\.(?:environ|getenv).*", path.read_text("utf-8")):
            yield path.relative_to(SRC).as_posix(), use.strip()


def test_one_module_reads_the_environment():
    uses = list(uses_of_the_environment())
    assert {place for place, _ in uses} == READS | WRITES | HANDS_ON
    for place, use in uses:
        if place in WRITES:
            assert re.match(r"os\.environ(\[\w+\] = |\.update\()", use), (place, use)
        if place in HANDS_ON:
            assert "**os.environ" in use, (place, use)


def test_what_the_environment_says_is_read_once_and_does_not_change():
    environ = {"NNGUARD": "strict", "NNGUARD_PREVIEW": "1", "nnUNet_results": "there", "COLUMNS": "60"}
    settings = Settings.from_environment(environ)
    environ.clear()
    assert (settings.mode, settings.preview, settings.results, settings.columns) == ("strict", True, "there", 60)
    with pytest.raises(AttributeError, match="read-only"):
        settings.mode = "off"
    with pytest.raises(AttributeError, match="read-only"):
        del settings.mode


def test_an_empty_environment_asks_for_nothing():
    settings = Settings.from_environment({})
    assert repr(settings) == repr(Settings())
    assert settings.policy() == Policy("warn")
    assert Settings.from_environment({"NNGUARD": "off"}).policy() is None


@pytest.mark.parametrize("off", ["", "0", "off"])
def test_a_switch_that_is_off_is_off(off):
    settings = Settings.from_environment({"NNGUARD_PREVIEW": off, "NNGUARD_FLIPTEST": off})
    assert (settings.preview, settings.fliptest) == (False, False)


def test_reading_never_raises_and_an_unreadable_mode_is_refused_when_it_is_used():
    settings = Settings.from_environment({"NNGUARD": "stict", "COLUMNS": "9" * 5000})
    assert (settings.mode, settings.columns) == ("stict", None)
    with pytest.raises(ConfigurationError, match="stict"):
        settings.policy()


@pytest.mark.parametrize(("columns", "width"), [("80", 80), ("0", None), ("-1", None), ("wide", None), ("", None)])
def test_columns_is_a_width_or_nothing(columns, width):
    assert Settings.from_environment({"COLUMNS": columns}).columns == width


@pytest.mark.parametrize("word", ["NNG101", "nng101", "unseen-flip", "Unseen-Flip"])
def test_a_rule_is_meant_by_its_code_or_its_name(word):
    assert Policy.parse(f"strict,{word}=warn").overrides == {"NNG101": "warn"}


def test_a_family_means_each_of_its_rules():
    assert Policy.parse("strict,NNG4*=ignore").overrides == {"NNG401": "ignore", "NNG402": "ignore"}
    assert Policy.parse("strict,NNG4*=ignore,NNG401=warn").overrides == {"NNG401": "warn", "NNG402": "ignore"}


def test_a_rule_that_went_means_the_one_that_took_its_place():
    for gone, heir in HEIRS.items():
        assert gone not in RULES
        assert Policy.parse(f"strict,{gone}=warn").overrides == ({heir: "warn"} if heir else {})
    assert set(filter(None, HEIRS.values())) <= set(RULES)


@pytest.mark.parametrize("word", ["", "*", "NNG9*", "NNG999", "NNG10", "flip"])
def test_what_names_no_rule_is_refused_with_what_would(word):
    assert codes_named(word) is None
    with pytest.raises(ConfigurationError, match=r"unknown rule .*a code .*a name .*a family"):
        Policy.parse(f"strict,{word}=warn")
