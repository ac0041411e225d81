"""``nnguard diff``: what changed in augmentation and settings between two checkpoints, records or model folders."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import msgspec

from ..difference import ABSENT, Change, differences, unchanged
from ..errors import CheckpointError
from ..models.folder import Fold, open_fold, open_model, read_record_file
from ..report.escape import escaped
from . import CLEAN, FOUND
from .output import checkpoint_option, format_option, print_json
from .paths import LOCAL_PATH

#: A changed value that is longer is cut in text; JSON has all of it.
LONGEST_VALUE = 120


@click.command(name="diff")
@click.argument("first", metavar="A", type=LOCAL_PATH)
@click.argument("second", metavar="B", type=LOCAL_PATH)
@checkpoint_option
@click.option("--all", "everything", is_flag=True, help="Also show what is the same.")
@format_option()
def command(first: str, second: str, checkpoint_name: str, everything: bool, output_format: str) -> int:
    """Show what changed between A and B: checkpoints, nnguard.json records, or model folders.

    A checkpoint against a model folder: the plans and dataset that it was trained with against the folder's.

    Exit status: 0 nothing differs, 1 something does, 2 it could not be compared.
    """
    before, after = comparable(Path(first), Path(second), checkpoint_name)
    try:
        changes = list(differences("", before, after))
        same = list(unchanged("", before, after)) if everything else []
    except RecursionError:
        raise CheckpointError(f"{first}, {second}: values are nested too deeply to be compared") from None
    if output_format == "json":
        data: dict[str, Any] = {"a": first, "b": second, "changes": [_as_data(change) for change in changes]}
        if everything:
            data["same"] = dict(same)
        print_json(data)
    else:
        for line in _as_text(changes, same):
            click.echo(line)
    return FOUND if changes else CLEAN


def comparable(first: Path, second: Path, checkpoint_name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Both sides as plain data of one shape.

    Raises:
        CheckpointError: one cannot be read, or the two have nothing in common.
    """
    if first.is_dir() == second.is_dir():
        return settings_of(first, checkpoint_name), settings_of(second, checkpoint_name)
    if ".json" in (first.suffix, second.suffix):
        raise CheckpointError(f"{first}, {second}: a record and a model folder have nothing in common to compare")
    return _plans_and_dataset(first, checkpoint_name), _plans_and_dataset(second, checkpoint_name)


def _plans_and_dataset(path: Path, checkpoint_name: str) -> dict[str, Any]:
    """What a predictor reads from a folder, what a checkpoint was trained with."""
    found = settings_of(path, checkpoint_name)
    if path.is_dir():
        return {name: found[name] for name in ("plans.json", "dataset.json")}
    trained = found["init_args"]
    return {"plans.json": trained.get("plans", ABSENT), "dataset.json": trained.get("dataset_json", ABSENT)}


def settings_of(path: Path, checkpoint_name: str) -> dict[str, Any]:
    """What there is to compare, as plain data.

    Raises:
        CheckpointError: it cannot be read.
    """
    if path.is_dir():
        model = open_model(path, None, checkpoint_name)
        if model.errors:
            raise CheckpointError("; ".join(model.errors))
        folds = {f"fold_{fold.fold}": _of_checkpoint(fold) for fold in model.folds}
        return {"plans.json": model.plans, "dataset.json": model.dataset, **folds}
    if path.suffix == ".json":
        return {"record": msgspec.to_builtins(read_record_file(path))}
    fold = open_fold(path)
    if fold.checkpoint is None:
        raise CheckpointError(fold.error or f"{path}: cannot be read")
    return _of_checkpoint(fold)


def _of_checkpoint(fold: Fold) -> dict[str, Any]:
    checkpoint = fold.checkpoint
    assert checkpoint is not None
    if fold.record_error:
        raise CheckpointError(f"{fold.path}: {fold.record_error}")
    weaker = fold.weaker() if fold.record is None else None
    return {
        "trainer": checkpoint.trainer_name,
        "epoch": checkpoint.epoch,
        "inference_allowed_mirroring_axes": checkpoint.declared_axes if checkpoint.has_declared_axes else ABSENT,
        "init_args": {key: value for key, value in checkpoint.init_args.items() if key != "device"},
        "record": msgspec.to_builtins(fold.record) if fold.record else ABSENT,
        "weaker evidence": weaker.sentence if weaker else ABSENT,
    }


def _as_data(change: Change) -> dict[str, Any]:
    """A side on which the key is not there has no entry, for ``null`` is a value."""
    key, before, after = change
    sides = {"a": before, "b": after}
    return {"key": key, **{side: value for side, value in sides.items() if value is not ABSENT}}


def _as_text(changes: list[Change], same: list[tuple[str, Any]]) -> Iterator[str]:
    for key, before, after in changes:
        yield escaped(key)
        yield f"  - {_shown(before)}"
        yield f"  + {_shown(after)}"
    if same:
        yield from ("", "the same on both sides:")
        yield from (f"  {escaped(key)}: {_shown(value)}" for key, value in same)
    if not changes:
        yield "nothing differs"


def _shown(value: Any) -> str:
    if isinstance(value, dict) and "class" in value:
        value = value["class"]
    return escaped(value, LONGEST_VALUE)
