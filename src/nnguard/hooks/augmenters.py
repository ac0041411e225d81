"""Keeps a copy of the pipeline when an augmenter's workers start, because later edits do not reach the workers."""

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
    """The snapshot from the start of ``dataloader``'s workers; ``None`` if it has no workers.

    nnU-Net up to 2.4 wraps the augmenter once more, so the attributes of ``dataloader`` are searched too.
    """
    wrapped = getattr(dataloader, "__dict__", {}).values()
    found = (_snapshots.get(thing) for thing in (dataloader, *wrapped))
    return next((kept for kept in found if kept is not None), None)


def _before_start(augmenter: Any, args: tuple, kwargs: dict) -> None:
    # `_start` is also called while workers run, and then does nothing.
    if not getattr(augmenter, "initialized", False):
        from .. import probe  # it imports torch, which would slow down code that only looks for nnU-Net

        _snapshots.put(augmenter, probe.snapshot(augmenter))
