"""The command line: one file a command, loaded when it is called.

``nnguard inspect`` has to answer in 150 ms, whole process, so nothing here imports more than click.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from importlib import import_module

import click

from ..errors import ConfigurationError, NNGuardError
from ..report.escape import escaped
from .exit_status import CLEAN, FAILED, PIPE_CLOSED

#: Command -> its line in ``nnguard --help``, so that showing it loads no command: each is ``cli/NAME.py`` with a click
#: command called ``command``.
COMMANDS = {
    "run": "Run one command with the guard switched on.",
    "check": "Check a checkpoint, a model or a results folder; also called inspect and audit.",
    "repair": "Set a checkpoint's mirroring axes to those that its training showed, or state how it was trained.",
    "preflight": "Observe a trainer's augmentation before training it, and draw it.",
    "fliptest": "Measure on images which flips a trained model understands.",
    "compare": "Show what differs between two things, or between runs, and what runs scored.",
    "rule": "List the rules, or explain one.",
    "doctor": "Say whether the guard is active here, and why (not).",
    "demo": "Train and mend the bug of nnU-Net issue 2552 on made images.",
}


#: Other names of a command, not listed.
ALSO_CALLED = {"inspect": "check", "audit": "check"}
#: ``cli/old_commands.py`` says what replaces them.
GONE = ("diff", "annotate", "preview")


class LazyGroup(click.Group):
    """Imports a command's module when the command is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name in GONE:
            from .old_commands import gone

            return gone(name)
        name = ALSO_CALLED.get(name, name)
        return import_module(f"{__name__}.{name}").command if name in COMMANDS else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name]) for name in self.list_commands(ctx)])


def _show_version(ctx: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if wanted:
        from ..version import __version__

        click.echo(f"nnguard {__version__}")
        ctx.exit()


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version, help="Show the version."
)
@click.pass_context
def group(ctx: click.Context) -> None:
    """Compare what an nnU-Net was trained to see with what its predictor shows it.

    Exit status: 0 clean, 1 findings at or above --fail-level, 2 it could not be done.
    """
    if ctx.invoked_subcommand not in ("run", "doctor"):  # these two have more to say about it
        from ..settings import Settings

        Settings.from_environment().policy()


#: Commands that only read and print: when they are done, no thread, file or scratch folder waits for anything.
LEAVES_NOTHING = ("check", "inspect", "audit", "rule")


def main(arguments: list[str] | None = None) -> int:
    """The console script.

    Args:
        arguments: without the program's name; ``None`` for ``sys.argv``.

    Returns:
        The exit status. It does not return from the process's own command line where that only reads and prints:
        taking the interpreter's memory apart is a tenth of the time of ``nnguard inspect``.
    """
    status = _status_of(arguments)
    if arguments is None and sys.argv[1:2] and sys.argv[1] in LEAVES_NOTHING:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError):
                stream.flush()
        os._exit(status)
    return status


def _status_of(arguments: list[str] | None) -> int:
    try:
        status = group.main(args=arguments, prog_name="nnguard", standalone_mode=False)
        sys.stdout.flush()
        return status if isinstance(status, int) else CLEAN
    except click.exceptions.Exit as leave:
        return leave.exit_code
    except click.UsageError as error:
        error.show()
        return FAILED
    except click.ClickException as error:
        return failed(error.message)
    except NNGuardError as error:
        return FAILED if _said_at_import(error) else failed(error)
    except (click.Abort, KeyboardInterrupt):
        click.echo("nnguard: interrupted", err=True)
        return FAILED
    except BrokenPipeError:
        # Python flushes stdout once more when it ends, and would complain of the same pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    except OSError as error:
        return failed(f"{error.filename}: {error.strerror}" if error.filename else error)


def _said_at_import(error: NNGuardError) -> bool:
    """An ``NNGUARD`` that cannot be read has had its line when nnguard was imported."""
    from ..arming import status

    return isinstance(error, ConfigurationError) and status().error == str(error)


def failed(reason: object) -> int:
    """One clear line on stderr, whatever it quotes from a file escaped."""
    click.echo(f"nnguard: {escaped(reason)}", err=True)
    return FAILED
