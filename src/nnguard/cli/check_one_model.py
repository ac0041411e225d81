"""One model, or those of an exported zip, judged as ``nnUNetv2_predict_from_modelfolder`` would use it."""

from __future__ import annotations

from pathlib import Path

import click

from ..errors import CheckpointError
from ..findings import Finding
from ..models.folder import Model
from ..models.model_check import judge, open_models
from ..models.path_kind import FOLD
from ..nnunet import FOLD_FOLDER
from ..record import Environment
from ..report.escape import escaped
from .output import Answer, Asked, findings_counted, findings_for_people, not_ignored, print_findings, tell


def show_model(path: str, kind: str, asked: Asked) -> Answer:
    """Prints the findings about a model folder, a fold or a zip.

    Raises:
        CheckpointError: no checkpoint of it can be read.
    """
    folds = asked.folds or None
    if kind == FOLD:
        path, folds = _model_of(Path(path))
    models = open_models(path, folds, asked.checkpoint_name)
    errors = [error for model in models for error in model.errors]
    readable = [fold for model in models for fold in model.folds if fold.checkpoint is not None]
    if not readable:
        raise CheckpointError("; ".join(errors))
    judged = [not_ignored(judge(model, not asked.disable_tta, here=Environment.here())) for model in models]
    findings = [finding for of_model in judged for finding in of_model]
    if asked.output_format == "json":
        print_findings(findings, [fold.subject for fold in readable], [], errors)
    else:
        for model, of_model in zip(models, judged, strict=True):
            _print_text(model, of_model, asked.disable_tta)
    return Answer(findings, errors)


def _model_of(fold: Path) -> tuple[str, tuple[str, ...]]:
    """The model folder, as the user would write it, and the number of one fold in it."""
    named = fold if FOLD_FOLDER.fullmatch(fold.name) else fold.absolute()
    return str(named.parent), (named.name.removeprefix("fold_"),)


def _print_text(model: Model, findings: list[Finding], disable_tta: bool) -> None:
    if findings:
        click.echo(findings_for_people(findings) + "\n")
    for error in model.errors:
        tell(error)
    folds = ", ".join(str(fold.fold) for fold in model.folds if fold.checkpoint is not None)
    mirroring = "without mirroring" if disable_tta else "with test-time mirroring as the first fold declares it"
    unreadable = f", {len(model.errors)} unreadable" if model.errors else ""
    click.echo(f"{escaped(model.subject)}: fold {folds}, {mirroring}: {findings_counted(findings)}{unreadable}")
