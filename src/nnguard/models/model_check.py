"""A model folder judged as its predictor would use it: every rule that needs no images and no torch."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from shlex import quote
from typing import Any

import msgspec

from ..errors import CheckpointError
from ..findings import Finding, worst_first
from ..fold import Fold
from ..nnunet import CHECKPOINT_NAME
from ..record import Environment
from ..rules.nng401_metric_gap import check_gap
from .ensemble import judge_together, member_of
from .fold_check import FROM_CHECKPOINT, judge_mirroring, prediction_of
from .folder import Model, open_model
from .scores import scores_of
from .staleness import judge_validation


def check_model(
    folder: str | Path,
    folds: Iterable[int | str] | None = None,
    checkpoint_name: str = CHECKPOINT_NAME,
    use_mirroring: bool = True,
    mirroring_axes: Any = FROM_CHECKPOINT,
) -> list[Finding]:
    """Checks a trained model as ``nnUNetv2_predict_from_modelfolder`` would use it.

    Args:
        folder: with ``plans.json``, ``dataset.json`` and ``fold_X``; or a zip of ``nnUNetv2_export_model_to_zip``, by
            path or ``fsspec`` URL, all of whose models are checked.
        folds: which; ``None`` for those that nnU-Net would find.
        checkpoint_name: in each fold's folder.
        use_mirroring: ``False`` is ``--disable_tta``.
        mirroring_axes: spatial axes (0-based, after ``transpose_forward``) that a predictor would be
            given instead of the checkpoint's.

    Returns:
        Findings, worst first. A fold without a record is a finding (NNG108), never a pass.

    Raises:
        CheckpointError: the folder, its plans or a checkpoint cannot be read.
    """
    models = open_models(folder, folds, checkpoint_name)
    errors = [error for model in models for error in model.errors]
    if errors:
        raise CheckpointError("; ".join(errors))
    return worst_first(finding for model in models for finding in judge(model, use_mirroring, mirroring_axes))


def open_models(
    path: str | Path, folds: Iterable[int | str] | None = None, checkpoint_name: str = CHECKPOINT_NAME
) -> list[Model]:
    """The model in a folder, or those in an exported zip; arguments and errors as for ``check_model``."""
    from .model_zip import is_exported, open_exported_models

    if is_exported(path):
        return open_exported_models(path, folds, checkpoint_name)
    return [open_model(path, folds, checkpoint_name)]


def judge(
    model: Model, use_mirroring: bool = True, mirroring_axes: Any = FROM_CHECKPOINT, here: Environment | None = None
) -> list[Finding]:
    """The findings about the folds that could be read; ``model.errors`` has the others.

    Args:
        model: as opened.
        use_mirroring, mirroring_axes: as for ``check_model``.
        here: the versions that would predict; ``None`` where it will be done elsewhere.
    """
    readable = [fold for fold in model.folds if fold.checkpoint is not None]
    if not readable:
        return []
    findings: list[Finding] = []
    for fold in readable:
        findings += judge_mirroring(fold, prediction_of(model, fold, readable[0], use_mirroring, mirroring_axes))
    findings += judge_together(
        model.subject,
        model.plans,
        model.dataset,
        [member_of(fold) for fold in model.folds],
        use_mirroring=use_mirroring,
        axes=msgspec.UNSET if mirroring_axes is FROM_CHECKPOINT else mirroring_axes,
        checkpoint_name=model.folds[0].path.name,
        here=here,
    )
    for fold in readable:
        findings += judge_results(fold, findings)
    return worst_first(findings)


def judge_results(fold: Fold, others: list[Finding]) -> list[Finding]:
    """NNG401 and NNG402: the fold's own validation against its training, and its axes now."""
    stale = judge_validation(fold)
    gap = check_gap(
        fold.subject,
        scores_of(fold),
        [*(finding for finding in others if finding.subject == fold.subject), *stale],
        model=quote(str(fold.folder.parent)),
    )
    return [*gap, *stale]
