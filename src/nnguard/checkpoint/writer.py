"""Changes top-level entries of a checkpoint without loading it.

A splice inserts key, value and SETITEM before the last STOP of ``data.pkl`` and copies every tensor byte for byte. A
later SETITEM overrides an earlier one, for PyTorch and for nnguard's reader. A splice replaces what an earlier splice
inserted, so that a file does not grow with every change.
"""

from __future__ import annotations

import copy
import os
import struct
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any
from zipfile import ZipInfo

import msgspec

from ..errors import CheckpointError
from . import layout, replacement, sources
from .archive import Directory, data_offset
from .pickle_reader import Pickle, read_pickle
from .pickle_writer import encoded, encoded_entry
from .plain_data import Budget, plain
from .reader import MAX_PICKLE, archive_root, pickle_bytes, zip_directory

_CHUNK = 1 << 20
_ZEROS = bytes(_CHUNK)
DEFAULT_ALIGNMENT = 64


class SpliceResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a splice did, or with ``dry_run`` would do.

    ``before`` and ``after`` contain only the changed keys; ``before`` lacks a key that is new.
    ``size_after`` is the new size in bytes. ``backup`` is the path of the old file, ``None`` if there is none.
    """

    changed: bool
    before: dict[str, Any]
    after: dict[str, Any]
    size_after: int
    backup: str | None = None


class _Plan(msgspec.Struct):
    """Everything that is known before the first byte is written. ``origins``: member name -> offset of its old data."""

    before: dict[str, Any]
    after: dict[str, Any]
    data: bytes
    root: str
    origins: dict[str, int]
    placed: list[layout.Placed]
    size: int


def splice(
    path: str | os.PathLike[str], changes: Mapping[str, object], *, backup: bool = True, dry_run: bool = False
) -> SpliceResult:
    """Sets top-level keys of a checkpoint.

    Args:
        path: a local checkpoint file; a symbolic link is followed and stays a link.
        changes: key -> plain value (text, numbers, ``None``, and tuples, lists and dicts of these).
        backup: keep the old file as ``NAME.before-nnguard``; an existing backup is never overwritten.
        dry_run: return what would change, and write nothing.

    Raises:
        CheckpointError: the file cannot be read or safely replaced. It is unchanged.
        TypeError: a value is not plain.
    """
    encoded(dict(changes))
    target = Path(os.path.realpath(path))
    with sources.opened(str(target), os.fsdecode(path)) as source:
        state = target.stat()
        plan = _plan(source, changes)
        kept = None
        if plan.after:
            replacement.refuse_unwritable(target)
            if not dry_run:
                kept = _carry_out(plan, source, target, state, backup)
        return SpliceResult(
            changed=bool(plan.after), before=plan.before, after=plan.after, size_after=plan.size,
            backup=str(kept) if kept else None,
        )  # fmt: skip


def _plan(source: sources.Source, changes: Mapping[str, object]) -> _Plan:
    directory = zip_directory(source)
    root = archive_root(directory)
    data = pickle_bytes(source, directory, root)
    pickle = read_pickle(data)
    budget = Budget(100_000 + 4 * len(data))
    before = {key: plain(pickle.root[key], budget) for key in changes if key in pickle.root}
    after = {key: value for key, value in changes.items() if key not in before or not _same(before[key], value)}
    before = {key: value for key, value in before.items() if key in after}
    if not after:
        return _Plan(before, after, data, root, {}, [], source.size)
    data = _spliced(data, pickle, after, budget)
    if len(data) > MAX_PICKLE:
        raise CheckpointError("its data.pkl would become larger than nnguard reads")
    origins = {name: data_offset(source, info, directory.start) for name, info in directory.members.items()}
    infos = [_resized(info, data) if name == root + "data.pkl" else info for name, info in directory.members.items()]
    placed = layout.place(infos, _alignment(source, directory, root, origins))
    return _Plan(before, after, data, root, origins, placed, placed[-1].end + len(layout.directory(placed)))


def _same(one: object, other: object) -> bool:
    """Equal and of the same type throughout: ``(0, 1)`` is not ``[0, 1]``, and 1 is not ``True``."""
    try:
        return encoded(one) == encoded(other)
    except TypeError:
        return False


def _spliced(data: bytes, pickle: Pickle, changes: Mapping[str, object], budget: Budget) -> bytes:
    cut, earlier = _earlier_splice(data, pickle, budget)
    tail = b"".join(encoded_entry(key, value) for key, value in {**earlier, **changes}.items()) + b"."
    spliced = bytearray(data[:cut] + tail)
    if pickle.frame is not None:
        # Protocols 4 and 5 write a frame's length, and Python's own unpickler checks it.
        struct.pack_into("<Q", spliced, pickle.frame + 1, len(spliced) - pickle.frame - 9)
    return bytes(spliced)


def _earlier_splice(data: bytes, pickle: Pickle, budget: Budget) -> tuple[int, dict[str, Any]]:
    """The offset of an earlier splice in ``data``, and its entries.

    These are the last entries before STOP whose bytes are exactly those of a splice. A pickler would have used the
    memo, so it did not write them.
    """
    cut, ours = pickle.stop, dict[str, Any]()
    for start, stop in zip(pickle.ends[-2::-1], pickle.ends[:0:-1], strict=True):
        for key, value in pickle.root.items():
            if stop == cut and type(key) is str and data.startswith(encoded(key), start, stop):
                value = plain(value, budget)
                if _same({key: value}, {key: value}) and encoded_entry(key, value) == data[start:stop]:
                    cut, ours = start, {key: value, **ours}
    return cut, ours


def _resized(info: ZipInfo, data: bytes) -> ZipInfo:
    """The member with ``data`` as its content."""
    info = copy.copy(info)
    info.CRC, info.file_size, info.compress_size = zlib.crc32(data), len(data), len(data)
    return info


def _alignment(source: sources.Source, directory: Directory, root: str, origins: dict[str, int]) -> int:
    info = directory.members.get(root + ".storage_alignment")
    if info is None:
        return DEFAULT_ALIGNMENT
    text = source.read(origins[info.filename], min(info.file_size, 16))
    if not text.isdigit() or not 0 < int(text) <= 1 << 15:
        raise CheckpointError("its .storage_alignment is no alignment that PyTorch uses")
    return int(text)


def _carry_out(plan: _Plan, source: sources.Source, target: Path, state: os.stat_result, backup: bool) -> Path | None:
    def content(info: ZipInfo) -> Iterator[bytes]:
        if info.filename == plan.root + "data.pkl":
            return iter((plan.data,))
        return _pieces(source, plan.origins[info.filename], info.file_size)

    def write(file: IO[bytes]) -> None:
        def out(piece: bytes) -> None:
            # A seek instead of zeros keeps the holes of a sparse file.
            if len(piece) == _CHUNK and piece == _ZEROS:
                file.seek(_CHUNK, os.SEEK_CUR)
            else:
                file.write(piece)

        layout.write(plan.placed, content, out)

    def check(part: Path) -> None:
        with sources.opened(str(part)) as written:
            _verify(plan, written, content)

    return replacement.replace(target, state, write, check, backup)


def _pieces(source: sources.Source, start: int, size: int) -> Iterator[bytes]:
    end = start + size
    while start < end:
        piece = source.read(start, min(_CHUNK, end - start))
        if not piece:
            raise CheckpointError("it became shorter while it was being read")
        start += len(piece)
        yield piece


def _verify(plan: _Plan, written: sources.Source, content: Any) -> None:
    """Reads the new file back. It must contain the changes, and every other byte must be as before."""
    directory = zip_directory(written)
    said = read_pickle(pickle_bytes(written, directory, plan.root)).root
    sound = written.size == plan.size and archive_root(directory) == plan.root
    sound = sound and all(key in said and _same(said[key], value) for key, value in plan.after.items())
    sound = sound and len(directory.members) == len(plan.placed)
    for item in plan.placed:
        info = directory.members.get(item.info.filename, item.info)
        start = data_offset(written, info, directory.start)
        sound = sound and (info.header_offset, start) == (item.offset, item.data)
        sound = sound and (info.file_size, info.CRC) == (item.info.file_size, item.info.CRC)
        for piece in content(item.info):
            sound = sound and written.read(start, len(piece)) == piece
            start += len(piece)
    if not sound:
        raise CheckpointError("what was written does not read back as planned (a failing disk?)")
