"""``nnguard compare``: what differs between two things, or one row a run; the lab book of a results folder."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from ..errors import CheckpointError
from ..models.comparison import ORDERS, compare
from ..models.path_kind import TREE, kind_of
from ..models.results_tree import find_models
from ..nnunet import FOLD_FOLDER
from ..record import timestamp
from ..report.escape import escaped
from .exit_status import CLEAN, FAILED
from .output import checkpoint_option, format_option, output_option, print_json, tell, written_to
from .paths import LOCAL_PATH


@click.command(name="compare")
@click.argument("paths", metavar="A B|RUNS...", type=LOCAL_PATH, nargs=-1, required=True)
@click.option("--baseline", metavar="MODEL", type=LOCAL_PATH, help="Compare runs with this one. Default: see above.")
@click.option("--sort", "order", type=click.Choice(ORDERS), help=f"What runs are sorted by.  [default: {ORDERS[0]}]")
@checkpoint_option
@output_option
@format_option("csv", "html")
def command(
    paths: tuple[str, ...],
    baseline: str | None,
    order: str | None,
    checkpoint_name: str,
    output: str | None,
    output_format: str,
) -> int:
    """Show what differs between A and B, or what each of many RUNS differs by and what it scored.

    A and B: exactly two checkpoints, nnguard.json records, folds, model folders or exported zips. Of a checkpoint and
    a model folder, the plans and dataset that it was trained with are compared with the folder's.

    RUNS: results folders, model folders, or both; of two models, give --baseline, --sort or a format of tables. One
    row a run; a model with several folds also has a row with their mean. Runs are compared within their data set and
    configuration; unless --baseline says otherwise, with the run trained by nnUNetTrainer, else with the oldest. What
    a run's files do not tell is listed as not known, never as the same.

    Exit status: 0 it was compared, whether or not anything differs; 2 it could not be.
    """
    of_runs = baseline is not None or order is not None or output_format in ("csv", "html")
    two_things = len(paths) == 2 and not of_runs and all(kind_of(path) != TREE for path in paths)
    with written_to(output):
        if two_things:
            from .compare_two import show_differences

            show_differences(paths[0], paths[1], checkpoint_name, output_format)
            return CLEAN
        return _show_runs(paths, baseline, order or ORDERS[0], checkpoint_name, output_format)


def _show_runs(
    paths: tuple[str, ...], baseline: str | None, order: str, checkpoint_name: str, output_format: str
) -> int:
    document = compare(_models_in(paths), Path(baseline) if baseline else None, checkpoint_name, order)
    for line in document["errors"]:
        tell(line)
    _print(document, output_format, " ".join(paths))
    if not document["runs"]:
        tell("nothing could be read, so nothing was compared")
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
        from ..report.run_table import comparison_csv

        click.echo(comparison_csv(document), nl=False)
    elif output_format == "html":
        from ..report.run_table import comparison_page
        from ..version import __version__

        click.echo(comparison_page(document, title=title, made_at=timestamp(), version=__version__))
    else:
        from ..report.console import make_console
        from ..report.run_table import print_comparison

        print_comparison(make_console(sys.stdout), document)
        click.echo("\n".join(["", *_closing(document)]))


def _closing(document: Mapping[str, Any]) -> Iterator[str]:
    models = len({row["model"] for row in document["runs"]})
    failed = document["errors"]
    yield f"{models} model{'' if models == 1 else 's'}" + (f"; not read: {len(failed)}, see below" if failed else "")
    yield from (f"not read: {escaped(line)}" for line in failed)
