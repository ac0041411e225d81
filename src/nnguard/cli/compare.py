"""``nnguard compare``: one row a run, what it differs by and what it scored; the lab book of a results folder."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from ..errors import CheckpointError
from ..models.comparing import ORDERS, compare
from ..models.folder import FOLD_FOLDER
from ..models.trees import find_models
from ..report.escape import escaped
from . import CLEAN, FAILED
from .output import checkpoint_option, format_option, print_json, written_to
from .paths import LOCAL_PATH


@click.command(name="compare")
@click.argument("roots", metavar="ROOT|MODEL...", type=LOCAL_PATH, nargs=-1, required=True)
@click.option("--baseline", metavar="MODEL", type=LOCAL_PATH, help="Compare with this one. Default: see above.")
@click.option(
    "--sort", "order", type=click.Choice(ORDERS), default=ORDERS[0], show_default=True, help="What rows are sorted by."
)
@checkpoint_option
@click.option("-o", "--output", type=LOCAL_PATH, metavar="FILE", help="Write there instead of stdout.")
@format_option("csv", "html")
def command(
    roots: tuple[str, ...],
    baseline: str | None,
    order: str,
    checkpoint_name: str,
    output: str | None,
    output_format: str,
) -> int:
    """One row a run: what differs from a baseline in augmentation and settings, and what it scored.

    Give results folders, model folders, or both. A model with several folds also has a row with their mean. Runs are
    compared within their data set and configuration; unless --baseline says otherwise, with the run trained by
    nnUNetTrainer, else with the oldest. What a run's files do not tell is listed as not known, never as the same.

    Exit status: 0, or 2 where nothing could be read.
    """
    document = compare(_models_in(roots), Path(baseline) if baseline else None, checkpoint_name, order)
    for line in [*document["errors"], *document["skipped"]]:
        click.echo(f"nnguard: {escaped(line)}", err=True)
    with written_to(output):
        _print(document, output_format, " ".join(roots))
    if not document["runs"]:
        click.echo("nnguard: nothing could be read, so nothing was compared", err=True)
        return FAILED
    return CLEAN


def _models_in(roots: tuple[str, ...]) -> list[Path]:
    """The model folders below each root, every one once.

    Raises:
        CheckpointError: a root is no folder, or there is no model in it.
    """
    found: dict[Path, Path] = {}
    for root in roots:
        if FOLD_FOLDER.fullmatch(Path(root).absolute().name):
            raise CheckpointError(f"{root}: is one fold; give its model folder, {Path(root).parent}")
        models = list(find_models(root))
        if not models:
            raise CheckpointError(f"{root}: no model in it (a folder with fold_X folders)")
        for model in models:
            found.setdefault(model.resolve(), model)
    return list(found.values())


def _print(document: Mapping[str, Any], output_format: str, title: str) -> None:
    if output_format == "json":
        print_json(document)
    elif output_format == "csv":
        from ..report.comparison import comparison_csv

        click.echo(comparison_csv(document), nl=False)
    elif output_format == "html":
        from datetime import datetime

        from .. import __version__
        from ..report.comparison import comparison_page

        made_at = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z")
        click.echo(comparison_page(document, title=title, made_at=made_at, version=__version__))
    else:
        from ..report.comparison import print_comparison
        from ..report.console import make_console

        print_comparison(make_console(sys.stdout), document)
        click.echo("\n".join(["", *_closing(document)]))


def _closing(document: Mapping[str, Any]) -> Iterator[str]:
    models = len({row["model"] for row in document["runs"]})
    failed = [*document["errors"], *document["skipped"]]
    yield f"{models} model{'' if models == 1 else 's'}" + (f"; not read: {len(failed)}, see below" if failed else "")
    yield from (f"not read: {escaped(line)}" for line in failed)
