"""Claims about ``nnguard run``, which becomes the command that it starts."""

import os
import subprocess
import sys

import pytest

from nnguard.cli.run import environment_without_nnguard

SHOW = "import os, sys; print(os.environ.get('NNGUARD')); sys.exit(7)"


def run(*arguments, **environment):
    inherited = {name: value for name, value in os.environ.items() if name != "NNGUARD"}
    return subprocess.run(
        [sys.executable, "-c", "import sys; from nnguard.cli import main; sys.exit(main())", "run", *arguments],
        env={**inherited, **environment},
        capture_output=True,
        text=True,
    )


@pytest.fixture
def environment(tmp_path):
    """A virtual environment's skeleton, without nnguard."""
    root = tmp_path / "environment"
    (root / "lib/python3.11/site-packages").mkdir(parents=True)
    (root / "bin").mkdir()
    (root / "pyvenv.cfg").write_text("")
    (root / "bin/python").write_text("")
    return root


def test_the_command_gets_the_mode_and_its_own_exit_status():
    done = run("--mode", "strict", "--", sys.executable, "-c", SHOW)
    assert (done.stdout, done.returncode) == ("strict\n", 7)


def test_without_a_mode_it_is_warn():
    assert run("--", sys.executable, "-c", SHOW).stdout == "warn\n"


def test_the_environment_is_the_mode_where_none_is_given():
    assert run("--", sys.executable, "-c", SHOW, NNGUARD="exact").stdout == "exact\n"


def test_a_given_mode_beats_the_environment_even_an_unreadable_one():
    assert run("--mode", "strict", "--", sys.executable, "-c", SHOW, NNGUARD="stict").stdout == "strict\n"


def test_options_of_the_command_stay_its_own():
    done = run(sys.executable, "-c", "import sys; print(sys.argv[1:])", "--mode", "x", "-f", "0", "--help")
    assert done.stdout == "['--mode', 'x', '-f', '0', '--help']\n"


@pytest.mark.parametrize("mode", ["stict", "off", "strict,NNG999=raise"])
def test_a_mode_that_guards_nothing_runs_nothing(mode, tmp_path):
    touched = tmp_path / "touched"
    done = run("--mode", mode, "--", sys.executable, "-c", f"open({str(touched)!r}, 'w')")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert not touched.exists()


def test_a_missing_command_is_one_line_and_exit_2():
    done = run("--", "no-such-command-anywhere")
    assert done.returncode == 2
    assert done.stderr == "nnguard: no-such-command-anywhere: no such command\n"


def test_a_command_of_an_environment_without_nnguard_is_told(environment):
    script = environment / "bin/nnUNetv2_train"
    script.write_text("#!/bin/sh\necho trained\n")
    script.chmod(0o755)
    assert environment_without_nnguard(script) == environment
    done = run("--", str(script))
    assert (done.stdout, done.returncode) == ("trained\n", 0)
    assert f"{environment}, where nnguard is not installed" in done.stderr


@pytest.mark.parametrize("folder", ["lib/python3.11/site-packages", "Lib/site-packages"])
def test_the_same_command_with_nnguard_installed_is_not_told(environment, folder):
    (environment / folder).mkdir(parents=True, exist_ok=True)
    (environment / folder / "nnguard.pth").write_text("")
    assert environment_without_nnguard(environment / "bin/nnUNetv2_train") is None


def test_a_command_outside_any_environment_is_not_judged(tmp_path):
    assert environment_without_nnguard(tmp_path / "bin/python3") is None


@pytest.mark.parametrize("option", ["--format", "--bogus=1", "-x"])
def test_an_option_that_run_does_not_have_is_not_called_a_command(option):
    done = run(option, "--", sys.executable)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"run has no option {option}" in done.stderr


def test_a_command_that_is_not_there_is_named():
    assert "nosuchcommand: no such command" in run("--", "nosuchcommand").stderr
    assert "'': no such command" in run("--", "").stderr
