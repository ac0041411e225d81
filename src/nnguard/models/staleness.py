"""What nnU-Net computed by predicting with a checkpoint, and whether it was made with the axes of today."""

from __future__ import annotations

import hashlib
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from ..findings import Finding
from ..fold import Fold
from ..nnunet import FOLD_FOLDER, SUMMARY_FILE
from ..rules.nng402_stale_validation import check_stale
from ..rules.remedies import same_axes
from .fold_files import weaker_evidence_of


class Results(msgspec.Struct, frozen=True, kw_only=True):
    """Results that a checkpoint's own mirroring went into.

    Args:
        found: as paths from the dataset's folder.
        again: what to make anew, in words, and in which order.
    """

    found: tuple[str, ...] = ()
    again: str = ""


def results_of(checkpoint: Path) -> Results:
    """What lies around a checkpoint ``.../DATASET/TRAINER__PLANS__CONFIGURATION/fold_X/checkpoint_final.pth``; nothing
    where it lies in no fold folder, or was not validated."""
    fold_folder = checkpoint.absolute().parent
    if FOLD_FOLDER.fullmatch(fold_folder.name) is None or not (fold_folder / SUMMARY_FILE).is_file():
        return Results()
    model = fold_folder.parent
    next_stages = sorted(model.glob("predicted_next_stage/*"))
    # ensembles/ensemble___MODEL___MODEL___0_1_2_3_4, as nnUNetv2_find_best_configuration names them
    ensembles = [one for one in sorted(model.parent.glob("ensembles/*")) if model.name in one.name.split("___")]
    choices = [*sorted(model.glob("crossval_results_folds_*")), *ensembles]
    steps = [f"validate {fold_folder.name} (nnUNetv2_train ... --val)"]
    steps += [f"train the next stage ({', '.join(stage.name for stage in next_stages)})"] if next_stages else []
    steps += ["choose the best configuration and postprocessing (nnUNetv2_find_best_configuration)"] if choices else []
    found = [fold_folder / "validation", *next_stages, *choices]
    return Results(
        found=tuple(str(folder.relative_to(model.parent)) for folder in found),
        again="\n    then ".join([f"Make them anew: {steps[0]}", *steps[1:]]),
    )


def judge_validation(fold: Fold) -> list[Finding]:
    """NNG402: a validation from before ``correct``, ``repair`` or somebody's hand made the axes what they are."""
    checkpoint, record = fold.checkpoint, fold.record
    if checkpoint is None or fold.archive is not None or (record is not None and record.axes.changed_by == "annotate"):
        return []
    edited = record is None or not same_axes(record.axes.effective, checkpoint.declared_axes)
    before = _axes_before(fold, edited)
    if before is msgspec.UNSET or same_axes(before, checkpoint.declared_axes) or not _is_older(fold, edited):
        return []
    results = results_of(fold.path)
    return check_stale(str(fold.path), before, checkpoint.declared_axes, results.found, results.again)


def summary_hash(checkpoint: Path) -> str | None:
    """Of the summary that the checkpoint's validation left; ``None`` where there is none."""
    try:
        return hashlib.sha256((checkpoint.parent / SUMMARY_FILE).read_bytes()).hexdigest()
    except OSError:
        return None


def _axes_before(fold: Fold, edited: bool) -> Any:
    """What validated before the change; ``UNSET`` where nothing tells."""
    if fold.record is None:
        evidence = weaker_evidence_of(fold)
        return evidence.declared if evidence is not None else msgspec.UNSET
    axes = fold.record.axes
    return axes.effective if edited and axes.changed_by == "correct" else axes.declared


def _is_older(fold: Fold, edited: bool) -> bool:
    """Whether the validation is the one from before the change.

    ``repair`` keeps its hash. Of other changes, and in older records, only times tell: somebody's own edit is as old
    as the checkpoint's file.
    """
    if fold.record is not None and not edited and fold.record.axes.validated is not None:
        return summary_hash(fold.path) == fold.record.axes.validated
    try:
        made_at = (fold.path.parent / SUMMARY_FILE).stat().st_mtime
        if edited or fold.record is None:
            return made_at < fold.path.stat().st_mtime
        return made_at < datetime.fromisoformat((fold.record.axes.changed_at or "").replace("Z", "+00:00")).timestamp()
    except (OSError, ValueError):
        return False
