"""Keeps the pipeline that an augmenter's workers are about to copy: later edits never reach them."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from .identity_map import IdentityMap
from .patching import Coverage, Guard, patch_all_or_nothing

MODULES = {
    "batchgenerators.dataloading.nondet_multi_threaded_augmenter": "NonDetMultiThreadedAugmenter",
    "batchgenerators.dataloading.multi_threaded_augmenter": "MultiThreadedAugmenter",
}

_snapshots: IdentityMap[Any] = IdentityMap()


def patch(module: ModuleType) -> Coverage:
    """Patches the augmenter that ``module`` defines."""
    augmenter = getattr(module, MODULES[module.__name__], None)
    if augmenter is None:
        return Coverage(module.__name__, missing=[MODULES[module.__name__]])
    return patch_all_or_nothing(augmenter, {}, {"_start": Guard(before=_before_start)})


def snapshot_of(dataloader: Any) -> Any:
    """What was kept when ``dataloader``'s workers started; ``None`` where it has no workers.

    nnU-Net up to 2.4 wraps the augmenter once more, so what ``dataloader`` is made of is searched too.
    """
    wrapped = getattr(dataloader, "__dict__", {}).values()
    found = (_snapshots.get(thing) for thing in (dataloader, *wrapped))
    return next((kept for kept in found if kept is not None), None)


def _before_start(augmenter: Any, args: tuple, kwargs: dict) -> None:
    # `_start` is called again while workers run, and does nothing then.
    if not getattr(augmenter, "initialized", False):
        from .. import probe  # imports torch, which whoever merely looks for nnU-Net need not pay

        _snapshots.put(augmenter, probe.snapshot(augmenter))
