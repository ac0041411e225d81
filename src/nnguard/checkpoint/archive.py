"""The directory of a zip file, read strictly: wherever zip readers may disagree, the answer is an error.

PyTorch finds a member by a case-insensitive search below the first member's folder, Python's ``zipfile``
by its last exact name; they differ on what precedes and follows the archive as well. A file that both read
the same way has one directory, at its end, that accounts for every byte outside the members.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import msgspec

from ..errors import CheckpointError

if TYPE_CHECKING:
    from .sources import Source

#: About 100,000 members. The largest nnU-Net checkpoints have some 2,000, so a directory of 200 kB.
MAX_DIRECTORY = 8 << 20
#: One read at the end of the file usually gets all of the directory.
TAIL = 64 << 10

LOCAL = struct.Struct("<4s5H3I2H")
CENTRAL = struct.Struct("<4s6H3I5H2I")
#: The same, with what nobody reads left out: versions, times, attributes.
_LISTED = struct.Struct("<4s4x2H4x3I4H6xI")
assert _LISTED.size == CENTRAL.size
END = struct.Struct("<4s4H2IH")
LOCATOR64 = struct.Struct("<4sIQI")
END64 = struct.Struct("<4sQ2H2I4Q")
LOCAL_SIGNATURE, CENTRAL_SIGNATURE = b"PK\x03\x04", b"PK\x01\x02"
END_SIGNATURE, LOCATOR64_SIGNATURE, END64_SIGNATURE = b"PK\x05\x06", b"PK\x06\x07", b"PK\x06\x06"
FULL_2, FULL_4 = 0xFFFF, 0xFFFFFFFF
STORED, DEFLATED = 0, 8
ENCRYPTED, DESCRIPTOR = 0x1, 0x8


class Member(msgspec.Struct, frozen=True, gc=False):
    """A file in the archive, as the directory says. ``offset`` is of its local header; sizes in bytes."""

    name: str
    method: int
    flags: int
    crc: int
    packed: int
    size: int
    offset: int


class Directory(msgspec.Struct, frozen=True):
    """All members in the directory's order, and where the directory itself lies."""

    members: tuple[Member, ...]
    start: int
    end: int

    def find(self, name: str) -> Member | None:
        for member in self.members:
            if member.name == name:
                return member
        return None


def read_directory(source: Source) -> Directory:
    """Reads the directory at the end of ``source``.

    Raises:
        CheckpointError: no directory, or one that readers could understand differently.
    """
    tail_start = max(0, source.size - TAIL)
    tail = source.read(tail_start, source.size - tail_start)
    count, size, start, end = _locate(tail, tail_start, source.size)
    if size > MAX_DIRECTORY:
        raise CheckpointError(f"its directory is {size} bytes long, more than any checkpoint needs")
    if start + size != end:
        raise CheckpointError(
            "bytes stand before the archive or around its directory: PyTorch and Python's zipfile would read "
            "different members"
        )
    directory = tail[start - tail_start : end - tail_start] if start >= tail_start else source.read(start, size)
    members = tuple(_members(directory, count))
    _refuse_ambiguous(members, start)
    return Directory(members, start, end)


def _locate(tail: bytes, tail_start: int, total: int) -> tuple[int, int, int, int]:
    """Member count, size and offset of the directory, and where its end record begins."""
    if total < END.size or tail[-END.size :][:4] != END_SIGNATURE:
        if tail.rfind(END_SIGNATURE) >= 0:
            raise CheckpointError("bytes follow the end of the zip archive, or it carries a comment")
        raise CheckpointError("it has no zip directory at its end: truncated, or still being written")
    _, disk, first_disk, here, count, size, start, comment = END.unpack(tail[-END.size :])
    end = total - END.size
    if disk or first_disk or here != count or comment:
        raise CheckpointError("its zip directory is split or garbled")
    locator = end - LOCATOR64.size
    if locator < tail_start or tail[locator - tail_start :][:4] != LOCATOR64_SIGNATURE:
        if FULL_4 in (size, start) or count == FULL_2:
            raise CheckpointError("its zip64 directory is missing")
        return count, size, start, end
    return _locate64(tail, tail_start, locator, (count, size, start))


def _locate64(tail: bytes, tail_start: int, locator: int, short: tuple[int, int, int]) -> tuple[int, int, int, int]:
    _, disk, end64, disks = LOCATOR64.unpack_from(tail, locator - tail_start)
    if disk or disks != 1 or end64 != locator - END64.size or end64 < tail_start:
        raise CheckpointError("its zip64 directory is not where zip readers look for it")
    signature, length, _, _, disk, first_disk, here, count, size, start = END64.unpack_from(tail, end64 - tail_start)
    if signature != END64_SIGNATURE or length != END64.size - 12 or disk or first_disk or here != count:
        raise CheckpointError("its zip64 directory is garbled")
    for brief, full, value in zip(short, (FULL_2, FULL_4, FULL_4), (count, size, start), strict=True):
        if brief not in (full, value):
            raise CheckpointError("its zip and its zip64 directory contradict each other")
    return count, size, start, end64


def _members(directory: bytes, count: int) -> list[Member]:
    # Hundreds of turns of this are most of what a fingerprint costs after each save: everything is inline.
    members = []
    position, length, fixed, unpack = 0, len(directory), CENTRAL.size, _LISTED.unpack_from
    for _ in range(count):
        begin = position + fixed
        if begin > length:
            raise CheckpointError("its zip directory lists fewer members than it announces")
        signature, flags, method, crc, packed, size, name_length, extra_length, comment_length, disk, offset = unpack(
            directory, position
        )
        name_end = begin + name_length
        position = name_end + extra_length + comment_length
        if signature != CENTRAL_SIGNATURE or position > length or disk:
            raise CheckpointError("its zip directory is garbled")
        if extra_length or size == FULL_4 or packed == FULL_4 or offset == FULL_4:
            extra = directory[name_end : name_end + extra_length]
            size, packed, offset = _wide(extra, size, packed, offset)
        try:
            name = directory[begin:name_end].decode()
        except UnicodeDecodeError:
            raise CheckpointError("a member's name is no UTF-8") from None
        members.append(Member(name, method, flags, crc, packed, size, offset))
    if position != length:
        raise CheckpointError("its zip directory is longer than its members")
    names = "".join([member.name for member in members])
    if "\0" in names or "\\" in names:
        raise CheckpointError("a member's name holds a byte that zip readers treat differently")
    return members


def _wide(extra: bytes, *values: int) -> tuple[int, ...]:
    """Sizes and offset with their zip64 forms put in, in the order that the format prescribes."""
    wide: bytes | None = None
    position = 0
    while position + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, position)
        if position + 4 + length > len(extra):
            raise CheckpointError("a member's extra field is garbled")
        if kind == 1:
            if wide is not None:
                raise CheckpointError("a member has two zip64 fields")
            wide = extra[position + 4 : position + 4 + length]
        position += 4 + length
    full = [value for value in values if value == FULL_4]
    if full and (wide is None or len(wide) < 8 * len(full)):
        raise CheckpointError("a member's zip64 field is missing")
    numbers = iter(struct.unpack(f"<{len(full)}Q", (wide or b"")[: 8 * len(full)]))
    return tuple(next(numbers) if value == FULL_4 else value for value in values)


def _refuse_ambiguous(members: tuple[Member, ...], directory_start: int) -> None:
    if len({member.name.lower() for member in members}) != len(members):
        name = _first_twice(members)
        raise CheckpointError(
            f"it has two members named {name!r} (upper and lower case count as one): PyTorch and Python's "
            "zipfile would read different ones"
        )
    furthest = directory_start - LOCAL.size
    beyond = [member.name for member in members if member.offset + member.packed > furthest]
    if beyond:
        raise CheckpointError(f"its member {beyond[0]!r} reaches into the zip directory: truncated, or garbled")
    if members and min([member.offset for member in members]) != 0:
        raise CheckpointError(
            "bytes stand before the archive: PyTorch and Python's zipfile would read different members"
        )


def _first_twice(members: tuple[Member, ...]) -> str:
    seen: set[str] = set()
    for member in members:
        folded = member.name.lower()
        if folded in seen:
            break
        seen.add(folded)
    return member.name


def data_offset(source: Source, member: Member, directory_start: int) -> int:
    """Where the bytes of ``member`` begin; its local header has to agree with the directory.

    PyTorch writes sizes and CRC behind the data and leaves them 0 in the header.
    """
    raw = source.read(member.offset, LOCAL.size)
    if len(raw) < LOCAL.size:
        raise CheckpointError(f"its member {member.name!r} is cut off")
    signature, _, flags, method, _, _, crc, packed, size, name_length, extra_length = LOCAL.unpack(raw)
    name = source.read(member.offset + LOCAL.size, name_length)
    if signature != LOCAL_SIGNATURE or name != member.name.encode() or method != member.method:
        raise CheckpointError(f"the header of its member {member.name!r} contradicts the zip directory")
    for here, there in ((crc, member.crc), (packed, member.packed), (size, member.size)):
        if here not in (0, FULL_4, there):
            raise CheckpointError(f"the header of its member {member.name!r} contradicts the zip directory")
    if (flags | member.flags) & ENCRYPTED:
        raise CheckpointError(f"its member {member.name!r} is encrypted")
    start = member.offset + LOCAL.size + name_length + extra_length
    if start + member.packed > directory_start:
        raise CheckpointError(f"its member {member.name!r} reaches into the zip directory")
    return start
