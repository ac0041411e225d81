"""The directory of a zip file: ``zipfile`` parses it, and anything that PyTorch may read differently is an error.

PyTorch searches a member below the first member's folder and ignores case; ``zipfile`` takes the last exact name. They
also differ on bytes before and after the archive. Both read a file in the same way if it ends exactly as a writer would
end it after its one directory, and if the directory accounts for every byte outside the members.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec

from ..errors import CheckpointError

if TYPE_CHECKING:
    from .sources import Source

#: About 20,000 members, which take 20 MB in zipfile. The largest nnU-Net checkpoints have about 2,000.
MAX_DIRECTORY = 2 << 20
#: One read of this size at the end of the file usually contains the whole directory.
TAIL = 64 << 10

LOCAL = struct.Struct("<4s5H3I2H")
ENTRY = struct.Struct("<4s6H3I5H2I")
#: The part of a directory entry that the fingerprint needs: CRC, size, lengths of name, extra fields and comment.
SUMS = struct.Struct("<16xI4xI3H12x")
END = struct.Struct("<4s4H2IH")
LOCATOR64 = struct.Struct("<4sIQI")
END64 = struct.Struct("<4sQ2H2I4Q")
#: Distances from the end of the file to the two zip64 records.
_AT_LOCATOR64 = END.size + LOCATOR64.size
_AT_END64 = _AT_LOCATOR64 + END64.size
LOCAL_SIGNATURE = b"PK\x03\x04"
END_SIGNATURE, LOCATOR64_SIGNATURE, END64_SIGNATURE = b"PK\x05\x06", b"PK\x06\x07", b"PK\x06\x06"
FULL_2, FULL_4 = 0xFFFF, 0xFFFFFFFF
ENCRYPTED, UTF8 = 0x1, 0x800
#: "Made by" and "needed to extract", as PyTorch writes them into the zip64 end record.
_VERSIONS = (0x31E, 0x2D)


class Directory(msgspec.Struct, frozen=True):
    """All members by name, in the directory's order; the directory's offset (``start``) and its bytes (``raw``)."""

    members: dict[str, zipfile.ZipInfo]
    start: int
    archive: zipfile.ZipFile
    raw: bytes


def read_directory(source: Source) -> Directory:
    """Reads the directory at the end of ``source``.

    Raises:
        CheckpointError: there is no directory, or two readers could understand it differently.
    """
    tail = _tail_of(source)
    count, start, size = _located(tail, source.size)
    with zip_errors():
        archive = zipfile.ZipFile(io.BufferedReader(_File(source, tail), TAIL))
    infos = archive.infolist()
    if len(infos) != count or archive.start_dir != start:
        raise CheckpointError("its zip directory lists other members than it announces")
    _refuse_ambiguous(infos, start)
    return Directory({info.filename: info for info in infos}, start, archive, _between(source, tail, start, size))


def raw_directory(source: Source) -> bytes:
    """Only the bytes of the directory, for a file that PyTorch has just written or read.

    Raises:
        CheckpointError: the file does not end as a zip archive ends.
    """
    tail = _tail_of(source)
    _, start, size = _located(tail, source.size)
    return _between(source, tail, start, size)


def fingerprint(raw: bytes) -> str | None:
    """A checksum over the checksums of the tensors' members, with their number and total size in bytes.

    It parses the directory's bytes itself, because ``zipfile`` takes three times as long.

    Args:
        raw: the directory's bytes.

    Returns:
        ``None`` if PyTorch wrote no CRCs.

    Raises:
        CheckpointError: the directory is garbled.
    """
    folder = raw[ENTRY.size :].partition(b"/")[0] + b"/data/"
    tensors, total, position, unpack = [], 0, 0, SUMS.unpack_from
    try:
        while position < len(raw):
            crc, size, named, more, comment = unpack(raw, position)
            end = position + SUMS.size + named
            name = raw[position + SUMS.size : end]
            if name.startswith(folder):
                if size == FULL_4:
                    (size,) = struct.unpack_from("<Q", raw, end + 4)
                if size and not crc:
                    return None
                total += size
                tensors.append(b"%b %d %08x" % (name[len(folder) :], size, crc))
            position = end + more + comment
    except struct.error:
        raise CheckpointError("its zip directory is garbled") from None
    lines = b"\n".join(sorted(tensors))
    return f"crc32:{zlib.crc32(lines):08x}:{len(tensors)}:{total}"


def _tail_of(source: Source) -> bytes:
    start = max(0, source.size - TAIL)
    return source.read(start, source.size - start)


def _between(source: Source, tail: bytes, start: int, size: int) -> bytes:
    inside = start - (source.size - len(tail))
    return tail[inside : inside + size] if inside >= 0 else source.read(start, size)


@contextmanager
def zip_errors() -> Iterator[None]:
    """Turns the many exceptions of ``zipfile`` into one ``CheckpointError``."""
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, ValueError, RuntimeError, OverflowError) as error:
        raise CheckpointError(f"the zip archive is damaged, or encrypted ({error})") from None


class _File(io.RawIOBase):
    """A source as a file for ``zipfile``. It keeps the tail, because a compressed source restarts to go back."""

    def __init__(self, source: Source, tail: bytes) -> None:
        self.source = source
        self.tail = tail
        self.position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        position = offset + (0, self.position, self.source.size)[whence]
        if position < 0:
            raise OSError("a position before the beginning")
        self.position = position
        return position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        into_tail = self.position - (self.source.size - len(self.tail))
        if into_tail >= 0:
            piece = self.tail[into_tail : into_tail + len(buffer)]
        else:
            piece = self.source.read(self.position, len(buffer))
        buffer[: len(piece)] = piece
        self.position += len(piece)
        return len(piece)


def end_records(count: int, size: int, start: int, versions: Sequence[int] = _VERSIONS) -> bytes:
    """What PyTorch writes after a directory of ``count`` members and ``size`` bytes at ``start``; always zip64."""
    here = min(count, FULL_2)
    return (
        END64.pack(END64_SIGNATURE, END64.size - 12, *versions, 0, 0, count, count, size, start)
        + LOCATOR64.pack(LOCATOR64_SIGNATURE, 0, start + size, 1)
        + END.pack(END_SIGNATURE, 0, 0, here, here, min(size, FULL_4), min(start, FULL_4), 0)
    )


def _located(tail: bytes, total: int) -> tuple[int, int, int]:
    """Member count, offset and size of the directory. Refuses a file that does not end as a writer would end it."""
    if len(tail) < END.size or tail[-END.size :][:4] != END_SIGNATURE:
        if END_SIGNATURE in tail:
            raise CheckpointError("bytes follow the end of the zip archive, or it carries a comment")
        raise CheckpointError("it has no zip directory at its end: truncated, or still being written")
    *_, count, size, start = END.unpack(tail[-END.size :])[:-1]
    length, versions = END.size, list(_VERSIONS)
    if tail[-_AT_LOCATOR64:].startswith(LOCATOR64_SIGNATURE):
        _, _, *versions, _, _, _, count, size, start = END64.unpack(tail[-_AT_END64:-_AT_LOCATOR64].ljust(END64.size))
        length = _AT_END64
    if size > MAX_DIRECTORY:
        raise CheckpointError(f"its directory is {size} bytes long, more than any checkpoint needs")
    if start + size + length != total or not tail.endswith(end_records(count, size, start, versions)[-length:]):
        raise CheckpointError(
            "bytes stand before the archive or around its directory, or the directory contradicts itself: PyTorch and "
            "Python's zipfile would read different members"
        )
    return count, start, size


def _refuse_ambiguous(infos: list[zipfile.ZipInfo], directory_start: int) -> None:
    seen: set[str] = set()
    for info in infos:
        name = info.orig_filename
        if "\0" in name or "\\" in name:
            raise CheckpointError("a member's name holds a byte that zip readers treat differently")
        if name.lower() in seen:
            raise CheckpointError(
                f"it has two members named {name!r} (upper and lower case count as one): PyTorch and Python's "
                "zipfile would read different ones"
            )
        seen.add(name.lower())
    end = 0
    for info in sorted(infos, key=lambda info: info.header_offset):
        if info.header_offset < end:
            raise CheckpointError(f"its member {info.filename!r} shares bytes with another one")
        if not end and info.header_offset:
            raise CheckpointError("bytes stand before the first member")
        end = info.header_offset + LOCAL.size + len(info.filename) + info.compress_size
    if end > directory_start:
        raise CheckpointError("a member reaches into the zip directory: truncated, or garbled")


def refuse_foreign(infos: list[zipfile.ZipInfo]) -> None:
    """Refuses directory entries that PyTorch does not write and may read otherwise than ``zipfile``."""
    for info in infos:
        fields = info.extra[:4]
        numbers = (info.file_size, info.compress_size, info.header_offset)
        if info.extra and (len(fields) < 4 or struct.unpack("<2H", fields) != (1, len(info.extra) - 4)):
            raise CheckpointError(f"its member {info.filename!r} has an extra field that PyTorch does not write")
        if info.volume or info.comment or (FULL_4 in numbers and not info.extra):
            raise CheckpointError(f"the directory entry of its member {info.filename!r} is garbled")
        if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
            raise CheckpointError(
                f"its member {info.filename!r} is compressed, which PyTorch does not do: load and save it with PyTorch"
            )
        if not info.filename.isascii() and not info.flag_bits & UTF8:
            raise CheckpointError("a member's name is no UTF-8")


def data_offset(source: Source, info: zipfile.ZipInfo, directory_start: int) -> int:
    """The offset of a member's bytes. Its local header must agree with the directory.

    Sizes and CRC may be 0 in the header, because PyTorch writes them after the data.
    """
    raw = source.read(info.header_offset, LOCAL.size)
    if len(raw) < LOCAL.size:
        raise CheckpointError(f"its member {info.filename!r} is cut off")
    signature, _, flags, method, _, _, crc, packed, size, name_length, extra_length = LOCAL.unpack(raw)
    name = source.read(info.header_offset + LOCAL.size, name_length)
    named = name.decode("utf-8" if flags & UTF8 else "cp437", "replace") == info.orig_filename
    sound = signature == LOCAL_SIGNATURE and named and method == info.compress_type
    for here, there in ((crc, info.CRC), (packed, info.compress_size), (size, info.file_size)):
        sound = sound and here in (0, FULL_4, there)
    if not sound:
        raise CheckpointError(f"the header of its member {info.filename!r} contradicts the zip directory")
    if (flags | info.flag_bits) & ENCRYPTED:
        raise CheckpointError(f"its member {info.filename!r} is encrypted")
    start = info.header_offset + LOCAL.size + name_length + extra_length
    if start + info.compress_size > directory_start:
        raise CheckpointError(f"its member {info.filename!r} reaches into the zip directory")
    return int(start)
