"""``nnguard run``: one command with the guard switched on, whatever the environment says."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from ..errors import ConfigurationError
from ..policy import DEFAULT_MODE, ENVIRONMENT_VARIABLE, OFF, Policy
from ..report.escape import escaped

#: A shebang line, and the second line that pip writes where the path is too long for one.
SHEBANG_BYTES = 1024
PTH = "nnguard.pth"
#: How pip starts the second line of a script whose interpreter's path is too long, or has a space in it.
_LONG_PATH = "'''exec'"
_PYTHON = re.compile(r"python[\d.]*(\.exe)?$")


@click.command(name="run", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("--mode", metavar="MODE", help="As NNGUARD: warn, strict, exact or correct, with ,RULE=ACTION behind it.")
@click.argument("arguments", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- COMMAND...")
def command(mode: str | None, arguments: tuple[str, ...]) -> None:
    """Run one command with the guard switched on: nnguard run --mode strict -- nnUNetv2_train 2 2d 0."""
    text = mode or os.environ.get(ENVIRONMENT_VARIABLE) or DEFAULT_MODE
    if Policy.parse(text) is None:
        raise ConfigurationError(f"the mode is {OFF}: there is nothing to run guarded; choose one with --mode")
    program = shutil.which(arguments[0])
    if program is None and arguments[0].startswith("-"):
        raise ConfigurationError(f"run has no option {arguments[0]}: its own come before --, the command behind it")
    if program is None:
        raise ConfigurationError(f"{arguments[0] or repr('')}: no such command")
    reason = why_unguarded(Path(program), list(arguments[1:]))
    if reason:
        click.echo(f"nnguard: {escaped(reason)}", err=True)
    replace_process(program, arguments, {**os.environ, ENVIRONMENT_VARIABLE: text})


def replace_process(program: str, arguments: tuple[str, ...], environment: dict[str, str]) -> None:
    """Becomes the command, so that signals and the exit status are its own."""
    sys.stdout.flush()
    sys.stderr.flush()
    if os.name == "posix":
        os.execve(program, list(arguments), environment)
    import subprocess  # Windows' exec returns to the shell before the command ends

    sys.exit(subprocess.call([program, *arguments[1:]], env=environment))


def why_unguarded(program: Path, arguments: list[str]) -> str | None:
    """Why this command would run without the guard, where that can be told without running it.

    Args:
        program: the file that will run.
        arguments: behind it.

    Returns:
        A sentence; ``None`` where it is guarded, or where nobody can tell.
    """
    if _PYTHON.match(program.name):
        interpreter: Path | None = program
        if _skips_site(arguments):
            return f"{program.name} -S reads no .pth files: this run is not guarded; leave -S out"
    else:
        interpreter = interpreter_of(program)
    if interpreter is None or guarded_environment(interpreter) is not False:
        return None
    return (
        f"{program.name} runs {interpreter}, and nnguard is not installed there: this run is not guarded; "
        f"{interpreter} -m pip install nnguard"
    )


def _skips_site(arguments: list[str]) -> bool:
    """Whether ``-S`` is among Python's own options, which end at ``-c``, ``-m`` or a script."""
    for argument in arguments:
        if not argument.startswith("-") or argument.startswith("--"):
            return False
        for letter in argument[1:]:
            if letter == "S":
                return True
            if letter in "cmWX":
                break
        if argument[1:2] in ("c", "m"):
            return False
    return False


def interpreter_of(script: Path) -> Path | None:
    """The Python that a script's first lines name; ``None`` for anything else."""
    try:
        with script.open("rb") as file:
            head = file.read(SHEBANG_BYTES).decode("utf-8", "replace")
    except OSError:
        return None
    if not head.startswith("#!"):
        return None
    first, second, *_ = [*head[2:].split("\n"), ""]
    words = first.split()
    if words and Path(words[0]).name == "sh" and second.startswith(_LONG_PATH):
        words = shlex.split(second.removeprefix(_LONG_PATH))
    if words and Path(words[0]).name == "env":
        words = [shutil.which(word) or "" for word in words[1:] if not word.startswith("-")]
    if words and _PYTHON.match(Path(words[0]).name):
        return Path(words[0])
    return None


def guarded_environment(interpreter: Path) -> bool | None:
    """Whether the interpreter's environment has nnguard's start-up file.

    Returns:
        ``None`` where the folders cannot be told from the interpreter's path alone: only virtual and
        conda environments keep everything below one folder.
    """
    prefix = interpreter.absolute().parent.parent
    if any((folder / PTH).exists() for folder in _site_folders(prefix)):
        return True
    if (prefix / "pyvenv.cfg").exists() or (prefix / "conda-meta").is_dir():
        return False
    return None


def _site_folders(prefix: Path) -> Iterator[Path]:
    yield from prefix.glob("lib*/python3*/site-packages")
    yield prefix / "Lib" / "site-packages"
