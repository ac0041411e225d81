"""``nnguard check``: what lies at a path, judged: one checkpoint, one model, or many of them.

Its other names are ``nnguard inspect`` and ``nnguard audit``. What lies there decides what is shown, not the name.
"""

from __future__ import annotations

from typing import Any

import click

from ..models.path_kind import CHECKPOINT, RECORD, TREE, kind_of
from ..settings import RESULTS_VARIABLE, Settings
from .exit_status import exit_status
from .output import (
    Answer,
    Asked,
    FoldsCommand,
    checkpoint_option,
    fail_level_option,
    folds_option,
    format_option,
    output_option,
    written_to,
)
from .paths import LOCAL_PATH, PATH_OR_URL


@click.command(name="check", cls=FoldsCommand)
@click.argument("paths", type=PATH_OR_URL, nargs=-1, metavar="PATH...")
@click.option("--list", "listing", type=LOCAL_PATH, metavar="FILE", help="Paths one a line, instead; - for stdin.")
@folds_option
@checkpoint_option
@click.option("--disable_tta", is_flag=True, help="As for nnUNetv2_predict: without test-time mirroring.")
@click.option("--jobs", type=click.IntRange(1), help="Processes for many models. Default: this machine's processors.")
@output_option
@format_option("html")
@fail_level_option
@click.pass_context
def command(
    context: click.Context,
    paths: tuple[str, ...],
    listing: str | None,
    output: str | None,
    fail_level: str,
    **asked: Any,
) -> int:
    """Check what lies at PATH as a predictor would use it, without running anything in it or loading weights.

    A checkpoint or nnguard.json: everything known about it. A model folder, a fold or a zip of
    nnUNetv2_export_model_to_zip: its findings. A results folder, or several paths: one line a model. Checkpoints and
    zips may be URLs. "nnguard audit" without PATH checks $nnUNet_results.

    Models without a record are judged by what nnU-Net left beside them; the grade of the evidence is always shown,
    and weak evidence is never more than advice. What cannot be read makes the exit status 2.
    """
    results = Settings.from_environment().results
    if not paths and listing is None and context.info_name == "audit" and results:
        paths = (results,)
    if bool(paths) == (listing is not None):
        raise click.UsageError(f"give either PATH... or --list FILE; without them audit needs ${RESULTS_VARIABLE}")
    with written_to(output):
        answer = _shown(paths, listing, Asked(**asked))
    return exit_status(answer.findings, fail_level, answer.errors)


def _shown(paths: tuple[str, ...], listing: str | None, asked: Asked) -> Answer:
    """Loads no more than this one answer needs: a checkpoint's has 150 ms for everything."""
    kind = kind_of(paths[0]) if len(paths) == 1 and asked.output_format != "html" else TREE
    if kind in (CHECKPOINT, RECORD):
        from .check_one_checkpoint import show

        return show(paths[0], kind, asked)
    if kind != TREE:
        from .check_one_model import show_model

        return show_model(paths[0], kind, asked)
    from .check_many_models import show_models

    return show_models(paths, listing, asked)
