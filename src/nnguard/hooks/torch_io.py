"""``torch.save`` and ``torch.load`` as pass-throughs: the record travels with the weights, out and in.

Out: a checkpoint of a live trainer gets the record as one more key, on a shallow copy, and so does a part of a loaded
one that holds its weights. In: ``origins`` remembers which record came with which weights.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from ..nnunet import WEIGHTS_KEY
from ..record import CHECKPOINT_KEY
from .checkpoint_owner import record_text_for
from .origins import remember, unchanged_origin_of
from .patching import Coverage, Guard, patch_all_or_nothing

MODULES = {"torch": "torch"}

#: What makes a dict an nnU-Net checkpoint when it is written; readers (MONAI) keep fewer.
WRITTEN_KEYS = ("network_weights", "init_args", "trainer_name")


def patch(torch: ModuleType) -> Coverage:
    """Patches ``torch.save`` and ``torch.load``."""
    return patch_all_or_nothing(torch, {}, {"save": Guard(before=_before_save), "load": Guard(after=_after_load)})


def _before_save(_module: Any, args: tuple, kwargs: dict) -> tuple[tuple, dict] | None:
    positional = bool(args)
    checkpoint = args[0] if positional else kwargs.get("obj")
    if not isinstance(checkpoint, dict) or WEIGHTS_KEY not in checkpoint:
        return None
    whole = all(key in checkpoint for key in WRITTEN_KEYS)
    text = record_text_for(checkpoint) if whole else _carried(checkpoint)
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
    origin = unchanged_origin_of(weights)
    return origin.record.to_json() if origin is not None and origin.record is not None else None


def _after_load(_module: Any, loaded: Any, args: tuple, kwargs: dict) -> None:
    if not isinstance(loaded, dict) or not isinstance(loaded.get(WEIGHTS_KEY), Mapping):
        return
    source = args[0] if args else kwargs.get("f")
    remember(loaded, os.fspath(source) if isinstance(source, (str, os.PathLike)) else None)
