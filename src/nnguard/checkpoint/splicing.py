"""Changes top-level entries of a checkpoint without loading it.

Key, value and SETITEM are inserted before the last STOP of ``data.pkl``; every tensor is copied byte for byte. A
later SETITEM overrides an earlier one, for PyTorch as for the reader here. What an earlier splice
inserted is replaced, not added to, so that a file does not grow with every change.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import msgspec

from ..errors import CheckpointError
from . import layout, replacing, sources
from .archive import STORED, Directory, Member, data_offset
from .encoding import encoded, encoded_entry
from .opcodes import Entry, Pickle, read_pickle
from .plain import Budget, plain
from .reader import MAX_PICKLE, archive_root, pickle_bytes, zip_directory

_CHUNK = 1 << 20
_ZEROS = bytes(_CHUNK)
DEFAULT_ALIGNMENT = 64


class SpliceResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a splice did, or with ``dry_run`` would do.

    ``before`` and ``after`` hold the changed keys only; a key that was not there is missing from ``before``.
    ``backup`` is the path of the old file, ``None`` where there is none.
    """

    path: str
    changed: bool
    before: dict[str, Any]
    after: dict[str, Any]
    size_before: int
    size_after: int
    backup: str | None = None


class _Plan(msgspec.Struct):
    """Everything that is known before the first byte is written."""

    before: dict[str, Any]
    after: dict[str, Any]
    data: bytes
    root: str
    alignment: int
    members: list[Member]
    origins: dict[str, int]
    placed: list[layout.Placed]
    size: int


def splice(
    path: str | os.PathLike[str],
    changes: Mapping[str, object],
    *,
    backup: bool = True,
    dry_run: bool = False,
    trusted: Collection[str] = (),
) -> SpliceResult:
    """Sets top-level keys of a checkpoint.

    Args:
        path: a local checkpoint file; a symbolic link is followed and stays.
        changes: key -> plain value (text, numbers, ``None``, and tuples, lists and dicts of these).
        backup: keep the old file as ``NAME.before-nnguard``; one that is there already is never overwritten.
        dry_run: say what would change, and write nothing.
        trusted: as for ``read_checkpoint``.

    Raises:
        CheckpointError: the file cannot be read or safely replaced; it is as it was.
        TypeError: a value is not plain.
    """
    name = os.fsdecode(path)
    new = {key: (value, encoded_entry(key, value)) for key, value in changes.items()}
    try:
        target = Path(os.path.realpath(name))
        with sources.opened(str(target)) as source:
            state = target.stat()
            plan = _plan(source, {key: value for key, (value, _) in new.items()}, trusted)
            result = SpliceResult(
                path=name, changed=bool(plan.after), before=plan.before, after=plan.after,
                size_before=source.size, size_after=plan.size,
            )  # fmt: skip
            if not plan.after:
                return result
            replacing.refuse_unwritable(target, plan.size)
            if dry_run:
                return result
            kept = _carry_out(plan, source, target, state, backup, trusted)
            return msgspec.structs.replace(result, backup=str(kept) if kept else None)
    except CheckpointError as error:
        raise CheckpointError(f"{name}: {error}") from None


def _plan(source: sources.Source, changes: dict[str, object], trusted: Collection[str]) -> _Plan:
    directory = zip_directory(source)
    root = archive_root(directory)
    data = pickle_bytes(source, directory, root)
    pickle = read_pickle(data, trusted)
    budget = Budget(100_000 + 4 * len(data))
    before = {key: plain(pickle.root[key], budget) for key in changes if key in pickle.root}
    after = {key: value for key, value in changes.items() if key not in before or not _same(before[key], value)}
    before = {key: value for key, value in before.items() if key in after}
    spliced = _spliced(data, pickle, after) if after else data
    if len(spliced) > MAX_PICKLE:
        raise CheckpointError("its data.pkl would become larger than nnguard reads")
    members, origins = _members(source, directory, root, spliced)
    alignment = _alignment(source, directory, root)
    placed = layout.place(members, alignment)
    size = placed[-1].end + len(layout.directory(placed)) if after else source.size
    return _Plan(before, after, spliced, root, alignment, members, origins, placed, size)


def _same(one: object, other: object) -> bool:
    """Equal and of the same type throughout: ``(0, 1)`` is not ``[0, 1]``, and 1 is not ``True``."""
    try:
        return encoded(one) == encoded(other)
    except (TypeError, RecursionError):
        return False


def _spliced(data: bytes, pickle: Pickle, changes: Mapping[str, object]) -> bytes:
    earlier = _earlier_splice(data, pickle.entries)
    entries = {entry.key: entry.value for entry in earlier} | dict(changes)
    cut = earlier[0].start if earlier else pickle.stop
    tail = b"".join(encoded_entry(key, value) for key, value in entries.items()) + b"."
    spliced = bytearray(data[:cut] + tail)
    if pickle.frame is not None:
        # Protocols 4 and 5 announce a frame's length; Python's own unpickler insists on it.
        struct.pack_into("<Q", spliced, pickle.frame + 1, len(spliced) - pickle.frame - 9)
    return bytes(spliced)


def _earlier_splice(data: bytes, entries: list[Entry]) -> list[Entry]:
    """The entries before STOP that are, byte for byte, what a splice writes. A pickler would have used the memo."""
    ours: list[Entry] = []
    for entry in reversed(entries):
        try:
            if type(entry.key) is not str or data[entry.start : entry.stop] != encoded_entry(entry.key, entry.value):
                break
        except (TypeError, RecursionError):
            break
        ours.insert(0, entry)
    return ours


def _members(
    source: sources.Source, directory: Directory, root: str, data: bytes
) -> tuple[list[Member], dict[str, int]]:
    """The new archive's members in the order of the old, and where the old data of each begins."""
    members: list[Member] = []
    origins: dict[str, int] = {}
    for member in directory.members:
        if member.method != STORED or member.packed != member.size:
            raise CheckpointError(
                f"its member {member.name!r} is compressed, which PyTorch does not do: load and save it with PyTorch"
            )
        origins[member.name] = data_offset(source, member, directory.start)
        if member.name == root + "data.pkl":
            member = msgspec.structs.replace(member, crc=zlib.crc32(data), packed=len(data), size=len(data))
        members.append(member)
    _refuse_overlaps(directory, origins)
    return members, origins


def _refuse_overlaps(directory: Directory, origins: dict[str, int]) -> None:
    """Members that share bytes would each be written out in full."""
    end = 0
    for member in sorted(directory.members, key=lambda member: member.offset):
        if member.offset < end:
            raise CheckpointError(
                f"its member {member.name!r} shares bytes with another one, which PyTorch does not do"
            )
        end = origins[member.name] + member.packed


def _alignment(source: sources.Source, directory: Directory, root: str) -> int:
    member = directory.find(root + ".storage_alignment")
    if member is None:
        return DEFAULT_ALIGNMENT
    text = source.read(data_offset(source, member, directory.start), min(member.size, 16))
    if not text.isdigit() or not 0 < int(text) <= 1 << 15:
        raise CheckpointError("its .storage_alignment is no alignment that PyTorch uses")
    return int(text)


def _carry_out(
    plan: _Plan, source: sources.Source, target: Path, state: os.stat_result, backup: bool, trusted: Collection[str]
) -> Path | None:
    def content(member: Member) -> Iterator[bytes]:
        if member.name == plan.root + "data.pkl":
            return iter((plan.data,))
        return _pieces(source, plan.origins[member.name], member.size)

    def write(file: IO[bytes]) -> None:
        def out(piece: bytes) -> None:
            # Holes of a sparse file stay holes.
            if len(piece) == _CHUNK and piece == _ZEROS:
                file.seek(_CHUNK, os.SEEK_CUR)
            else:
                file.write(piece)

        layout.write(plan.placed, content, out)

    def check(part: Path) -> None:
        with sources.opened(str(part)) as written:
            _verify(plan, written, content, trusted)

    return replacing.replace(target, state, write, check, backup)


def _pieces(source: sources.Source, start: int, size: int) -> Iterator[bytes]:
    end = start + size
    while start < end:
        piece = source.read(start, min(_CHUNK, end - start))
        if not piece:
            raise CheckpointError("it became shorter while it was being read")
        start += len(piece)
        yield piece


def _verify(plan: _Plan, written: sources.Source, content: Any, trusted: Collection[str]) -> None:
    """Reads the new file back: the changes as asked for, and every other byte as it was."""
    directory = zip_directory(written)
    pickle = read_pickle(pickle_bytes(written, directory, plan.root), trusted)
    sound = written.size == plan.size and archive_root(directory) == plan.root
    sound = sound and all(_same(pickle.root.get(key), value) for key, value in plan.after.items())
    sound = sound and len(directory.members) == len(plan.placed)
    for member, item in zip(directory.members, plan.placed, strict=True):
        start = data_offset(written, member, directory.start)
        sound = sound and (member.name, member.size, member.crc) == (
            item.member.name,
            item.member.size,
            item.member.crc,
        )
        sound = sound and (member.offset, start) == (item.offset, item.data)
        for piece in content(item.member):
            sound = sound and written.read(start, len(piece)) == piece
            start += len(piece)
    if not sound:
        raise CheckpointError("what was written does not read back as planned (a failing disk?)")
