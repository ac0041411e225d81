"""What commands have in common: their options and how results leave."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import click

from ..errors import CheckpointError
from ..findings import HARMFUL, SEVERITIES, Finding
from ..nnunet import CHECKPOINT_NAME
from ..report.escape import escaped
from ..settings import IGNORE, Policy, Settings
from .paths import LOCAL_PATH


def format_option(*more: str) -> Callable[[Any], Any]:
    """``--format text|json``, and what else a command offers."""
    return click.option(
        "--format",
        "output_format",
        type=click.Choice(["text", "json", *more]),
        default="text",
        show_default=True,
        help="How to print results.",
    )


fail_level_option = click.option(
    "--fail-level",
    type=click.Choice(list(reversed(SEVERITIES))),
    default=HARMFUL,
    show_default=True,
    help="The least severity that makes the exit status 1.",
)


output_option = click.option("-o", "--output", type=LOCAL_PATH, metavar="FILE", help="Write there instead of stdout.")


#: ``-chk`` and ``-f 0 1 2``, as nnU-Net spells them; the second needs ``FoldsCommand``.
checkpoint_option = click.option(
    "-chk",
    "checkpoint_name",
    type=LOCAL_PATH,
    metavar="NAME",
    default=CHECKPOINT_NAME,
    show_default=True,
    help="Checkpoint in each fold.",
)
folds_option = click.option(
    "-f",
    "folds",
    multiple=True,
    metavar="FOLD...",
    help="Folds to use, as for nnUNetv2_predict: -f 0 1 2, -f all. Default: those that nnU-Net would find.",
)


class Asked(NamedTuple):
    """What ``nnguard check`` was asked for, whatever lies there."""

    folds: tuple[str, ...]
    checkpoint_name: str
    disable_tta: bool
    jobs: int | None
    output_format: str


class Answer(NamedTuple):
    """What the exit status follows from."""

    findings: Sequence[Finding]
    errors: Sequence[str]


class FoldsCommand(click.Command):
    """Understands ``-f 0 1 2`` beside click's own ``-f 0 -f 1 -f 2``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        spread: list[str] = []
        in_folds = False
        for argument in args:
            if in_folds and spread[-1] != "-f" and (argument.isdecimal() or argument == "all"):
                spread += ["-f", argument]
                continue
            in_folds = argument == "-f" or (in_folds and spread[-1] == "-f")
            spread.append(argument)
        return super().parse_args(ctx, spread)


def width_here() -> int:
    """Of paragraphs for people: ``COLUMNS`` where it is set, else the terminal's, and never more than ``WIDTH``."""
    from shutil import get_terminal_size

    from ..report.text import NARROWEST, WIDTH

    wanted = sys.stdout.isatty() or Settings.from_environment().columns is not None
    columns = get_terminal_size((WIDTH, 0)).columns if wanted else WIDTH
    return max(NARROWEST, min(columns, WIDTH))


def findings_for_people(findings: Sequence[Finding]) -> str:
    """As text, as wide as there is room, and with what ``NNGUARD`` says in mind."""
    from ..report.text import findings_text

    return findings_text(findings, Settings.from_environment().policy(), width_here())


def findings_counted(findings: Sequence[Finding]) -> str:
    return f"{len(findings)} finding{'' if len(findings) == 1 else 's'}" if findings else "no findings"


def tell(line: object) -> None:
    """One line on stderr, whatever it quotes from a file escaped."""
    click.echo(f"nnguard: {escaped(line)}", err=True)


def print_json(value: Mapping[str, Any]) -> None:
    """One JSON document on stdout, with its ``schema_version``."""
    from ..report.json import SCHEMA_VERSION, json_text

    click.echo(json_text({"schema_version": SCHEMA_VERSION, **value}))


def print_findings(findings: Sequence[Finding], *checked_skipped_errors: Sequence[str], **more: Any) -> None:
    """The findings document as JSON on stdout; ``more`` are entries that one command adds."""
    from ..report.json import findings_document

    print_json({**findings_document(findings, *checked_skipped_errors), **more})


def not_ignored(findings: Iterable[Finding]) -> list[Finding]:
    """Without those that ``NNGUARD=...,RULE=ignore`` silences."""
    policy = Settings.from_environment().policy() or Policy()
    return [finding for finding in findings if policy.overrides.get(finding.code) != IGNORE]


@contextmanager
def written_to(output: str | None) -> Iterator[None]:
    """Whatever is printed inside goes to ``output``, which is written only when all of it is there."""
    if output is None:
        yield
        return
    from contextlib import redirect_stdout
    from io import StringIO

    text = StringIO()
    with redirect_stdout(text):
        yield
    try:
        Path(output).write_text(text.getvalue(), "utf-8")
    except OSError as error:
        raise CheckpointError(f"{output}: cannot be written: {error.strerror}") from None
