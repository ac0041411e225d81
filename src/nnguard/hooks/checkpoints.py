"""``torch.save`` and ``torch.load`` as pass-throughs: the record travels with the weights, out and in.

Out: a checkpoint of the trainer in hand gets the record as one more key, on a shallow copy, and so does a part of a
loaded one that holds its weights. In: which record
came with which weights is remembered, without keeping the weights, so that whoever ends up holding them (a
predictor, MONAI's attributes, a dict rebuilt by hand) finds the record again.
"""

from __future__ import annotations

import contextlib
import copy
import os
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from ..axes import plain_axes
from ..checkpoint import Checkpoint
from ..errors import CheckpointError
from ..models.folder import FLIPTEST_FILE, Fold, fingerprint_in
from ..record import CHECKPOINT_KEY, FILE_NAME, Record
from .beside import Beside
from .patching import Coverage, Guard, patch_all_or_nothing

MODULES = {"torch": "torch"}

#: What makes a dict an nnU-Net checkpoint when it is written; readers (MONAI) keep fewer.
WRITTEN_KEYS = ("network_weights", "init_args", "trainer_name")
WEIGHTS_KEY = "network_weights"
AXES_KEY = "inference_allowed_mirroring_axes"

#: Loaded checkpoints that are remembered: a large ensemble many times over, and a few kilobytes each.
REMEMBERED = 256


NO_RECORD = "the checkpoint has no record: it was trained without nnguard, or something dropped the key"


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """What came with some weights.

    Args:
        record: ``None`` where there is none, or where it is broken.
        no_record: why there is none, in words.
        path: the file, where it was one.
        axes: the checkpoint's mirroring axes, as plain data; ``UNSET`` where it has none.
        trainer_name: the trainer's class.
        init_args: what the trainer was made with (plans, dataset, configuration, fold); kept no longer than the
            weights are, empty where it is not known.
        epoch: ``current_epoch``.
        copied: whether the checkpoint has lost its record, and this is the copy beside it.
    """

    record: Record | None
    no_record: str | None
    path: str | None = None
    axes: Any = msgspec.UNSET
    trainer_name: str | None = None
    init_args: Mapping[str, Any] = {}
    epoch: int | None = None
    copied: bool = False


def patch(torch: ModuleType) -> Coverage:
    """Patches ``torch.save`` and ``torch.load``."""
    return patch_all_or_nothing(torch, {}, {"save": Guard(before=_before_save), "load": Guard(after=_after_load)})


def origin_of(weights: Any) -> Origin | None:
    """What came with a state dict that was loaded in this process, by identity or by content.

    Args:
        weights: a mapping of names to tensors, with whatever prefix the names have.
    """
    return _loaded_with(weights) or _by_content.get(fingerprint(weights))


def is_known(mark: tuple) -> bool:
    """Whether weights with this ``fingerprint`` came from a file in this process."""
    return mark in _by_content


def came_from_a_file(weights: Any) -> bool:
    """Whether these very weights were loaded in this process; a training's own are not."""
    return _loaded_with(weights) is not None


def _loaded_with(weights: Any) -> Origin | None:
    """What came with these very weights; a plain dict takes no weak reference, but its first tensor does."""
    return _by_identity.get(weights) or _by_identity.get(_first_tensor(weights))


def remember(checkpoint: Mapping[str, Any], path: str | None) -> None:
    """Notes which record came with which weights, holding neither the weights nor the dict."""
    weights = checkpoint[WEIGHTS_KEY]
    origin = origin_from(checkpoint, path)
    for thing in (weights, _first_tensor(weights)):
        with contextlib.suppress(TypeError):  # a plain dict, or none
            _by_identity.put(thing, origin)
    mark = fingerprint(weights)
    if mark is not None:
        # Plans are a hundred kilobytes, and what is found by content outlives the weights.
        _by_content[mark] = msgspec.structs.replace(origin, init_args={})
        _by_content.move_to_end(mark)
        while len(_by_content) > REMEMBERED:
            _by_content.popitem(last=False)


def origin_from(checkpoint: Mapping[str, Any], path: str | None) -> Origin:
    """What a checkpoint's dict says besides its weights. A broken record is never "no record"."""
    record, no_record, copied = None, None, False
    if CHECKPOINT_KEY in checkpoint:
        try:
            record = Record.from_value(checkpoint[CHECKPOINT_KEY])
        except CheckpointError as error:
            no_record = str(error)
    else:
        record, no_record = _kept_beside(path)
        copied = record is not None
    return Origin(
        record=record,
        no_record=no_record,
        copied=copied,
        path=path,
        axes=plain_axes(checkpoint[AXES_KEY]) if AXES_KEY in checkpoint else msgspec.UNSET,
        trainer_name=checkpoint.get("trainer_name"),
        init_args=plans_and_dataset(checkpoint.get("init_args")),
        epoch=checkpoint.get("current_epoch"),
    )


def _kept_beside(path: str | None, fingerprint: Any = msgspec.UNSET) -> tuple[Record | None, str | None]:
    """The record that ``nnguard.json`` kept for a checkpoint that has none; why there is none, in words."""
    if path is None or not (Path(path).parent / FILE_NAME).is_file():
        return None, NO_RECORD
    from ..models.belonging import record_kept_for

    text, _ = record_kept_for(Path(path), fingerprint)
    return (Record.from_json(text), None) if text is not None else (None, NO_RECORD)


def fold_behind(origin: Origin, file: str | None = None) -> Fold | None:
    """The fold that these weights came from, as ``nnguard check`` would open it; ``None`` where there was no file.

    Args:
        origin: what came with the weights.
        file: the file that the predictor read them from; left out, the one that they were seen to be loaded from.
    """
    file = file or origin.path
    if file is None:
        return None
    path = Path(file)
    has_axes = origin.axes is not msgspec.UNSET
    # Only these two are held against the weights.
    compared = (path.parent / FILE_NAME).exists() or (path.parent.parent / FLIPTEST_FILE).exists()
    checkpoint = Checkpoint(
        path=file,
        size=None,
        keys=(),
        trainer_name=origin.trainer_name,
        epoch=origin.epoch,
        best_ema=None,
        has_declared_axes=has_axes,
        declared_axes=origin.axes if has_axes else None,
        init_args=dict(origin.init_args),
        logging={},
        record_text=None,
        has_record=not origin.copied and origin.no_record != NO_RECORD,
        weights_fingerprint=fingerprint_in(path) if compared else None,
    )
    return Fold(
        fold=path.parent.name.removeprefix("fold_"),
        path=path,
        checkpoint=checkpoint,
        record=origin.record,
        record_error=origin.no_record if checkpoint.has_record and origin.record is None else None,
        copied=origin.copied,
    )


def plans_and_dataset(init_args: Any) -> dict[str, Any]:
    """Of a trainer's arguments those that say what it was trained with: others may be anything, weights included."""
    if not isinstance(init_args, Mapping):
        return {}
    return {name: init_args[name] for name in ("plans", "dataset_json", "configuration", "fold") if name in init_args}


def origin_in_file(path: str) -> Origin:
    """What a checkpoint file says, by the safe reader: for where ``torch.load`` was not seen."""
    from ..checkpoint import read_checkpoint

    try:
        read = read_checkpoint(path)
        record = read.record()
    except CheckpointError as error:
        return Origin(record=None, no_record=str(error), path=path)
    no_record, copied = None, False
    if record is None:
        record, no_record = _kept_beside(path, read.weights_fingerprint)
        copied = record is not None
    return Origin(
        record=record,
        no_record=no_record,
        copied=copied,
        path=path,
        axes=read.declared_axes if read.has_declared_axes else msgspec.UNSET,
        trainer_name=read.trainer_name,
        init_args=plans_and_dataset(read.init_args),
        epoch=read.epoch,
    )


def fingerprint(weights: Mapping[str, Any]) -> tuple | None:
    """A cheap content mark of a state dict: shapes and a few values of a few tensors, in order, names left out.

    Both ends and the middle are sampled: fine-tuned models share their first layers, and cut heads differ.
    ``None`` where there is nothing to read.
    """
    tensors = [value for value in weights.values() if _is_tensor(value) and value.numel() > 1 and not value.is_meta]
    if not tensors:
        return None
    middle = len(tensors) // 2
    chosen = [*tensors[:2], *tensors[middle : middle + 2], *tensors[-2:]]
    return (len(tensors), *((tuple(tensor.shape), _values(tensor)) for tensor in chosen))


def _first_tensor(weights: Mapping[str, Any]) -> Any:
    return next((value for value in weights.values() if _is_tensor(value)), None)


def _is_tensor(value: Any) -> bool:
    return hasattr(value, "untyped_storage")


def _values(tensor: Any) -> tuple[float, ...]:
    # A strided view is read, never the whole tensor: on a GPU this is a copy of a few numbers.
    flat = tensor.detach().reshape(-1) if tensor.is_contiguous() else tensor.detach().flatten()
    return tuple(flat[:: max(1, flat.numel() // 4)][:4].float().cpu().tolist())


_by_identity: Beside[Origin] = Beside()
_by_content: OrderedDict[tuple | None, Origin] = OrderedDict()


def _before_save(_module: Any, args: tuple, kwargs: dict) -> tuple[tuple, dict] | None:
    positional = bool(args)
    checkpoint = args[0] if positional else kwargs.get("obj")
    if not isinstance(checkpoint, dict) or WEIGHTS_KEY not in checkpoint:
        return None
    if all(key in checkpoint for key in WRITTEN_KEYS):
        from . import trainer

        text = trainer.record_text_for(checkpoint)
    else:
        text = _carried(checkpoint)
    if text is None:
        return None
    copied = copy.copy(checkpoint)
    copied[CHECKPOINT_KEY] = text
    return ((copied, *args[1:]), kwargs) if positional else (args, {**kwargs, "obj": copied})


def _carried(part: Mapping[str, Any]) -> str | None:
    """The record of a part of a checkpoint that was loaded here, as MONAI's conversion writes one: it keeps the
    weights and drops the rest. ``None`` where the weights are not those of the file any more."""
    weights = part[WEIGHTS_KEY]
    if CHECKPOINT_KEY in part or not isinstance(weights, Mapping):
        return None
    origin, unchanged = _loaded_with(weights), _by_content.get(fingerprint(weights))
    if origin is None or unchanged is None or origin.record is None or unchanged.record is not origin.record:
        return None
    return origin.record.to_json()


def _after_load(_module: Any, loaded: Any, args: tuple, kwargs: dict) -> None:
    if not isinstance(loaded, dict) or not isinstance(loaded.get(WEIGHTS_KEY), Mapping):
        return
    source = args[0] if args else kwargs.get("f")
    remember(loaded, os.fspath(source) if isinstance(source, (str, os.PathLike)) else None)
