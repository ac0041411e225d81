"""Shows a comparison of runs, from its JSON document, as a table, as CSV and as one HTML page with a plot."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from io import StringIO
from typing import TYPE_CHECKING, Any

from .console import plain_table, print_indented
from .escape import escaped

if TYPE_CHECKING:
    from rich.console import Console

#: Longer values are cut for people. JSON has the whole value.
LONGEST_VALUE = 60
#: On a narrower terminal, a run is a few lines instead of a row.
TABLE_WIDTH = 110
#: A spreadsheet treats a cell that starts with one of these as a formula.
FORMULA = ("=", "+", "-", "@")
DICE = ("pseudo_dice", "validation_dice")


def change_words(change: Mapping[str, Any]) -> str:
    """``initial_lr: 0.01 -> 0.001``, ``GaussianNoiseTransform: taken out``."""
    name = escaped(change["setting"], LONGEST_VALUE)
    for there, absent, words in (("baseline", "run", "taken out"), ("run", "baseline", "added")):
        if absent not in change and _is_transform(change[there]):
            return f"{name}: {words}"
    before, after = (escaped(_plain(change.get(side, "-")), LONGEST_VALUE) for side in ("baseline", "run"))
    return f"{name}: {before} -> {after}"


def row_words(row: Mapping[str, Any]) -> str:
    """The differences between a run and its baseline, for people; ``nothing`` only if everything could be compared."""
    if row["is_baseline"]:
        return "(baseline)"
    told = [change_words(change) for change in row["differences"]]
    if row["unknown"]:
        told.append(f"not known: {', '.join(row['unknown'])}")
    return "; ".join(told) or "nothing"


def heading(baseline: Mapping[str, Any]) -> str:
    """``Dataset002_Discs, 2d: against MODEL (trained by nnUNetTrainer)``."""
    group = ", ".join(escaped(baseline[name] or "not known", 60) for name in ("dataset", "configuration"))
    return f"{group}: against {escaped(baseline['model'])} ({baseline['why']})"


def groups(document: Mapping[str, Any]) -> list[tuple[Mapping[str, Any], list[Mapping[str, Any]]]]:
    """Each baseline with the runs of its data set and configuration, in the document's order."""
    keys = ("dataset", "configuration")
    return [
        (baseline, rows)
        for baseline in document["baselines"]
        if (rows := [row for row in document["runs"] if all(row[key] == baseline[key] for key in keys)])
    ]


def labels_in(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Every label for which any of the runs has a score."""
    return list(dict.fromkeys(label for row in rows for dice in DICE for label in row[dice]["labels"]))


# ---------------------------------------------------------------- terminal


def print_comparison(console: Console, document: Mapping[str, Any]) -> None:
    """Prints a table for each data set and configuration; on a narrow terminal, a few lines for each run.

    Only CSV, JSON and the page also have each label's Dice.
    """
    for number, (baseline, rows) in enumerate(groups(document)):
        if number:
            console.print()
        print_indented(console, heading(baseline), "")
        console.print()
        if console.width >= TABLE_WIDTH:
            console.print(_table(rows))
        else:
            _print_lines(console, rows)


def _table(rows: Sequence[Mapping[str, Any]]) -> Any:
    from rich.text import Text

    table = plain_table()
    for title in ("run", "differs by"):
        table.add_column(title, overflow="fold")
    for title in ("epochs", "pseudo", "validation", "gap"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("evidence", no_wrap=True)
    for row in rows:
        figures = [row["epochs"], *(row[dice]["mean"] for dice in DICE), row["gap"]]
        cells = [run_name(row), row_words(row), *map(figure, figures), row["evidence"]]
        table.add_row(*map(Text, cells), style="bold" if row["is_baseline"] else None)
    return table


def _print_lines(console: Console, rows: Sequence[Mapping[str, Any]]) -> None:
    from rich.text import Text

    for row in rows:
        scored = (
            f"{figure(row['epochs'])} epochs, pseudo {figure(row['pseudo_dice']['mean'])}, "
            f"validation {figure(row['validation_dice']['mean'])}, gap {figure(row['gap'])} ({row['evidence']})"
        )
        console.print(Text(run_name(row)), overflow="fold")
        for line in (row_words(row), scored):
            print_indented(console, line)


def run_name(row: Mapping[str, Any]) -> str:
    """The model folder's name and the fold."""
    fold = "mean of folds" if row["fold"] == "mean" else f"fold {escaped(row['fold'], 20)}"
    return f"{escaped(row['model'])}, {fold}"


def figure(value: float | None) -> str:
    """A number as text. Whole numbers are counts, others have three decimals."""
    return "-" if value is None else str(value) if isinstance(value, int) else f"{value:.3f}"


# ---------------------------------------------------------------- CSV


def comparison_csv(document: Mapping[str, Any]) -> str:
    """One line per run and one column per label. An unreadable run has a line with its error."""
    rows = document["runs"]
    labels = labels_in(rows)
    told = ("model", "fold", "trainer", "plans", "configuration", "dataset", "baseline")
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    head = [*told, "differs_by", "epochs", *DICE, "gap", *(f"{dice}_{label}" for dice in DICE for label in labels)]
    writer.writerow(map(_cell, [*head, "evidence", "error"]))
    for row in rows:
        figures = [row["epochs"], *(row[dice]["mean"] for dice in DICE), row["gap"]]
        figures += [row[dice]["labels"].get(label) for dice in DICE for label in labels]
        writer.writerow(map(_cell, [*(row[name] for name in told), row_words(row), *figures, row["evidence"], None]))
    for error in document["errors"]:
        writer.writerow(map(_cell, [None] * (len(head) + 1) + [error]))
    return text.getvalue()


def _cell(value: Any) -> Any:
    if value is None or isinstance(value, (int, float)):
        return value
    shown = escaped(value)
    return f"'{shown}" if shown.startswith(FORMULA) else shown


# ---------------------------------------------------------------- page


def comparison_page(document: Mapping[str, Any], *, title: str, made_at: str, version: str) -> str:
    """One self-contained HTML page: a plot and a sortable table for each data set and configuration.

    Args:
        document: as ``nnguard compare --format json`` prints it; everything in it is escaped.
        title: what was compared, for people.
        made_at: date and time, for people.
        version: nnguard's version.
    """
    from .html import template

    sections = [
        {"heading": heading(baseline), "rows": rows, "labels": labels_in(rows)} for baseline, rows in groups(document)
    ]
    return template("comparison.html.jinja").render(
        title=title, made_at=made_at, version=version, sections=sections, document=document,
        figure=figure, name=run_name, words=row_words,
    )  # fmt: skip


# ---------------------------------------------------------------- small parts


def _is_transform(value: Any) -> bool:
    return isinstance(value, Mapping) and "class" in value


def _plain(value: Any, depth: int = 0) -> str:
    """A value on one line. Numbers have five digits, because rotations are fractions of pi."""
    if isinstance(value, float):
        return f"{value:.5g}"
    if isinstance(value, (list, tuple)) and depth < 4:
        return f"[{', '.join(_plain(entry, depth + 1) for entry in value)}]"
    return str(value["class"]).rpartition(".")[2] if _is_transform(value) else str(value)
