"""What differs between two things: checkpoints, ``nnguard.json`` records, folds, models."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import msgspec

from ..difference import ABSENT, Change, differences
from ..errors import CheckpointError
from ..fold import Fold
from ..models.fold_files import weaker_evidence_of
from ..models.folder import open_fold, read_record_file
from ..models.model_check import open_models
from ..models.path_kind import FOLD, MODEL, RECORD, ZIP, kind_of
from ..nnunet import ARGUMENTS_KEY, AXES_KEY, DATASET_FILE, PLANS_FILE, fold_folder
from ..report.escape import escaped
from .output import print_json

#: A changed value that is longer is cut in text; JSON has all of it.
LONGEST_VALUE = 120


def show_differences(first: str, second: str, checkpoint_name: str, output_format: str) -> None:
    """Prints every leaf that differs.

    Raises:
        CheckpointError: one cannot be read, or the two have nothing in common.
    """
    before, after = comparable(first, second, checkpoint_name)
    try:
        changes = list(differences("", before, after))
    except RecursionError:
        raise CheckpointError(f"{first}, {second}: values are nested too deeply to be compared") from None
    if output_format == "json":
        print_json({"a": first, "b": second, "changes": [_as_data(change) for change in changes]})
    else:
        click.echo("\n".join(_as_text(changes)) or f"nothing differs in {', '.join(before)}")


def comparable(first: str, second: str, checkpoint_name: str) -> list[dict[str, Any]]:
    """Both sides as plain data of one shape: of a model and a checkpoint, plans and dataset; of a record and a
    checkpoint, the records.

    Raises:
        CheckpointError: one cannot be read, or the two have nothing in common.
    """
    sides = [_data_of(path, checkpoint_name) for path in (first, second)]
    models = sum(PLANS_FILE in side for side in sides)
    if models == 1 and not all(PLANS_FILE in side or ARGUMENTS_KEY in side for side in sides):
        raise CheckpointError(f"{first}, {second}: a record and a model folder have nothing in common to compare")
    if models == 1:
        return [_plans_and_dataset(side) for side in sides]
    if models == 0 and not all(ARGUMENTS_KEY in side for side in sides):
        return [{"record": side["record"]} for side in sides]
    return sides


def _plans_and_dataset(side: dict[str, Any]) -> dict[str, Any]:
    """What a predictor reads from a folder, what a checkpoint was trained with."""
    if PLANS_FILE in side:
        return {name: side[name] for name in (PLANS_FILE, DATASET_FILE)}
    trained = side[ARGUMENTS_KEY]
    return {PLANS_FILE: trained.get("plans", ABSENT), DATASET_FILE: trained.get("dataset_json", ABSENT)}


def _data_of(path: str, checkpoint_name: str) -> dict[str, Any]:
    kind = kind_of(path)
    if kind in (MODEL, ZIP):
        return _of_model(path, checkpoint_name)
    if kind == RECORD:
        return {"record": msgspec.to_builtins(read_record_file(Path(path)))}
    return _of_checkpoint(open_fold(Path(path) / checkpoint_name if kind == FOLD else Path(path)))


def _of_model(path: str, checkpoint_name: str) -> dict[str, Any]:
    models = open_models(path, None, checkpoint_name)
    errors = [error for model in models for error in model.errors]
    if errors or len(models) > 1:
        raise CheckpointError("; ".join(errors) or f"{path}: holds {len(models)} models; compare one of them")
    folds = {fold_folder(fold.fold): _of_checkpoint(fold) for fold in models[0].folds}
    return {PLANS_FILE: models[0].plans, DATASET_FILE: models[0].dataset, **folds}


def _of_checkpoint(fold: Fold) -> dict[str, Any]:
    checkpoint = fold.checkpoint
    if checkpoint is None:
        raise CheckpointError(fold.error or f"{fold.path}: cannot be read")
    if fold.record_error:
        raise CheckpointError(f"{fold.path}: {fold.record_error}")
    weaker = weaker_evidence_of(fold) if fold.record is None else None
    return {
        "trainer": checkpoint.trainer_name,
        "epoch": checkpoint.epoch,
        AXES_KEY: checkpoint.declared_axes if checkpoint.has_declared_axes else ABSENT,
        ARGUMENTS_KEY: {key: value for key, value in checkpoint.init_args.items() if key != "device"},
        "record": msgspec.to_builtins(fold.record) if fold.record else ABSENT,
        "weaker evidence": weaker.sentence if weaker else ABSENT,
    }


def _as_data(change: Change) -> dict[str, Any]:
    """A side on which the key is not there has no entry, for ``null`` is a value."""
    key, before, after = change
    sides = {"a": before, "b": after}
    return {"key": key, **{side: value for side, value in sides.items() if value is not ABSENT}}


def _as_text(changes: list[Change]) -> Iterator[str]:
    for key, before, after in changes:
        yield escaped(key)
        yield f"  - {_shown(before)}"
        yield f"  + {_shown(after)}"


def _shown(value: Any) -> str:
    if isinstance(value, dict) and "class" in value:
        value = value["class"]
    return escaped(value, LONGEST_VALUE)
