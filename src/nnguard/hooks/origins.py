"""Where weights come from: the checkpoint, and so the record, that they were loaded with in this process.

nnguard remembers this without keeping the weights. Whoever holds them later (a predictor, MONAI, a dictionary that a
user rebuilt) finds the record again.
"""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from ..axes import plain_axes
from ..checkpoint import Checkpoint
from ..errors import CheckpointError
from ..fold import Fold
from ..models.folder import FLIPTEST_FILE, open_fold
from ..models.provenance import fingerprint_in, record_kept_for
from ..nnunet import AXES_KEY, WEIGHTS_KEY
from ..record import CHECKPOINT_KEY, FILE_NAME, Record
from .identity_map import IdentityMap

#: How many loaded checkpoints are remembered: many times a large ensemble. Each takes a few kilobytes.
REMEMBERED = 256

NO_RECORD = "the checkpoint has no record: it was trained without nnguard, or something dropped the key"


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """What came with some weights.

    Args:
        record: ``None`` if there is none, or if it is broken.
        no_record: the reason in words, if ``record`` is ``None``.
        checkpoint: what else the checkpoint says, as far as it was seen. Its ``path`` is empty if there was no file.
            Its ``init_args`` are kept only as long as the weights.
        copied: whether the checkpoint has lost its record and this one is the sidecar's.
    """

    record: Record | None
    no_record: str | None
    checkpoint: Checkpoint = Checkpoint(path="")
    copied: bool = False

    @property
    def axes(self) -> Any:
        """The declared axes, as plain data; ``UNSET`` if the checkpoint has none."""
        return self.checkpoint.declared_axes if self.checkpoint.has_declared_axes else msgspec.UNSET


_by_identity: IdentityMap[Origin] = IdentityMap()
_by_content: OrderedDict[tuple | None, Origin] = OrderedDict()


def origin_of(weights: Any) -> Origin | None:
    """What came with a state dict that this process loaded, found by identity or by content.

    Args:
        weights: a mapping of names to tensors. The names may have any prefix.
    """
    return loaded_with(weights) or _by_content.get(fingerprint(weights))


def is_known(mark: tuple) -> bool:
    """Whether this process loaded weights with this ``fingerprint`` from a file."""
    return mark in _by_content


def loaded_with(weights: Any) -> Origin | None:
    """What came with these very objects; nothing came with weights that were trained here.

    A plain dict takes no weak reference, so its first tensor is looked up too.
    """
    return _by_identity.get(weights) or _by_identity.get(_first_tensor(weights))


def remember(checkpoint: Mapping[str, Any], path: str | None) -> None:
    """Remembers what came with these weights, without keeping the weights or the dict."""
    weights = checkpoint[WEIGHTS_KEY]
    origin = origin_from(checkpoint, path)
    for thing in (weights, _first_tensor(weights)):
        with contextlib.suppress(TypeError):  # a plain dict, or none
            _by_identity.put(thing, origin)
    mark = fingerprint(weights)
    if mark is not None:
        # Plans take a hundred kilobytes, and an entry by content outlives the weights.
        lasting = msgspec.structs.replace(origin.checkpoint, init_args={})
        _by_content[mark] = msgspec.structs.replace(origin, checkpoint=lasting)
        _by_content.move_to_end(mark)
        while len(_by_content) > REMEMBERED:
            _by_content.popitem(last=False)


def origin_from(checkpoint: Mapping[str, Any], path: str | None) -> Origin:
    """What a checkpoint's dict says besides its weights. A broken record is an error, never "no record"."""
    record, no_record = None, NO_RECORD
    if CHECKPOINT_KEY in checkpoint:
        try:
            record = Record.from_value(checkpoint[CHECKPOINT_KEY])
        except CheckpointError as error:
            no_record = str(error)
    elif path is not None:
        text, _ = record_kept_for(Path(path))
        record = Record.from_json(text) if text is not None else None
    seen = Checkpoint(
        path=path or "",
        trainer_name=checkpoint.get("trainer_name"),
        epoch=checkpoint.get("current_epoch"),
        has_declared_axes=AXES_KEY in checkpoint,
        declared_axes=plain_axes(checkpoint.get(AXES_KEY)),
        init_args=plans_and_dataset(checkpoint.get("init_args")),
        has_record=CHECKPOINT_KEY in checkpoint,
    )
    copied = record is not None and not seen.has_record
    return Origin(record=record, no_record=no_record if record is None else None, checkpoint=seen, copied=copied)


def origin_in_file(path: str) -> Origin:
    """What a checkpoint file says, read without running it. Used if ``torch.load`` was not seen."""
    fold = open_fold(Path(path))
    return Origin(
        record=fold.record,
        no_record=None if fold.record is not None else fold.error or fold.record_error or NO_RECORD,
        checkpoint=fold.checkpoint or Checkpoint(path=path),
        copied=fold.copied,
    )


def fold_behind(origin: Origin) -> Fold | None:
    """The fold that these weights came from, as ``nnguard check`` would open it; ``None`` if there was no file."""
    path = Path(origin.checkpoint.path)
    if not path.name:
        return None
    # Only the sidecar and a fliptest are compared with the weights.
    compared = (path.parent / FILE_NAME).exists() or (path.parent.parent / FLIPTEST_FILE).exists()
    return fold_at(path, origin, fingerprint_in(path) if compared else None)


def fold_at(path: Path, origin: Origin, mark: str | None = None) -> Fold:
    """The fold in a file, from what came with its weights; ``mark`` is the weights' fingerprint."""
    return Fold(
        fold=path.parent.name.removeprefix("fold_"),
        path=path,
        checkpoint=msgspec.structs.replace(origin.checkpoint, path=str(path), weights_fingerprint=mark),
        record=origin.record,
        record_error=None if origin.no_record == NO_RECORD else origin.no_record,
        copied=origin.copied,
    )


def plans_and_dataset(init_args: Any) -> dict[str, Any]:
    """The trainer's arguments that say what it was trained with. Other arguments may be anything, even weights."""
    if not isinstance(init_args, Mapping):
        return {}
    return {name: init_args[name] for name in ("plans", "dataset_json", "configuration", "fold") if name in init_args}


def fingerprint(weights: Mapping[str, Any]) -> tuple | None:
    """A cheap mark of a state dict's content: shapes and a few values of a few tensors, in order, without names.

    Both ends and the middle are sampled, because fine-tuned models share their first layers and replaced heads differ.
    ``None`` if there is nothing to read.
    """
    values = list(weights.values())
    sampled = (values, values[len(values) // 2 :], reversed(values))
    chosen = [tensor for part in sampled if (tensor := next(filter(_can_be_read, part), None)) is not None]
    return (len(values), *((tuple(tensor.shape), _values(tensor)) for tensor in chosen)) if chosen else None


def _can_be_read(value: Any) -> bool:
    return _is_tensor(value) and value.numel() > 1 and not value.is_meta


def _first_tensor(weights: Mapping[str, Any]) -> Any:
    return next((value for value in weights.values() if _is_tensor(value)), None)


def _is_tensor(value: Any) -> bool:
    return hasattr(value, "untyped_storage")


def _values(tensor: Any) -> tuple[float, ...]:
    # This reads a strided view, never the whole tensor: from a GPU it copies a few numbers.
    step = max(1, tensor.numel() // 4)
    return tuple(tensor.detach().flatten()[: 4 * step : step].tolist())


def unchanged_origin_of(weights: Mapping[str, Any]) -> Origin | None:
    """What came with these very objects, if they still hold what the file held."""
    origin, unchanged = loaded_with(weights), _by_content.get(fingerprint(weights))
    if origin is None or unchanged is None or origin.record is None or unchanged.record is not origin.record:
        return None
    return origin
