"""The axes that the first rank of a distributed training decided on, told to the others before they validate.

They go through the process group's store. A collective would wait for ever where one rank has failed, and would be out
of step with nnU-Net's own.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import msgspec

#: Seconds. The first rank comes from its last checkpoint, which the others do not write.
PATIENCE = 60.0
#: Short looks, because a store that waits holds up whoever else uses it.
PAUSE = 0.05


def tell(place: str, axes: Any) -> None:
    """Puts the axes into the store, and waits for nobody; nothing outside of a distributed training."""
    store = _store()
    if store is not None:
        store.set(f"nnguard/{place}", msgspec.json.encode(axes))


def told(place: str) -> Any:
    """The axes that the first rank has put there, as plain data; ``UNSET`` where it has not within ``PATIENCE``."""
    store, end = _store(), time.monotonic() + PATIENCE
    while store is not None:
        if store.check([f"nnguard/{place}"]):
            return msgspec.json.decode(store.get(f"nnguard/{place}"))
        if time.monotonic() > end:
            break
        time.sleep(PAUSE)
    return msgspec.UNSET


def _store() -> Any:
    """The process group's store; ``None`` outside of a distributed training."""
    distributed = sys.modules.get("torch.distributed")
    if distributed is None or not distributed.is_available() or not distributed.is_initialized():
        return None
    if distributed.get_world_size() < 2:
        return None
    from torch.distributed.distributed_c10d import _get_default_store

    return _get_default_store()
