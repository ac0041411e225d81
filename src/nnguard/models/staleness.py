"""What nnU-Net computed by predicting with a checkpoint, which of it is older than a change, how to make it anew."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from shlex import quote

import msgspec

from .folder import FOLD_FOLDER, read_bounded


class Results(msgspec.Struct, frozen=True, kw_only=True):
    """Results that a checkpoint's own mirroring went into.

    Args:
        found: as paths from the dataset's folder.
        commands: that make them anew, in order.
    """

    found: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()


def results_of(checkpoint: Path, older_than: str | None = None) -> Results:
    """What lies around a checkpoint.

    Args:
        checkpoint: ``.../DATASET/TRAINER__PLANS__CONFIGURATION/fold_X/checkpoint_final.pth``.
        older_than: an ISO time; what was written later is left out, for it was made anew since.

    Returns:
        Nothing where the checkpoint lies in no fold folder.
    """
    fold_folder = checkpoint.absolute().parent
    named = FOLD_FOLDER.fullmatch(fold_folder.name)
    if named is None:
        return Results()
    model = fold_folder.parent
    validations = [fold_folder / "validation"]
    next_stages = sorted(model.glob("predicted_next_stage/*"))
    choices = [
        *sorted(model.glob("crossval_results_folds_*")),
        *(folder for folder in sorted(model.parent.glob("ensembles/*")) if model.name in folder.name),
    ]
    since = _seconds(older_than)
    validations, next_stages, choices = (
        [folder for folder in group if folder.is_dir() and (since is None or _made_at(folder) < since)]
        for group in (validations, next_stages, choices)
    )
    return Results(
        found=tuple(str(folder.relative_to(model.parent)) for folder in [*validations, *next_stages, *choices]),
        commands=tuple(_commands(model, named.group(1), checkpoint.name, validations, next_stages, choices)),
    )


def _commands(
    model: Path,
    fold: str,
    checkpoint_name: str,
    validations: list[Path],
    next_stages: list[Path],
    choices: list[Path],
) -> list[str]:
    """Validation writes what the next stage is trained with, so that it comes first."""
    parts = model.name.split("__")
    trainer, plans, configuration = (
        (quote(part) for part in parts) if len(parts) == 3 else ("TRAINER", "PLANS", "CONFIG")
    )
    dataset = quote(_dataset_of(model))
    commands = []
    if validations or next_stages:
        options = " --npz" if any(next(folder.glob("*.npz"), None) for folder in validations) else ""
        options += " --val_best" if checkpoint_name == "checkpoint_best.pth" else ""
        commands.append(f"nnUNetv2_train {dataset} {configuration} {fold} -tr {trainer} -p {plans} --val{options}")
    commands += [
        f"nnUNetv2_train {dataset} {quote(stage.name)} {fold} -p {plans}  # trained with this model's segmentations"
        for stage in next_stages
    ]
    if choices:
        commands.append(f"nnUNetv2_find_best_configuration {dataset} -c {configuration} -tr {trainer} -p {plans}")
    return commands


def _dataset_of(model: Path) -> str:
    """By the model's plans: a folder that was copied or renamed names no data set."""
    text = read_bounded(model / "plans.json")
    try:
        plans = json.loads(text) if text is not None else None
    except ValueError:
        plans = None
    named = plans.get("dataset_name") if isinstance(plans, dict) else None
    return named if isinstance(named, str) and named else model.parent.name


def _made_at(folder: Path) -> float:
    """When its results were made: nnU-Net writes the summary last."""
    summary = folder / "summary.json"
    return (summary if summary.exists() else folder).stat().st_mtime


def _seconds(time: str | None) -> float | None:
    try:
        return datetime.fromisoformat(time.replace("Z", "+00:00")).timestamp() if time else None
    except ValueError:
        return None
