"""What nnU-Net computed by predicting with a checkpoint, which of it is older than a change, how to make it anew."""

from __future__ import annotations

import json
from datetime import datetime
from itertools import product
from pathlib import Path
from shlex import quote

import msgspec

from .folder import FOLD_FOLDER, Fold, read_bounded
from .predicting import configuration_of


class Results(msgspec.Struct, frozen=True, kw_only=True):
    """Results that a checkpoint's own mirroring went into.

    Args:
        found: as paths from the dataset's folder.
        commands: that make them anew, in order.
    """

    found: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()


class TrainedAs(msgspec.Struct, frozen=True, kw_only=True):
    """The names that nnU-Net makes a model folder's name of; ``None`` where not known."""

    trainer: str | None = None
    plans: str | None = None
    configuration: str | None = None


class _Model(msgspec.Struct, frozen=True, kw_only=True):
    """A model folder, and what nnU-Net's commands call it."""

    folder: Path
    trainer: str
    plans: str
    configuration: str

    @property
    def own_name(self) -> str:
        return f"{self.trainer}__{self.plans}__{self.configuration}"


def trained_as(fold: Fold) -> TrainedAs:
    """By the checkpoint, or else by its record."""
    checkpoint, record = fold.checkpoint, fold.record
    plans = checkpoint.init_args.get("plans") if checkpoint is not None else None
    return TrainedAs(
        trainer=_name(checkpoint.trainer_name if checkpoint else None, record.trainer.class_ if record else None),
        plans=_name(plans.get("plans_name") if isinstance(plans, dict) else None, record.plans if record else None),
        configuration=_name(configuration_of(fold), record.configuration if record else None),
    )


def _name(*known: object) -> str | None:
    return next((name for name in known if isinstance(name, str) and name and name.isprintable()), None)


def results_of(checkpoint: Path, older_than: str | float | None = None, known_as: TrainedAs | None = None) -> Results:
    """What lies around a checkpoint.

    Args:
        checkpoint: ``.../DATASET/TRAINER__PLANS__CONFIGURATION/fold_X/checkpoint_final.pth``.
        older_than: an ISO time, or seconds since 1970; what was written later is left out, for it was made anew since.
        known_as: what the commands name where the folder was renamed.

    Returns:
        Nothing where the checkpoint lies in no fold folder.
    """
    fold_folder = checkpoint.absolute().parent
    named = FOLD_FOLDER.fullmatch(fold_folder.name)
    if named is None:
        return Results()
    model = _named(fold_folder.parent, known_as or TrainedAs())
    next_stages = sorted(model.folder.glob("predicted_next_stage/*"))
    choices = [*sorted(model.folder.glob("crossval_results_folds_*")), *_ensembles_with(model.folder)]
    since = older_than if isinstance(older_than, float) else _seconds(older_than)
    validations, next_stages, choices = (
        [folder for folder in group if folder.is_dir() and (since is None or _made_at(folder) < since)]
        for group in ([fold_folder / "validation"], next_stages, choices)
    )
    commands = []
    if validations or next_stages:
        commands.append(_validate(model, named.group(1), checkpoint.name, validations))
    commands += [command for stage in next_stages for command in _train_next(model, stage.name, named.group(1))]
    commands += _choose(model, choices, [stage.name for stage in next_stages])
    found = [str(folder.relative_to(model.folder.parent)) for folder in [*validations, *next_stages, *choices]]
    return Results(found=tuple(found), commands=tuple(_where_nnunet_looks(model, commands)))


def _where_nnunet_looks(model: _Model, commands: list[str]) -> list[str]:
    """nnU-Net's commands find a model by its folder's name alone."""
    if not commands or model.folder.name == model.own_name:
        return commands
    note = f"the folder has to be called {model.own_name} for nnU-Net to find it"
    return [f"{commands[0]}{'; ' if '  # ' in commands[0] else '  # '}{note}", *commands[1:]]


def _ensembles_with(model: Path) -> list[Path]:
    """``ensembles/ensemble___MODEL___MODEL___0_1_2_3_4``, as ``nnUNetv2_find_best_configuration`` names them."""
    return [folder for folder in sorted(model.parent.glob("ensembles/*")) if model.name in folder.name.split("___")]


def _validate(model: _Model, fold: str, checkpoint_name: str, validations: list[Path]) -> str:
    """Also writes what the next stage of a cascade is trained with."""
    trainer, plans, configuration = _quoted(model)
    options = " --npz" if any(next(folder.glob("*.npz"), None) for folder in validations) else ""
    options += " --val_best" if checkpoint_name == "checkpoint_best.pth" else ""
    return f"nnUNetv2_train {_dataset_of(model.folder)} {configuration} {fold} -tr {trainer} -p {plans} --val{options}"


def _train_next(model: _Model, stage: str, fold: str) -> list[str]:
    """Every fold of the next stage, whose trainer has the same name: what this fold validates, others train on."""
    trainer, plans, _ = _quoted(model)
    after = _next_model(model, stage)
    trained = [
        folder.name.removeprefix("fold_") for folder in sorted(after.glob("fold_*")) if any(folder.glob("*.pth"))
    ]
    command = f"nnUNetv2_train {_dataset_of(model.folder)} {quote(stage)} FOLD -tr {trainer} -p {plans}"
    if not trained:
        return [command.replace(" FOLD ", f" {fold} ") + "  # if it was trained with this model's segmentations"]
    note = "  # trained with this model's segmentations: once every fold of it is validated anew"
    return [command.replace(" FOLD ", f" {one} ") + note for one in trained]


def _choose(model: _Model, choices: list[Path], next_stages: list[str]) -> list[str]:
    """The choice of the best configuration, which determines the postprocessing, too: one command for each set of
    folds, over the models that it was made from."""
    by_folds: dict[str, list[str]] = {}
    for choice in choices:
        *named, folds = choice.name.removeprefix("crossval_results_folds_").split("___")
        by_folds.setdefault(folds, [model.folder.name]).extend(name for name in named[1:] if name != model.folder.name)
    for stage in next_stages:
        after = _next_model(model, stage)
        for folds, models in by_folds.items():
            models += [after.name] if (after / f"crossval_results_folds_{folds}").is_dir() else []
    return [_find_best(model, list(dict.fromkeys(models)), folds) for folds, models in by_folds.items()]


def _find_best(model: _Model, models: list[str], folds: str) -> str:
    """nnU-Net takes every combination of what is named, and stops at one that was never trained."""
    split = [name.split("__") for name in models]
    note = "  # once every fold is validated anew; determines the postprocessing, too"
    columns = [list(dict.fromkeys(column)) for column in zip(*split, strict=True)] if _all_named(split) else []
    if not columns or not all((model.folder.parent / "__".join(one)).is_dir() for one in product(*columns)):
        columns = [[model.trainer], [model.plans], [model.configuration]]
        note += "; name the models that it was compared with" if len(models) > 1 else ""
    trainers, plans, configurations = (" ".join(map(quote, column)) for column in columns)
    return (
        f"nnUNetv2_find_best_configuration {_dataset_of(model.folder)} -c {configurations} -tr {trainers} -p {plans} "
        f"-f {' '.join(folds.split('_'))}{note}"
    )


def _all_named(split: list[list[str]]) -> bool:
    return all(len(parts) == 3 for parts in split)


def _next_model(model: _Model, stage: str) -> Path:
    return model.folder.parent / f"{model.trainer}__{model.plans}__{stage}"


def _named(folder: Path, known: TrainedAs) -> _Model:
    """By the folder's name, as nnU-Net's commands go; where it was renamed, by what is known of its training."""
    parts = folder.name.split("__")
    if len(parts) != 3:
        parts = [known.trainer or "TRAINER", known.plans or "PLANS", known.configuration or "CONFIG"]
    trainer, plans, configuration = parts
    return _Model(folder=folder, trainer=trainer, plans=plans, configuration=configuration)


def _quoted(model: _Model) -> tuple[str, str, str]:
    """Trainer, plans and configuration, as a shell takes them."""
    return quote(model.trainer), quote(model.plans), quote(model.configuration)


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
