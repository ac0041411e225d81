"""Claims about ``nnguard run``, which becomes the command that it starts."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nnguard.cli.run import guarded_environment, interpreter_of, why_unguarded

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


def test_python_that_skips_site_is_told():
    assert "-S" in why_unguarded(Path(sys.executable), ["-S", "-c", "pass"])


@pytest.mark.parametrize("arguments", [["-c", "pass", "-S"], ["script.py", "-S"], ["-m", "module", "-S"], ["-u", "x"]])
def test_an_s_that_is_not_pythons_own_is_not_told(arguments):
    assert why_unguarded(Path(sys.executable), arguments) is None


def test_a_script_of_an_environment_without_nnguard_is_told(environment):
    script = environment / "bin/nnUNetv2_train"
    script.write_text(f"#!{environment}/bin/python\nimport sys\n")
    assert "not installed there" in why_unguarded(script, [])


def test_the_same_script_with_nnguard_installed_is_not_told(environment):
    (environment / "lib/python3.11/site-packages/nnguard.pth").write_text("")
    script = environment / "bin/nnUNetv2_train"
    script.write_text(f"#!{environment}/bin/python\nimport sys\n")
    assert why_unguarded(script, []) is None


def test_a_shebang_too_long_for_the_kernel_is_followed(environment):
    script = environment / "bin/train"
    script.write_text(f"#!/bin/sh\n'''exec' \"{environment}/bin/python\" \"$0\" \"$@\"\n' '''\nimport sys\n")
    assert interpreter_of(script) == environment / "bin/python"


@pytest.mark.parametrize("text", ["#!/bin/bash\npython train.py\n", "#!/bin/sh\necho\n", "\x7fELF", "", "#!\n"])
def test_what_is_no_python_script_is_not_judged(tmp_path, text):
    script = tmp_path / "script"
    script.write_text(text)
    assert interpreter_of(script) is None
    assert why_unguarded(script, []) is None


def test_an_interpreter_outside_any_environment_is_not_judged(tmp_path):
    (tmp_path / "bin").mkdir()
    assert guarded_environment(tmp_path / "bin/python3") is None


@pytest.mark.parametrize("option", ["--format", "--bogus=1", "-x"])
def test_an_option_that_run_does_not_have_is_not_called_a_command(option):
    done = run(option, "--", sys.executable)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"run has no option {option}" in done.stderr


def test_a_command_that_is_not_there_is_named():
    assert "nosuchcommand: no such command" in run("--", "nosuchcommand").stderr
    assert "'': no such command" in run("--", "").stderr
