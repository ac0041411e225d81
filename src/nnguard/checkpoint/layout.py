"""Writes a zip archive with exactly the layout of PyTorch's writer.

The layout matters: ``torch.load(mmap=True)`` may compute a tensor's offset from the sizes before it
(``torch.serialization._load``, ``_get_offset``) instead of looking it up. So headers, padding and data descriptors need
exactly the lengths that PyTorch's writer gives them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from zipfile import ZIP_STORED, ZipInfo

from .archive import ENTRY, FULL_4, LOCAL, LOCAL_SIGNATURE, UTF8, end_records

DESCRIPTOR = 0x8
#: "FB" and a length begin the extra field; its "Z"s move the data to the next aligned offset.
_PADDING = b"FB"
_CENTRAL_SIGNATURE, _DESCRIPTOR_SIGNATURE = b"PK\x01\x02", b"PK\x07\x08"


class Placed:
    """A member and its offsets in the new archive: header ``offset``, data ``data``, next header ``end``."""

    __slots__ = ("data", "end", "header", "info", "offset", "trailer")

    def __init__(self, info: ZipInfo, offset: int, alignment: int) -> None:
        self.info = info
        self.offset = offset
        self.header = _local_header(info, offset, alignment)
        self.data = offset + len(self.header)
        self.trailer = _descriptor(info, offset)
        self.end = self.data + info.file_size + len(self.trailer)


def place(infos: Iterable[ZipInfo], alignment: int) -> list[Placed]:
    """The members with the offsets that PyTorch's writer would give them."""
    placed: list[Placed] = []
    for info in infos:
        placed.append(Placed(info, placed[-1].end if placed else 0, alignment))
    return placed


def _flags(info: ZipInfo) -> int:
    return UTF8 | (DESCRIPTOR if info.file_size else 0)


def _wide_fields(info: ZipInfo, offset: int) -> bytes:
    """The zip64 extra field if a size or the offset needs one, else nothing."""
    sizes = struct.pack("<2Q", info.file_size, info.file_size) if info.file_size >= FULL_4 else b""
    place = struct.pack("<Q", offset) if offset >= FULL_4 else b""
    return struct.pack("<2H", 1, len(sizes + place)) + sizes + place if sizes or place else b""


def _local_header(info: ZipInfo, offset: int, alignment: int) -> bytes:
    """Header, name and extra fields, with padding so that the data begins at a multiple of ``alignment``."""
    name = info.filename.encode()
    wide = _wide_fields(info, offset)
    padding = -(offset + LOCAL.size + len(name) + len(wide) + 4) % alignment
    extra = wide + _PADDING + struct.pack("<H", padding) + b"Z" * padding
    fixed = LOCAL.pack(LOCAL_SIGNATURE, 0, _flags(info), ZIP_STORED, 0, 0, 0, 0, 0, len(name), len(extra))
    return fixed + name + extra


def _descriptor(info: ZipInfo, offset: int) -> bytes:
    """CRC and sizes, which PyTorch writes after the data; an empty member has none."""
    if not info.file_size:
        return b""
    sizes = "<2Q" if info.file_size >= FULL_4 or offset >= FULL_4 else "<2I"
    return _DESCRIPTOR_SIGNATURE + struct.pack("<I", info.CRC) + struct.pack(sizes, info.file_size, info.file_size)


def directory(placed: list[Placed]) -> bytes:
    """The central directory and the end records."""
    entries = b"".join(map(_central, placed))
    return entries + end_records(len(placed), len(entries), placed[-1].end)


def _central(item: Placed) -> bytes:
    name = item.info.filename.encode()
    extra = _wide_fields(item.info, item.offset)
    size = min(item.info.file_size, FULL_4)
    fixed = ENTRY.pack(
        _CENTRAL_SIGNATURE, 0, 0, _flags(item.info), ZIP_STORED, 0, 0, item.info.CRC, size, size, len(name),
        len(extra), 0, 0, 0, 0, min(item.offset, FULL_4),
    )  # fmt: skip
    return fixed + name + extra


def write(placed: list[Placed], content: Callable[[ZipInfo], Iterable[bytes]], out: Callable[[bytes], object]) -> None:
    """Writes the archive with ``out``; ``content`` gives each member's bytes in pieces."""
    for item in placed:
        out(item.header)
        for piece in content(item.info):
            out(piece)
        out(item.trailer)
    out(directory(placed))
