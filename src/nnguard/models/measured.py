"""What ``nnguard fliptest`` measured, read back from its JSON as evidence about a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from ..errors import CheckpointError
from ..flips import flips_of
from .folder import Fold, read_bounded
from .predicting import configuration_of, spatial_dims_of
from .weights import weights_fingerprint

#: Of the document that this reads.
SCHEMA_VERSION = 1


class TestedFold(msgspec.Struct, frozen=True, kw_only=True):
    """One of the checkpoints whose answers were averaged; ``weights`` as ``weights_fingerprint`` tells them."""

    fold: int | str
    checkpoint: str
    epoch: int | None = None
    weights: str | None = None


class TestedModel(msgspec.Struct, frozen=True, kw_only=True):
    """Which model was tested."""

    folder: str
    trainer: str | None = None
    configuration: str | None = None
    folds: list[TestedFold] = []


class TestedFlip(msgspec.Struct, frozen=True, kw_only=True):
    """One flip and its verdict: ``safe``, ``harmful`` or ``unsettled``."""

    axes: tuple[int, ...]
    verdict: str = "unsettled"
    agreement: float | None = None
    dice: float | None = None


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a fliptest document that is evidence; ``safe_axes`` is ``None`` where no case told anything."""

    schema_version: int
    cases: int
    spatial_dims: int
    safe_axes: tuple[int, ...] | None
    flips: list[TestedFlip]
    model: TestedModel
    plain: dict[str, Any] = {}
    tta: dict[str, Any] = {}
    written_at: str | None = None

    @property
    def sentence(self) -> str:
        cases = f"{self.cases} case{'' if self.cases == 1 else 's'}"
        return f"measured with nnguard fliptest on {cases}"

    def as_record_entry(self) -> dict[str, Any]:
        """What a record keeps of it under ``measured``."""
        kept = msgspec.to_builtins(self)
        return {name: kept[name] for name in ("cases", "written_at", "flips", "plain", "tta", "safe_axes")}


def read_measured(path: Path) -> Measured:
    """Reads what ``nnguard fliptest --format json`` printed.

    Raises:
        CheckpointError: no such file, no such document, or a document without a verdict.
    """
    text = read_bounded(path)
    if text is None:
        raise CheckpointError(f"{path}: does not exist or cannot be read; expected what nnguard fliptest wrote")
    try:
        measured = msgspec.json.decode(text, type=Measured)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise CheckpointError(f"{path}: is not what nnguard fliptest --format json writes: {error}") from None
    if measured.schema_version != SCHEMA_VERSION:
        raise CheckpointError(f"{path}: has schema_version {measured.schema_version}; this nnguard reads 1")
    if measured.safe_axes is None or not measured.cases:
        raise CheckpointError(f"{path}: holds no verdict, for no case told anything; test more or other images")
    _hold_to_its_word(path, measured)
    return measured


def _hold_to_its_word(path: Path, measured: Measured) -> None:
    """A document edited by hand must not claim axes that its own flips speak against."""
    if measured.spatial_dims not in (2, 3):
        raise CheckpointError(f"{path}: spatial_dims is {measured.spatial_dims}, and nnU-Net's data has 2 or 3")
    safe = {flip.axes for flip in measured.flips if flip.verdict == "safe"}
    for flip in flips_of((measured.safe_axes or ())[:4]):
        if flip not in safe:
            raise CheckpointError(f"{path}: its safe_axes contain the flip {flip}, which it does not call safe")


def problem_between(measured: Measured, fold: Fold) -> str | None:
    """Why this evidence is not about this checkpoint, in words; ``None`` where it is."""
    checkpoint, model = fold.checkpoint, measured.model
    if checkpoint is None:
        return fold.error or "it cannot be read"
    tested = next((one for one in model.folds if str(one.fold) == str(fold.fold)), None)
    if tested is None:
        folds = ", ".join(str(one.fold) for one in model.folds) or "none"
        return f"fold {fold.fold} was not tested (tested: {folds})"
    if tested.checkpoint != fold.path.name:
        return f"{tested.checkpoint} was tested, not {fold.path.name}"
    for what, then, now in (
        ("trainer", model.trainer, checkpoint.trainer_name),
        ("configuration", model.configuration, configuration_of(fold)),
        ("epoch", tested.epoch, checkpoint.epoch),
        ("spatial dimensions", measured.spatial_dims, spatial_dims_of(None, fold)),
    ):
        if then is not None and now is not None and then != now:
            return f"the tested {what} is {then}, the checkpoint's {now}"
    weights = weights_fingerprint(fold.path)
    if tested.weights is not None and weights is not None and tested.weights != weights:
        return "its weights are not those that were tested"
    return None
