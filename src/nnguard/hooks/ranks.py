"""Sends the axes that the first rank of a distributed training chose to the other ranks before they validate.

The axes pass through the process group's store. A collective operation would wait forever if one rank failed, and could
mix up its order with nnU-Net's own collectives.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import msgspec

#: Seconds to wait, because the first rank may still be writing its last checkpoint, which the others do not write.
PATIENCE = 60.0
#: Seconds between two short requests. A request that waits would block other users of the store.
PAUSE = 0.05


def tell(place: str, axes: Any) -> None:
    """Puts the axes into the store without waiting. It does nothing outside a distributed training."""
    store = _store()
    if store is not None:
        store.set(f"nnguard/{place}", msgspec.json.encode(axes))


def told(place: str) -> Any:
    """The axes that the first rank put into the store, as plain data; ``UNSET`` if none came within ``PATIENCE``."""
    store, end = _store(), time.monotonic() + PATIENCE
    while store is not None:
        if store.check([f"nnguard/{place}"]):
            return msgspec.json.decode(store.get(f"nnguard/{place}"))
        if time.monotonic() > end:
            break
        time.sleep(PAUSE)
    return msgspec.UNSET


def _store() -> Any:
    """The process group's store; ``None`` outside a distributed training."""
    distributed = sys.modules.get("torch.distributed")
    if distributed is None or not distributed.is_available() or not distributed.is_initialized():
        return None
    if distributed.get_world_size() < 2:
        return None
    from torch.distributed.distributed_c10d import _get_default_store

    return _get_default_store()
