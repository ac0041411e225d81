"""What must hold for any bytes: a result or ``CheckpointError``, and a result that C's unpickler agrees with."""

from __future__ import annotations

import contextlib
import io
import pickle
import random
import zipfile
from collections.abc import Iterable
from typing import Any

from nnguard.checkpoint import Checkpoint, read_checkpoint
from nnguard.errors import CheckpointError
from tests.checkpoint import hostile_files
from tests.support.archives import TENSOR, checkpoint, data_pkl, encoded_entry, pickled, zipped

AXES = "inference_allowed_mirroring_axes"
OPCODES = b"().0123IJKLMNQRSTUVX]abcdefghijloqrstu}" + bytes(range(0x80, 0x97))


class NamesGlobal(Exception):
    """The pickle names a global, which this oracle does not look up."""


class Oracle(pickle.Unpickler):
    """C's unpickler, as ``torch.load`` uses it, with nothing to call."""

    def find_class(self, module: str, name: str) -> Any:
        raise NamesGlobal

    def persistent_load(self, saved_id: Any) -> Any:
        raise NamesGlobal


def check(data: bytes, pickle_only: bool) -> Checkpoint | None:
    """Reads ``data`` as a file, or as the ``data.pkl`` of a sound one.

    Raises:
        AssertionError: a value differs from the unpickler's.
    """
    try:
        ours = read_checkpoint(io.BytesIO(checkpoint(data) if pickle_only else data))
    except CheckpointError:
        return None
    with contextlib.suppress(CheckpointError):
        ours.record()
    if pickle_only:
        compare(ours, data)
    return ours


def compare(ours: Checkpoint, data: bytes) -> None:
    try:
        theirs = Oracle(io.BytesIO(data), encoding="utf-8").load()
    except NamesGlobal:
        return
    assert isinstance(theirs, dict)
    assert ours.keys == tuple(key for key in theirs if isinstance(key, str))
    assert ours.has_declared_axes == (AXES in theirs)
    assert repr(ours.declared_axes) == repr(theirs.get(AXES))
    found = theirs.get("nnguard")
    assert ours.record_text == (found if isinstance(found, str) else None)
    for name in ("init_args", "logging"):
        value = theirs.get(name)
        assert repr(getattr(ours, name)) == repr(value if isinstance(value, dict) else {})


def seeds(real: Iterable[bytes] = ()) -> tuple[list[bytes], list[bytes]]:
    """Files, and pickles, to begin from: made ones, and ``real`` checkpoints with their ``data.pkl``."""
    made = [pickled(protocol=protocol) for protocol in (2, 3, 4, 5)]
    made.append(pickled(after=encoded_entry("nnguard", '{"schema": 1}') + encoded_entry(AXES, None)))
    files = [checkpoint(), checkpoint(None, TENSOR, zip64={}), zipped([data_pkl(pickled(), crc=0)])]
    files += hostile_files.corpus("/nowhere").values()
    for data in real:
        files.append(data)
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            made += [archive.read(name) for name in archive.namelist() if name.endswith("/data.pkl")]
    return files, made


def mutated(data: bytes, others: list[bytes], chance: random.Random) -> bytes:
    """A few small changes: bytes, numbers, opcodes, pieces moved, pieces of another file."""
    out = bytearray(data)
    for _ in range(chance.randint(1, 6)):
        place = chance.randrange(len(out) + 1)
        length = chance.choice((1, 1, 2, 4, 8, chance.randrange(1, 64)))
        kind = chance.randrange(6)
        if kind == 0 and out:
            out[place % len(out)] ^= 1 << chance.randrange(8)
        elif kind == 1:
            out[place : place + length] = bytes(chance.choice((0, 1, 0x7F, 0x80, 0xFF)) for _ in range(length))
        elif kind == 2:
            out[place:place] = bytes(chance.choice(OPCODES) for _ in range(length))
        elif kind == 3:
            del out[place : place + length]
        elif kind == 4:
            target = chance.randrange(len(out) + 1)
            out[target:target] = out[place : place + length]
        else:
            other = chance.choice(others)
            begin = chance.randrange(len(other) + 1)
            out[place : place + length] = other[begin : begin + length]
    return bytes(out)
