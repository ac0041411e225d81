"""Commands that went: each answers with the line that does now what it did."""

from __future__ import annotations

from shlex import join

import click

from .exit_status import FAILED
from .output import tell

TOOK_OVER = {"diff": "compare", "annotate": "repair", "preview": "preflight"}
#: Options that have another name in the command that took over.
RENAMED = {"diff": {}, "annotate": {"--mirror-axes": "--state"}, "preview": {"-o": "--picture"}}
#: Where ``preview`` drew unless it was told.
PICTURE = ["--picture", "nnguard_preview.png"]


def gone(name: str) -> click.Command:
    """A command that does nothing but say what replaces it, with the arguments that it was given."""

    def answer(arguments: tuple[str, ...]) -> int:
        tell(f"nnguard {name} is now: nnguard {join(replacement(name, list(arguments)))}")
        return FAILED

    taken = click.Argument(["arguments"], nargs=-1, type=click.UNPROCESSED)
    settings = {"ignore_unknown_options": True}
    return click.Command(name, settings, answer, [taken], add_help_option=False)


def replacement(name: str, arguments: list[str]) -> list[str]:
    """The command and its arguments, as they would be typed now."""
    line = [TOOK_OVER[name]]
    for argument in arguments:
        option, equals, value = argument.partition("=")
        line.append(RENAMED[name].get(option, option) + equals + value)
    return line + (PICTURE if name == "preview" and "--picture" not in line else [])
