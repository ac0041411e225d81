"""``nnguard run``: one command with the guard switched on, whatever the environment says."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import click

from ..errors import ConfigurationError
from ..report.escape import escaped
from ..settings import DEFAULT_MODE, ENVIRONMENT_VARIABLE, OFF, Policy, Settings

PTH = "nnguard.pth"


@click.command(name="run", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("--mode", metavar="MODE", help="As NNGUARD: warn, strict, exact or correct, with ,RULE=ACTION behind it.")
@click.argument("arguments", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- COMMAND...")
def command(mode: str | None, arguments: tuple[str, ...]) -> None:
    """Run one command with the guard switched on: nnguard run --mode strict -- nnUNetv2_train 2 2d 0."""
    text = mode or Settings.from_environment().mode or DEFAULT_MODE
    if Policy.parse(text) is None:
        raise ConfigurationError(f"the mode is {OFF}: there is nothing to run guarded; choose one with --mode")
    program = shutil.which(arguments[0])
    if program is None and arguments[0].startswith("-"):
        raise ConfigurationError(f"run has no option {arguments[0]}: its own come before --, the command behind it")
    if program is None:
        raise ConfigurationError(f"{arguments[0] or repr('')}: no such command")
    environment = environment_without_nnguard(Path(program))
    if environment is not None:
        here = f"{Path(program).name} lies in {environment}, where nnguard is not installed"
        click.echo(f"nnguard: {escaped(here)}: what runs under that environment's Python is not guarded", err=True)
    replace_process(program, arguments, {**os.environ, ENVIRONMENT_VARIABLE: text})


def replace_process(program: str, arguments: tuple[str, ...], environment: dict[str, str]) -> None:
    """Becomes the command, so that signals and the exit status are its own."""
    sys.stdout.flush()
    sys.stderr.flush()
    if os.name == "posix":
        os.execve(program, list(arguments), environment)
    import subprocess  # Windows' exec returns to the shell before the command ends

    sys.exit(subprocess.call([program, *arguments[1:]], env=environment))


def environment_without_nnguard(program: Path) -> Path | None:
    """The virtual or conda environment that a command lies in, if nnguard is not installed there.

    Args:
        program: the file that will run, a link in the environment rather than what it points to.
    """
    environment = program.absolute().parent.parent
    is_environment = (environment / "pyvenv.cfg").exists() or (environment / "conda-meta").is_dir()
    folders = ("lib*/python3*/site-packages", "Lib/site-packages")
    installed = any(found for folder in folders for found in environment.glob(f"{folder}/{PTH}"))
    return environment if is_environment and not installed else None
