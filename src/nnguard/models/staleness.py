"""What nnU-Net computed by predicting with a checkpoint, which of it is older than a change, how to make it anew."""

from __future__ import annotations

import json
from datetime import datetime
from itertools import product
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


def results_of(checkpoint: Path, older_than: str | float | None = None) -> Results:
    """What lies around a checkpoint.

    Args:
        checkpoint: ``.../DATASET/TRAINER__PLANS__CONFIGURATION/fold_X/checkpoint_final.pth``.
        older_than: an ISO time, or seconds since 1970; what was written later is left out, for it was made anew since.

    Returns:
        Nothing where the checkpoint lies in no fold folder.
    """
    fold_folder = checkpoint.absolute().parent
    named = FOLD_FOLDER.fullmatch(fold_folder.name)
    if named is None:
        return Results()
    model = fold_folder.parent
    next_stages = sorted(model.glob("predicted_next_stage/*"))
    choices = [*sorted(model.glob("crossval_results_folds_*")), *_ensembles_with(model)]
    since = older_than if isinstance(older_than, float) else _seconds(older_than)
    validations, next_stages, choices = (
        [folder for folder in group if folder.is_dir() and (since is None or _made_at(folder) < since)]
        for group in ([fold_folder / "validation"], next_stages, choices)
    )
    commands = []
    if validations or next_stages:
        commands.append(_validate(model, named.group(1), checkpoint.name, validations))
    commands += [command for stage in next_stages for command in _train_next(model, stage.name, named.group(1))]
    return Results(
        found=tuple(str(folder.relative_to(model.parent)) for folder in [*validations, *next_stages, *choices]),
        commands=(*commands, *_choose(model, choices, [stage.name for stage in next_stages])),
    )


def _ensembles_with(model: Path) -> list[Path]:
    """``ensembles/ensemble___MODEL___MODEL___0_1_2_3_4``, as ``nnUNetv2_find_best_configuration`` names them."""
    return [folder for folder in sorted(model.parent.glob("ensembles/*")) if model.name in folder.name.split("___")]


def _validate(model: Path, fold: str, checkpoint_name: str, validations: list[Path]) -> str:
    """Also writes what the next stage of a cascade is trained with."""
    trainer, plans, configuration = _parts_of(model)
    options = " --npz" if any(next(folder.glob("*.npz"), None) for folder in validations) else ""
    options += " --val_best" if checkpoint_name == "checkpoint_best.pth" else ""
    return f"nnUNetv2_train {_dataset_of(model)} {configuration} {fold} -tr {trainer} -p {plans} --val{options}"


def _train_next(model: Path, stage: str, fold: str) -> list[str]:
    """Every fold of the next stage, whose trainer has the same name: what this fold validates, others train on."""
    trainer, plans, _ = _parts_of(model)
    after = _next_model(model, stage)
    trained = [
        folder.name.removeprefix("fold_") for folder in sorted(after.glob("fold_*")) if any(folder.glob("*.pth"))
    ]
    command = f"nnUNetv2_train {_dataset_of(model)} {quote(stage)} FOLD -tr {trainer} -p {plans}"
    if not trained:
        return [command.replace(" FOLD ", f" {fold} ") + "  # if it was trained with this model's segmentations"]
    note = "  # trained with this model's segmentations: once every fold of it is validated anew"
    return [command.replace(" FOLD ", f" {one} ") + note for one in trained]


def _choose(model: Path, choices: list[Path], next_stages: list[str]) -> list[str]:
    """The choice of the best configuration, which determines the postprocessing, too: one command for each set of
    folds, over the models that it was made from."""
    by_folds: dict[str, list[str]] = {}
    for choice in choices:
        *named, folds = choice.name.removeprefix("crossval_results_folds_").split("___")
        by_folds.setdefault(folds, [model.name]).extend(name for name in named[1:] if name != model.name)
    for stage in next_stages:
        after = _next_model(model, stage)
        for folds, models in by_folds.items():
            models += [after.name] if (after / f"crossval_results_folds_{folds}").is_dir() else []
    return [_find_best(model, list(dict.fromkeys(models)), folds) for folds, models in by_folds.items()]


def _find_best(model: Path, models: list[str], folds: str) -> str:
    """nnU-Net takes every combination of what is named, and stops at one that was never trained."""
    split = [name.split("__") for name in models]
    note = "  # once every fold is validated anew; determines the postprocessing, too"
    columns = [list(dict.fromkeys(column)) for column in zip(*split, strict=True)] if _all_named(split) else []
    if not columns or not all((model.parent / "__".join(one)).is_dir() for one in product(*columns)):
        columns = [[part] for part in _parts_of(model, quoted=False)]
        note += "; name the models that it was compared with" if len(models) > 1 else ""
    trainers, plans, configurations = (" ".join(map(quote, column)) for column in columns)
    return (
        f"nnUNetv2_find_best_configuration {_dataset_of(model)} -c {configurations} -tr {trainers} -p {plans} "
        f"-f {' '.join(folds.split('_'))}{note}"
    )


def _all_named(split: list[list[str]]) -> bool:
    return all(len(parts) == 3 for parts in split)


def _next_model(model: Path, stage: str) -> Path:
    trainer, plans, _ = _parts_of(model, quoted=False)
    return model.parent / f"{trainer}__{plans}__{stage}"


def _parts_of(model: Path, quoted: bool = True) -> tuple[str, str, str]:
    """Trainer, plans and configuration, by the folder's name."""
    parts = model.name.split("__")
    trainer, plans, configuration = parts if len(parts) == 3 else ("TRAINER", "PLANS", "CONFIG")
    return (quote(trainer), quote(plans), quote(configuration)) if quoted else (trainer, plans, configuration)


def _dataset_of(model: Path) -> str:
    """By the model's plans, as a shell takes it: a folder that was copied or renamed names no data set."""
    text = read_bounded(model / "plans.json")
    try:
        plans = json.loads(text) if text is not None else None
    except ValueError:
        plans = None
    named = plans.get("dataset_name") if isinstance(plans, dict) else None
    return quote(named if isinstance(named, str) and named else model.parent.name)


def _made_at(folder: Path) -> float:
    """When its results were made: nnU-Net writes the summary last."""
    summary = folder / "summary.json"
    return (summary if summary.exists() else folder).stat().st_mtime


def _seconds(time: str | None) -> float | None:
    try:
        return datetime.fromisoformat(time.replace("Z", "+00:00")).timestamp() if time else None
    except ValueError:
        return None
