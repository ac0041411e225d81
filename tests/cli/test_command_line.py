"""Claims about the command line as a whole."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from nnguard.cli import group

MAIN = [sys.executable, "-c", "import sys; from nnguard.cli import main; sys.exit(main())"]


def start(*arguments, **environment):
    inherited = {name: value for name, value in os.environ.items() if name != "NNGUARD"}
    return subprocess.run(
        [*MAIN, *map(str, arguments)], env={**inherited, **environment}, capture_output=True, text=True
    )


def test_help_loads_no_command():
    """The exit statuses are all that the room's front door needs."""
    code = (
        "import sys; from nnguard.cli import main; main(['--help']);"
        "print(sorted(name for name in sys.modules if name.startswith('nnguard.cli.')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.endswith("['nnguard.cli.exit_status']\n")
    assert "inspect" in done.stdout


def test_every_listed_command_loads_and_is_called_by_its_name():
    context = group.make_context("nnguard", ["rule"])
    names = group.list_commands(context)
    assert {"run", "check", "repair", "compare", "rule", "doctor"} <= set(names)
    for name in names:
        assert group.get_command(context, name).name == name
    for name in ("inspect", "audit"):
        assert name not in names
        assert group.get_command(context, name).name == "check"


def test_an_unreadable_mode_is_exit_2_and_one_line():
    done = start("rule", NNGUARD="stict")
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert "strict" in done.stderr


@pytest.mark.parametrize("mode", ["", "off", "warn", "strict,NNG102=raise"])
def test_a_readable_mode_is_no_obstacle(mode):
    done = start("rule", NNGUARD=mode)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_usage_error_is_exit_2(nnguard):
    assert nnguard("check").status == 2
    assert nnguard("nonsense").status == 2


def test_a_closed_pipe_is_quiet():
    done = subprocess.run(
        f"{' '.join(map(repr, MAIN))} rule --format json | head -c 10; echo ${{PIPESTATUS[0]}} >&2",
        shell=True,
        executable="/bin/bash",
        capture_output=True,
        text=True,
    )
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


def test_a_command_that_ends_its_process_at_once_has_printed_everything(nnguard):
    rules = json.loads(start("rule", "--format", "json").stdout)
    assert rules == json.loads(nnguard("rule", "--format", "json").out)
    missing = start("inspect", "nowhere.pth")
    assert (missing.returncode, missing.stdout, len(missing.stderr.splitlines())) == (2, "", 1)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_output_that_cannot_be_written_is_exit_2():
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([*MAIN, "rule"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "No space left" in done.stderr


def test_the_version_is_the_packages(nnguard):
    from importlib.metadata import version

    assert nnguard("--version").out == f"nnguard {version('nnguard')}\n"


GONE = [
    (["diff", "a b.pth", "c", "-o", "x"], "nnguard compare 'a b.pth' c -o x"),
    (["diff", "--help"], "nnguard compare --help"),
    (["preview", "2", "2d", "0", "-tr", "Mine", "-o", "x.png"], "nnguard preflight 2 2d 0 -tr Mine --picture x.png"),
    (["preview", "2", "2d", "0"], "nnguard preflight 2 2d 0 --picture nnguard_preview.png"),
    (["annotate", "a.pth", "--mirror-axes", "0,1"], "nnguard repair a.pth --state 0,1"),
    (["annotate", "--mirror-axes=none", "a", "--reason", "I know"], "nnguard repair --state=none a --reason 'I know'"),
]


@pytest.mark.parametrize(("typed", "now"), GONE)
def test_a_command_that_went_answers_with_the_line_that_replaces_it(nnguard, typed, now):
    assert nnguard(*typed) == (2, "", f"nnguard: nnguard {typed[0]} is now: {now}\n")
    assert f"\n  {typed[0]} " not in nnguard("--help").out
