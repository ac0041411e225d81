"""Runs side by side: what differs from a baseline, and what each of them scored."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from ..difference import Change
from ..errors import CheckpointError
from ..rules.subjects import Scores
from .folder import CHECKPOINT_NAME, Fold, detect_folds, open_fold
from .predicting import configuration_of
from .scores import scores_of
from .settings import GRADES, RunSettings, compared, settings_of

DEFAULT_TRAINER = "nnUNetTrainer"
MEAN = "mean"
#: What rows can be sorted by; the best, largest or longest first, names from A to Z.
ORDERS = ("validation", "pseudo", "gap", "epochs", "model")


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One fold of a model, or the mean over its folds (``fold`` is ``"mean"``).

    Args:
        model: the model folder.
        fold: 0, 1, ..., ``"all"`` or ``"mean"``.
        trainer, plans, configuration, dataset: as the checkpoint names them.
        epochs: how many were finished; of a mean the fewest.
        started: when its first epoch began, in seconds since 1970; ``None`` where not logged.
        scores: Dice of training and validation.
        settings: ``None`` for a mean.
        grade: what the settings rest on, of a mean the weakest.
        changes: what differs from the baseline; of a mean, what differs in any fold.
        unknown: what could not be compared, in words.
        baseline: the baseline's model folder; ``None`` where there is none to compare with.
        is_baseline: whether it is that model itself.
    """

    model: str
    fold: int | str
    trainer: str | None = None
    plans: str | None = None
    configuration: str | None = None
    dataset: str | None = None
    epochs: int | None = None
    started: float | None = None
    scores: Scores = Scores()
    settings: RunSettings | None = None
    grade: str = ""
    changes: list[Change] = []
    unknown: list[str] = []
    baseline: str | None = None
    is_baseline: bool = False

    @property
    def group(self) -> tuple[str, str]:
        """Runs of one data set and configuration are compared with each other."""
        return self.dataset or "", self.configuration or ""


class Baseline(msgspec.Struct, frozen=True, kw_only=True):
    """What a group of runs is compared with, and how it was chosen, for people."""

    dataset: str | None
    configuration: str | None
    model: str
    why: str


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that ``nnguard compare`` shows. ``errors`` and ``skipped``: one line each."""

    runs: list[Run] = []
    baselines: list[Baseline] = []
    errors: list[str] = []
    skipped: list[str] = []


def compare(
    folders: Iterable[Path],
    baseline: Path | None = None,
    checkpoint_name: str = CHECKPOINT_NAME,
    order: str = "validation",
) -> Comparison:
    """Reads every model and compares it, fold by fold, with its baseline.

    Args:
        folders: model folders; what cannot be read in them is in ``errors``.
        baseline: a model folder to compare everything with; ``None``: in each data set and configuration the one
            trained by nnUNetTrainer, else the oldest.
        checkpoint_name: in each fold's folder.
        order: one of ``ORDERS``.

    Raises:
        CheckpointError: the baseline that was asked for cannot be read.
    """
    folders = list(folders)
    if baseline is not None and all(one.resolve() != baseline.resolve() for one in folders):
        folders.append(baseline)
    runs: list[Run] = []
    errors: list[str] = []
    skipped: list[str] = []
    for folder in folders:
        found, unread, passed_over = _runs_in(folder, checkpoint_name)
        runs, errors, skipped = runs + found, errors + unread, skipped + passed_over
    chosen = _chosen(runs, baseline, errors + skipped)
    compared_runs = [_against(run, _baseline_of(run, runs, chosen)) for run in runs]
    return Comparison(
        runs=_ordered(_with_means(compared_runs), order),
        baselines=list(chosen.values()),
        errors=errors,
        skipped=skipped,
    )


def _runs_in(folder: Path, checkpoint_name: str) -> tuple[list[Run], list[str], list[str]]:
    """The folds that can be read, why others cannot, and why there is none."""
    try:
        folds: list[int | str] = detect_folds(folder, checkpoint_name)
    except OSError as error:
        return [], [f"{folder}: {error.strerror}"], []
    if (folder / "fold_all" / checkpoint_name).exists():
        folds.append("all")
    if not folds:
        return [], [], [f"{folder}: no fold_X with a {checkpoint_name}"]
    runs, errors = [], []
    for number in folds:
        fold = open_fold(folder / f"fold_{number}" / checkpoint_name, number)
        if fold.checkpoint is None:
            errors.append(fold.error or f"{fold.path}: cannot be read")
            continue
        if fold.record_error:
            errors.append(f"{fold.path}: {fold.record_error}; compared without its record")
        runs.append(_run(folder, fold))
    return runs, errors, []


def _run(folder: Path, fold: Fold) -> Run:
    checkpoint = fold.checkpoint
    assert checkpoint is not None
    plans = checkpoint.init_args.get("plans")
    names = plans if isinstance(plans, dict) else {}
    settings = settings_of(fold)
    times = checkpoint.logging.get("epoch_start_timestamps")
    started = times[0] if isinstance(times, list) and times and isinstance(times[0], (int, float)) else None
    return Run(
        model=str(folder),
        fold=fold.fold,
        trainer=checkpoint.trainer_name,
        plans=_text(names.get("plans_name")),
        configuration=configuration_of(fold),
        dataset=_text(names.get("dataset_name")),
        epochs=checkpoint.epoch,
        started=started,
        scores=scores_of(fold),
        settings=settings,
        grade=settings.grade,
    )


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


# ---------------------------------------------------------------- the baseline


def _chosen(runs: Sequence[Run], asked: Path | None, unread: Sequence[str]) -> dict[tuple[str, str], Baseline]:
    """The baseline of each data set and configuration."""
    if asked is not None:
        model = next((run.model for run in runs if Path(run.model).resolve() == asked.resolve()), None)
        if model is None:
            reasons = [line for line in unread if line.startswith(str(asked))]
            raise CheckpointError("; ".join(reasons) or f"{asked}: the baseline cannot be read")
        return {
            run.group: Baseline(
                dataset=run.dataset, configuration=run.configuration, model=model, why="asked for with --baseline"
            )
            for run in runs
        }
    found = {}
    for run in runs:
        if run.group not in found:
            found[run.group] = _default(run, [other for other in runs if other.group == run.group])
    return found


def _default(run: Run, group: Sequence[Run]) -> Baseline:
    ours = [one for one in group if one.trainer == DEFAULT_TRAINER]
    first = min(ours or group, key=lambda one: (one.started is None, one.started or 0.0, one.model))
    if ours:
        more = len({one.model for one in ours}) > 1
        why = f"trained by {DEFAULT_TRAINER}" + (", the oldest of these" if more else "")
    else:
        why = f"the oldest: none was trained by {DEFAULT_TRAINER}"
    return Baseline(dataset=run.dataset, configuration=run.configuration, model=first.model, why=why)


def _baseline_of(run: Run, runs: Sequence[Run], chosen: dict[tuple[str, str], Baseline]) -> Run:
    """The same fold of the baseline, else its first."""
    folds = [one for one in runs if one.model == chosen[run.group].model]
    return next((one for one in folds if one.fold == run.fold), folds[0])


def _against(run: Run, baseline: Run) -> Run:
    known = {"baseline": baseline.model, "is_baseline": run.model == baseline.model}
    if run.model == baseline.model:
        return msgspec.structs.replace(run, **known)
    assert run.settings is not None
    assert baseline.settings is not None
    try:
        found = compared(baseline.settings, run.settings)
    except RecursionError:
        return msgspec.structs.replace(run, **known, unknown=["values that are nested too deeply to be compared"])
    changes = list(found.changes)
    if run.dataset != baseline.dataset:
        changes.insert(0, ("dataset", baseline.dataset, run.dataset))
    return msgspec.structs.replace(run, **known, changes=changes, unknown=found.unknown)


# ---------------------------------------------------------------- several folds


def _with_means(runs: Sequence[Run]) -> list[list[Run]]:
    """The runs of each model; where it has several folds, their mean first."""
    models: dict[str, list[Run]] = {}
    for run in runs:
        models.setdefault(run.model, []).append(run)
    return [[_mean_of(folds), *folds] if len(_trained_apart(folds)) > 1 else folds for folds in models.values()]


def _trained_apart(folds: Sequence[Run]) -> list[Run]:
    """``fold_all`` has seen the cases that it is validated on: no part of a mean."""
    return [run for run in folds if run.fold != "all"]


def _mean_of(folds: Sequence[Run]) -> Run:
    apart = _trained_apart(folds)
    changes: list[Change] = []
    for change in (change for run in apart for change in run.changes):
        if change not in changes:
            changes.append(change)
    epochs = [run.epochs for run in apart if run.epochs is not None]
    return msgspec.structs.replace(
        apart[0],
        fold=MEAN,
        epochs=min(epochs, default=None),
        scores=mean_scores([run.scores for run in apart]),
        settings=None,
        grade=min((run.grade for run in apart), key=GRADES.index),
        changes=changes,
        unknown=list(dict.fromkeys(what for run in apart for what in run.unknown)),
    )


def mean_scores(scores: Sequence[Scores]) -> Scores:
    """The mean of each figure over those folds that have it; a figure that a fold lacks is not known of all."""

    def mean(values: list[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return sum(known) / len(known) if known and len(known) == len(values) else None

    def means(each: list[dict[str, float]]) -> dict[str, float]:
        names = dict.fromkeys(name for one in each for name in one)
        found = {name: mean([one.get(name) for one in each]) for name in names}
        return {name: value for name, value in found.items() if value is not None}

    return Scores(
        pseudo=mean([one.pseudo for one in scores]),
        validation=mean([one.validation for one in scores]),
        pseudo_labels=means([one.pseudo_labels for one in scores]),
        validation_labels=means([one.validation_labels for one in scores]),
    )


def _ordered(models: list[list[Run]], order: str) -> list[Run]:
    """Group by group, model by model, its folds below it; what has no figure comes last."""

    def place(folds: list[Run]) -> tuple[Any, ...]:
        first = folds[0]
        figures = {
            "validation": first.scores.validation,
            "pseudo": first.scores.pseudo,
            "gap": first.scores.gap,
            "epochs": first.epochs,
        }
        figure = figures.get(order)
        by_figure = () if order == "model" else (figure is None, -(figure or 0.0))
        return (first.group, *by_figure, first.model)

    return [run for folds in sorted(models, key=place) for run in folds]
