"""Runs side by side: what differs from a baseline, and what each of them scored."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..difference import ABSENT, Change
from ..errors import CheckpointError
from ..fold import Fold, configuration_of, names_of
from ..nnunet import CHECKPOINT_NAME, FOLD_ALL, fold_folder
from ..rules.subjects import Scores
from .folder import detect_folds, open_fold
from .run_settings import GRADES, RunSettings, differing_settings, settings_of
from .scores import scores_of

DEFAULT_TRAINER = "nnUNetTrainer"
MEAN = "mean"
#: What rows can be sorted by; the best, largest or longest first, names from A to Z.
ORDERS = ("validation", "pseudo", "gap", "epochs", "model")

#: A run, or a baseline, as the JSON document has it: ``docs/output.schema.json`` says what each entry means.
Row = dict[str, Any]


class Run(NamedTuple):
    """One fold of a model; ``started`` is when its first epoch began, in seconds since 1970, if that was logged."""

    row: Row
    settings: RunSettings
    scores: Scores
    started: float | None

    @property
    def group(self) -> tuple[str, str]:
        """Runs of one data set and configuration are compared with each other."""
        return self.row["dataset"] or "", self.row["configuration"] or ""


def compare(
    folders: Iterable[Path],
    baseline: Path | None = None,
    checkpoint_name: str = CHECKPOINT_NAME,
    order: str = ORDERS[0],
) -> dict[str, Any]:
    """Reads every model and compares it, fold by fold, with its baseline.

    Args:
        folders: model folders; what cannot be read in them is in ``errors``.
        baseline: a model folder to compare everything with; ``None``: in each data set and configuration the one
            trained by nnUNetTrainer, else the oldest.
        checkpoint_name: in each fold's folder.
        order: one of ``ORDERS``.

    Returns:
        What ``nnguard compare --format json`` prints of runs, without its version.

    Raises:
        CheckpointError: the baseline that was asked for cannot be read.
    """
    folders = list(folders)
    if baseline is not None and all(one.resolve() != baseline.resolve() for one in folders):
        folders.append(baseline)
    errors: list[str] = []
    runs = [run for folder in folders for run in _runs_in(folder, checkpoint_name, errors)]
    chosen = _chosen(runs, baseline, errors)
    for run in runs:
        run.row.update(_against(run, _baseline_of(run, runs, chosen)))
    return {
        "baselines": list(chosen.values()),
        "runs": _ordered(_with_means(runs), order),
        "errors": errors,
    }


def _runs_in(folder: Path, checkpoint_name: str, errors: list[str]) -> list[Run]:
    """The folds that can be read; why others cannot, or why there is none, goes into ``errors``."""
    try:
        folds: list[int | str] = detect_folds(folder, checkpoint_name)
    except OSError as error:
        errors.append(f"{folder}: {error.strerror}")
        return []
    if (folder / FOLD_ALL / checkpoint_name).exists():
        folds.append("all")
    if not folds:
        errors.append(f"{folder}: no fold_X with a {checkpoint_name}")
    opened = [open_fold(folder / fold_folder(number) / checkpoint_name, number) for number in folds]
    for fold in opened:
        if fold.checkpoint is None:
            errors.append(fold.error or f"{fold.path}: cannot be read")
        elif fold.record_error:
            errors.append(f"{fold.path}: {fold.record_error}; compared without its record")
    return [_run(folder, fold) for fold in opened if fold.checkpoint is not None]


def _run(folder: Path, fold: Fold) -> Run:
    checkpoint = fold.checkpoint
    assert checkpoint is not None
    dataset, plans = names_of(fold)
    settings, scores = settings_of(fold), scores_of(fold)
    times = checkpoint.logging.get("epoch_start_timestamps")
    row = {
        "model": str(folder),
        "fold": fold.fold,
        "trainer": checkpoint.trainer_name,
        "plans": plans,
        "configuration": configuration_of(fold),
        "dataset": dataset,
        "evidence": settings.grade,
        "epochs": checkpoint.epoch,
        **_scored(scores),
    }
    started = times[0] if isinstance(times, list) and times and isinstance(times[0], (int, float)) else None
    return Run(row, settings, scores, started)


def _scored(scores: Scores) -> Row:
    return {
        "pseudo_dice": {"mean": scores.pseudo, "labels": scores.pseudo_labels},
        "validation_dice": {"mean": scores.validation, "labels": scores.validation_labels},
        "gap": scores.gap,
    }


# ---------------------------------------------------------------- the baseline


def _chosen(runs: Sequence[Run], asked: Path | None, unread: Sequence[str]) -> dict[tuple[str, str], Row]:
    """The baseline of each data set and configuration."""
    model = None
    if asked is not None:
        model = next((run.row["model"] for run in runs if Path(run.row["model"]).resolve() == asked.resolve()), None)
        if model is None:
            reasons = [line for line in unread if line.startswith(str(asked))]
            raise CheckpointError("; ".join(reasons) or f"{asked}: the baseline cannot be read")
    found: dict[tuple[str, str], Row] = {}
    for run in runs:
        if run.group not in found:
            group = [other for other in runs if other.group == run.group]
            told = {"model": model, "why": "asked for with --baseline"} if model else _default(group)
            found[run.group] = {name: run.row[name] for name in ("dataset", "configuration")} | told
    return found


def _default(group: Sequence[Run]) -> Row:
    ours = [one for one in group if one.row["trainer"] == DEFAULT_TRAINER]
    first = min(ours or group, key=lambda one: (one.started is None, one.started or 0.0, one.row["model"]))
    if ours:
        more = len({one.row["model"] for one in ours}) > 1
        why = f"trained by {DEFAULT_TRAINER}" + (", the oldest of these" if more else "")
    else:
        why = f"the oldest: none was trained by {DEFAULT_TRAINER}"
    return {"model": first.row["model"], "why": why}


def _baseline_of(run: Run, runs: Sequence[Run], chosen: dict[tuple[str, str], Row]) -> Run:
    """The same fold of the baseline, else its first."""
    folds = [one for one in runs if one.row["model"] == chosen[run.group]["model"]]
    return next((one for one in folds if one.row["fold"] == run.row["fold"]), folds[0])


def _against(run: Run, baseline: Run) -> Row:
    """What a run differs by; the baseline's own folds by nothing."""
    is_baseline = run.row["model"] == baseline.row["model"]
    changes: list[Change] = []
    unknown: list[str] = []
    if not is_baseline:
        try:
            changes, unknown = differing_settings(baseline.settings, run.settings)
        except RecursionError:
            unknown = ["values that are nested too deeply to be compared"]
        if run.row["dataset"] != baseline.row["dataset"]:
            changes.insert(0, ("dataset", baseline.row["dataset"], run.row["dataset"]))
    return {
        "baseline": baseline.row["model"],
        "is_baseline": is_baseline,
        "differences": [_as_difference(change) for change in changes],
        "unknown": unknown,
    }


def _as_difference(change: Change) -> Row:
    """A side on which the setting is not there has no entry, because ``null`` is a value."""
    name, before, after = change
    sides = {"baseline": before, "run": after}
    return {"setting": name, **{side: value for side, value in sides.items() if value is not ABSENT}}


# ---------------------------------------------------------------- several folds


def _with_means(runs: Sequence[Run]) -> list[list[Row]]:
    """The rows of each model; if it has several folds, their mean first.

    ``fold_all`` has seen the cases that it is validated on, and is no part of a mean.
    """
    models: dict[str, list[Run]] = {}
    for run in runs:
        models.setdefault(run.row["model"], []).append(run)
    rows = []
    for folds in models.values():
        apart = [run for run in folds if run.row["fold"] != "all"]
        rows.append([*([_mean_of(apart)] if len(apart) > 1 else []), *(run.row for run in folds)])
    return rows


def _mean_of(folds: Sequence[Run]) -> Row:
    """Of settings what differs in any fold, of evidence the weakest, of epochs the fewest."""
    rows = [run.row for run in folds]
    differences: list[Row] = []
    for difference in (one for row in rows for one in row["differences"]):
        if difference not in differences:
            differences.append(difference)
    return {
        **rows[0],
        "fold": MEAN,
        "evidence": min((row["evidence"] for row in rows), key=GRADES.index),
        "epochs": min((row["epochs"] for row in rows if row["epochs"] is not None), default=None),
        **_scored(_mean_scores([run.scores for run in folds])),
        "differences": differences,
        "unknown": list(dict.fromkeys(what for row in rows for what in row["unknown"])),
    }


def _mean_scores(scores: Sequence[Scores]) -> Scores:
    """The mean of each figure that every fold has; a figure that a fold lacks is not known of all."""

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


def _ordered(models: list[list[Row]], order: str) -> list[Row]:
    """Group by group, model by model, its folds below it; what has no figure comes last."""

    def place(rows: list[Row]) -> tuple[Any, ...]:
        first = rows[0]
        figures = {name: first[f"{name}_dice"]["mean"] for name in ("validation", "pseudo")}
        figure = {**figures, "gap": first["gap"], "epochs": first["epochs"]}.get(order)
        by_figure = () if order == "model" else (figure is None, -(figure or 0.0))
        return (first["dataset"] or "", first["configuration"] or "", *by_figure, first["model"])

    return [row for rows in sorted(models, key=place) for row in rows]
