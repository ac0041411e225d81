"""Writes a zip archive byte for byte as PyTorch lays it out.

The layout is a contract, not a habit: ``torch.load(mmap=True)`` may compute where a tensor lies from the
sizes before it (``torch.serialization._load``, ``_get_offset``) instead of looking it up, so headers, padding
and data descriptors have to have exactly the lengths that PyTorch's writer gives them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable

from .archive import (
    CENTRAL,
    CENTRAL_SIGNATURE,
    DESCRIPTOR,
    END,
    END64,
    END64_SIGNATURE,
    END_SIGNATURE,
    FULL_2,
    FULL_4,
    LOCAL,
    LOCAL_SIGNATURE,
    LOCATOR64,
    LOCATOR64_SIGNATURE,
    STORED,
    Member,
)

UTF8 = 0x800
#: "FB" and a length open the extra field whose "Z"s push the data to its alignment.
_PADDING = b"FB"
_DESCRIPTOR_SIGNATURE = b"PK\x07\x08"


class Placed:
    """A member with its place in the new archive: header at ``offset``, data at ``data``, next header at ``end``."""

    __slots__ = ("data", "end", "header", "member", "offset", "trailer")

    def __init__(self, member: Member, offset: int, alignment: int) -> None:
        self.member = member
        self.offset = offset
        self.header = local_header(member, offset, alignment)
        self.data = offset + len(self.header)
        self.trailer = descriptor(member, offset)
        self.end = self.data + member.size + len(self.trailer)


def place(members: Iterable[Member], alignment: int) -> list[Placed]:
    """Where PyTorch's writer would put ``members``, one after the other."""
    placed: list[Placed] = []
    for member in members:
        placed.append(Placed(member, placed[-1].end if placed else 0, alignment))
    return placed


def _flags(member: Member) -> int:
    return UTF8 | (DESCRIPTOR if member.size else 0)


def _wide_fields(member: Member, offset: int) -> bytes:
    """The zip64 extra field, where a size or the offset needs one."""
    sizes = struct.pack("<2Q", member.size, member.size) if member.size >= FULL_4 else b""
    place = struct.pack("<Q", offset) if offset >= FULL_4 else b""
    return struct.pack("<2H", 1, len(sizes + place)) + sizes + place if sizes or place else b""


def local_header(member: Member, offset: int, alignment: int) -> bytes:
    """Header, name and extra fields, padded so that the data begins at a multiple of ``alignment``."""
    name = member.name.encode()
    wide = _wide_fields(member, offset)
    unpadded = offset + LOCAL.size + len(name) + len(wide) + 4
    padding = -unpadded % alignment
    extra = wide + _PADDING + struct.pack("<H", padding) + b"Z" * padding
    return LOCAL.pack(LOCAL_SIGNATURE, 0, _flags(member), STORED, 0, 0, 0, 0, 0, len(name), len(extra)) + name + extra


def descriptor(member: Member, offset: int) -> bytes:
    """CRC and sizes, which PyTorch writes behind the data; nothing behind an empty member."""
    if not member.size:
        return b""
    sizes = "<2Q" if member.size >= FULL_4 or offset >= FULL_4 else "<2I"
    return _DESCRIPTOR_SIGNATURE + struct.pack("<I", member.crc) + struct.pack(sizes, member.size, member.size)


def directory(placed: list[Placed]) -> bytes:
    """The central directory and the end records, zip64 always, as PyTorch writes them."""
    entries = b"".join(map(_central, placed))
    start = placed[-1].end
    count, end = len(placed), start + len(entries)
    return b"".join(
        (
            entries,
            END64.pack(END64_SIGNATURE, END64.size - 12, 0x31E, 0x2D, 0, 0, count, count, len(entries), start),
            LOCATOR64.pack(LOCATOR64_SIGNATURE, 0, end, 1),
            END.pack(
                END_SIGNATURE, 0, 0, min(count, FULL_2), min(count, FULL_2), min(len(entries), FULL_4),
                min(start, FULL_4), 0,
            ),
        )
    )  # fmt: skip


def _central(item: Placed) -> bytes:
    member, name = item.member, item.member.name.encode()
    extra = _wide_fields(member, item.offset)
    size = min(member.size, FULL_4)
    fixed = CENTRAL.pack(
        CENTRAL_SIGNATURE, 0, 0, _flags(member), STORED, 0, 0, member.crc, size, size, len(name), len(extra),
        0, 0, 0, 0, min(item.offset, FULL_4),
    )  # fmt: skip
    return fixed + name + extra


def write(placed: list[Placed], content: Callable[[Member], Iterable[bytes]], out: Callable[[bytes], object]) -> None:
    """Writes the archive; ``content`` gives each member's bytes in pieces."""
    for item in placed:
        out(item.header)
        for piece in content(item.member):
            out(piece)
        out(item.trailer)
    out(directory(placed))
