"""Tables for people who look at a terminal; plain, uncoloured text for pipes, files and ``NO_COLOR``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, TextIO

from ..settings import Settings
from .audit_rows import CLEAN, ModelReport, counts, gravest_first
from .escape import escaped

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

STYLES = {"unreadable": "bold magenta", "harmful": "bold red", "advisory": "yellow", "note": "cyan", CLEAN: "green"}

#: A pipe has no width; paths must not be broken there, for somebody greps them.
PIPE_WIDTH = 10_000

#: Below this, six columns are six ladders of syllables.
TABLE_WIDTH = 90
INDENT, SHORTEST_PIECE = "  ", 8


def make_console(file: TextIO) -> Console:
    """A rich console that interprets nothing in what it prints: a path may hold ``[brackets]`` and ``:emoji:``.

    Colours go to terminals alone and follow ``NO_COLOR``. ``COLUMNS`` is followed in a pipe, too.
    """
    from rich.console import Console

    terminal = bool(getattr(file, "isatty", lambda: False)())
    width = Settings.from_environment().columns or (None if terminal else PIPE_WIDTH)
    return Console(file=file, markup=False, emoji=False, highlight=False, soft_wrap=False, width=width)


def rows_table(rows: Iterable[ModelReport], facts: Sequence[str] = ()) -> Table:
    """Models, gravest first. On a narrow terminal cells wrap, and nothing is cut."""
    table = plain_table()
    for title in ("verdict", "rules", "evidence", *facts, "model", "what"):
        table.add_column(title, overflow="fold")
    for one in gravest_first(rows):
        told = [one.facts.get(name, "") for name in facts]
        table.add_row(*map(_text, [one.verdict, one.codes, one.grade, *told, one.subject, one.headline]))
    return table


def print_rows(console: Console, rows: Iterable[ModelReport], facts: Sequence[str] = ()) -> None:
    """Models, gravest first: a table, or on a narrow terminal a few lines for each."""
    rows = gravest_first(rows)
    if console.width >= TABLE_WIDTH:
        console.print(rows_table(rows, facts))
        return
    for one in rows:
        extra = [f"{name}: {one.facts[name]}" for name in facts if one.facts.get(name)]
        console.print(_text(one.verdict), _text(" ".join(part for part in (one.codes, one.grade) if part)))
        for line in (one.subject, one.headline, *extra):
            print_indented(console, line)


def print_indented(console: Console, line: str, indent: str = INDENT) -> None:
    """A line below the one that it belongs to; what does not fit goes on below, as far in."""
    from textwrap import wrap

    for piece in wrap(escaped(line), max(console.width - len(indent), SHORTEST_PIECE), break_on_hyphens=False):
        console.print(_text(indent + piece), overflow="fold")


def summary_line(rows: Iterable[ModelReport]) -> str:
    """``12 models: 1 unreadable, 2 harmful, 9 clean``."""
    rows = list(rows)
    parts = ", ".join(f"{number} {verdict}" for verdict, number in counts(rows).items())
    return f"{len(rows)} model{'' if len(rows) == 1 else 's'}: {parts or 'nothing found'}"


def plain_table() -> Table:
    """A table with a line below its head, and none around it."""
    from rich import box
    from rich.table import Table

    return Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)


def _text(value: object) -> Text:
    """Escaped; a verdict in its colour."""
    from rich.text import Text

    return Text(escaped(value), style=STYLES.get(str(value), ""))
