"""Claims about the command line, the pins and the page of scripts/compat; the runs themselves are scripts/compat."""

import pytest

from tests.compat import environments, page
from tests.compat.__main__ import IN_CI, options_of


def test_versions_are_ordered_by_number_and_all_have_exact_pins():
    assert environments.versions()[0] == "2.2.1"
    for version in environments.versions():
        pins = environments.pins_of(environments.PINS / f"{version}.txt")
        assert pins["nnunetv2"] == [f"nnunetv2=={version}"]
        assert [line for lines in pins.values() for line in lines if "==" not in line or "//" in line] == []


def test_a_pin_replaces_that_of_the_file_it_builds_on(tmp_path):
    (tmp_path / "base.txt").write_text("# why\nnumpy==2.0\nwrapt==2\nsix==1 ; python_version < '3.11'\nsix==2\n")
    (tmp_path / "2.0.0.txt").write_text("-r base.txt\nnumpy==1.26\nwithout wrapt\n")
    assert environments.pins_of(tmp_path / "2.0.0.txt") == {
        "numpy": ["numpy==1.26"],
        "six": ["six==1 ; python_version < '3.11'", "six==2"],
    }


def test_a_fork_brings_the_module_under_its_own_name_alone():
    for fork in environments.forks():
        pins = environments.pins_of(environments.PINS / f"{fork}.txt")
        assert "nnunetv2" not in pins
        assert environments.recorded_as(fork) == pins[fork][0].replace("==", " ")
    assert environments.recorded_as("2.8.1") == "2.8.1"


def test_a_version_without_pins_is_one_line_and_exit_2(capsys):
    with pytest.raises(SystemExit) as ended:
        options_of(["2.5.2", "9.9.9"])
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "9.9.9" in told


def test_ci_runs_two_and_a_plain_call_all():
    assert options_of(["--ci"]).versions == list(IN_CI)
    assert options_of([]).versions == [*environments.versions(), *environments.forks()]
    assert options_of(["2.7.0"]).versions == ["2.7.0"]


def test_a_failed_row_stands_out_on_the_page_and_a_sound_one_does_not():
    rows = [
        {"what": "one", "passed": True, "measured": "fine", "seconds": 1},
        {"what": "two", "passed": False, "measured": "a|b", "seconds": 2},
    ]
    text = page.written({"2.5.2": {"journey": rows, "sweep": [], "ran_on": {"python": "3.11.7", "torch": "2.5.1"}}})
    assert "| one | fine | 1 |" in text
    assert "| two | **FAILED**: a/b | 2 |" in text
    assert "| 2.5.2 | 3.11.7 | 2.5.1 | none | none | none |" in text
