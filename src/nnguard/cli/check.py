"""``nnguard check``: a model folder judged as ``nnUNetv2_predict_from_modelfolder`` would use it."""

from __future__ import annotations

import click

from ..errors import CheckpointError
from ..findings import Finding
from ..models.checking import judge, open_models
from ..models.folder import Model
from ..record import Environment
from ..report.escape import escaped
from .output import (
    FoldsCommand,
    checkpoint_option,
    exit_status,
    fail_level_option,
    findings_for_people,
    folds_option,
    format_option,
    not_ignored,
    print_findings,
)
from .paths import PATH_OR_URL


@click.command(name="check", cls=FoldsCommand)
@click.argument("model_folder", type=PATH_OR_URL)
@folds_option
@checkpoint_option
@click.option("--disable_tta", is_flag=True, help="As for nnUNetv2_predict: without test-time mirroring.")
@format_option()
@fail_level_option
def command(
    model_folder: str,
    folds: tuple[str, ...],
    checkpoint_name: str,
    disable_tta: bool,
    output_format: str,
    fail_level: str,
) -> int:
    """Check MODEL_FOLDER as its predictor would use it, all folds, without loading weights.

    A zip of nnUNetv2_export_model_to_zip, by path or URL, may stand in its place: every model in it is checked.
    """
    models = open_models(model_folder, folds or None, checkpoint_name)
    errors = [error for model in models for error in model.errors]
    readable = [fold for model in models for fold in model.folds if fold.checkpoint is not None]
    if not readable:
        raise CheckpointError("; ".join(errors))
    judged = [not_ignored(judge(model, use_mirroring=not disable_tta, here=Environment.here())) for model in models]
    findings = [finding for of_model in judged for finding in of_model]
    if output_format == "text":
        for model, of_model in zip(models, judged, strict=True):
            _print_text(model, of_model, disable_tta)
    else:
        print_findings(findings, [fold.subject for fold in readable], [], errors)
    return exit_status(findings, fail_level, errors)


def _print_text(model: Model, findings: list[Finding], disable_tta: bool) -> None:
    checked = [fold for fold in model.folds if fold.checkpoint is not None]
    if findings:
        click.echo(findings_for_people(findings) + "\n")
    for error in model.errors:
        click.echo(f"nnguard: {escaped(error)}", err=True)
    folds = ", ".join(str(fold.fold) for fold in checked)
    mirroring = "without mirroring" if disable_tta else "with test-time mirroring as the first fold declares it"
    number = f"{len(findings)} finding{'' if len(findings) == 1 else 's'}" if findings else "no findings"
    unreadable = f", {len(model.errors)} unreadable" if model.errors else ""
    click.echo(f"{escaped(model.subject)}: fold {folds}, {mirroring}: {number}{unreadable}")
