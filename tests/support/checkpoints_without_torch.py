"""Checkpoints as ``torch.save`` lays them out, written where there is no PyTorch: small tensors and plain data."""

from __future__ import annotations

from typing import Any

from nnguard.checkpoint.pickle_writer import encoded
from tests.support.archives import BYTEORDER, ROOT, VERSION, Piece, call, data_pkl, pickled, text, zipped

SHAPE = (8, 4, 3, 3)
STRIDE = (36, 9, 3, 1)
VALUES = 288


def written(entries: dict[str, Any], with_weights: bool = True) -> bytes:
    """The file of a checkpoint that says ``entries``, with three made tensors for its weights, or without any."""
    rest = {key: value for key, value in entries.items() if key != "network_weights"}
    names = [f"encoder.stages.{stage}.weight" for stage in range(3 if with_weights else 0)]
    weights = b"".join(text(name) + tensor(str(number)) for number, name in enumerate(names))
    # An OrderedDict, as a state dict is, filled by SETITEMS.
    inside = text("network_weights") + call("collections", "OrderedDict") + b"(" + weights + b"u"
    storages = [Piece(f"{ROOT}data/{number}", bytes([number]) * 4 * VALUES) for number in range(len(names))]
    return zipped([data_pkl(pickled(rest, inside=inside)), BYTEORDER, *storages, VERSION])


def tensor(key: str) -> bytes:
    """The opcodes of one tensor, whose storage is the member ``data/KEY``."""
    kind = b"ctorch\nFloatStorage\n"
    storage = b"(" + text("storage") + kind + text(key) + text("cpu") + encoded(VALUES) + b"tQ"
    arguments = (
        storage,
        encoded(0),
        encoded(SHAPE),
        encoded(STRIDE),
        encoded(False),
        call("collections", "OrderedDict"),
    )
    return call("torch._utils", "_rebuild_tensor_v2", *arguments)
