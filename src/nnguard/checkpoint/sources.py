"""Bytes by range, wherever a checkpoint lies: a local file, an open file, a URL, or inside another zip."""

from __future__ import annotations

import io
import os
import stat
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any, Protocol

from ..errors import CheckpointError
from .archive import DEFLATED, STORED, Directory, Member, data_offset

#: What a protocol needs beside fsspec, as pip is to be asked for it.
PACKAGES = {
    **dict.fromkeys(("http", "https"), "fsspec[http]"),
    **dict.fromkeys(("s3", "s3a"), "s3fs"),
    **dict.fromkeys(("gs", "gcs"), "gcsfs"),
    **dict.fromkeys(("abfs", "abfss", "az", "adl"), "adlfs"),
    **dict.fromkeys(("sftp", "ssh"), "paramiko"),
    "hf": "huggingface_hub",
    "smb": "smbprotocol",
}
_CHUNK = 1 << 16
#: Trained weights hardly compress. A member that shrank more than this is made to be large.
MAX_RATIO = 200
SMALL = 64 << 20


class Source(Protocol):
    """``size`` in bytes, and any stretch of them; a read past the end gives what is there."""

    size: int

    def read(self, offset: int, length: int) -> bytes: ...


class FileSource:
    """An open binary file that can seek."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.size = file.seek(0, io.SEEK_END)

    def read(self, offset: int, length: int) -> bytes:
        self.file.seek(offset)
        return self.file.read(length)


class RemoteSource:
    """A file behind an ``fsspec`` URL; only the ranges that are asked for travel."""

    def __init__(self, url: str) -> None:
        # fsspec costs 30 ms and more to import; local files never need it.
        from fsspec.core import url_to_fs
        from fsspec.registry import known_implementations, registry

        protocol = url.partition("://")[0].rpartition("::")[2]
        if protocol not in known_implementations and protocol not in registry:
            why = _needs(protocol) if protocol in PACKAGES else f"fsspec knows no protocol {protocol}://"
            raise CheckpointError(f"it cannot be reached: {why}")
        self.files, self.path = _asked("it cannot be reached", url_to_fs, url, protocol=protocol)
        size = _asked("it cannot be reached", self.files.info, self.path, protocol=protocol).get("size")
        if not isinstance(size, int):
            raise CheckpointError("its size is not known, so that parts of it cannot be read")
        self.size = size

    def read(self, offset: int, length: int) -> bytes:
        if length <= 0:
            return b""
        end = min(offset + length, self.size)
        return bytes(_asked("it cannot be read", self.files.cat_file, self.path, start=offset, end=end))


def _asked(failure: str, call: Callable[..., Any], *arguments: Any, protocol: str = "", **options: Any) -> Any:
    """What a file system answers.

    Raises:
        CheckpointError: it raised; the message begins with ``failure``.
    """
    try:
        return call(*arguments, **options)
    except FileNotFoundError:
        raise CheckpointError(f"{failure}: there is no such file") from None
    except ImportError as error:
        why = _needs(protocol) if protocol in PACKAGES else _brief(error)
        raise CheckpointError(f"{failure}: {why}") from None
    except Exception as error:  # noqa: BLE001 - whoever wrote this file system, its failure is the answer
        raise CheckpointError(f"{failure}: {_brief(error)}") from None


def _needs(protocol: str) -> str:
    package = PACKAGES[protocol]
    quoted = f"'{package}'" if "[" in package else package
    return f"{protocol}:// needs a package that is not installed here: pip install {quoted}"


class StoredMember:
    """An uncompressed member of another archive."""

    def __init__(self, source: Source, start: int, member: Member) -> None:
        self.source = source
        self.start = start
        self.size = member.size

    def read(self, offset: int, length: int) -> bytes:
        return self.source.read(self.start + offset, max(0, min(length, self.size - offset)))


class DeflatedMember:
    """A compressed member of another archive, inflated on the way; going back starts again."""

    def __init__(self, source: Source, start: int, member: Member) -> None:
        if member.size > SMALL and member.size > MAX_RATIO * member.packed:
            raise CheckpointError(f"it would grow {member.size // max(1, member.packed)}-fold when unpacked")
        self.source, self.start, self.member = source, start, member
        self.size = member.size
        self.rewind()

    def rewind(self) -> None:
        self.inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        self.taken = self.given = self.crc = 0

    def read(self, offset: int, length: int) -> bytes:
        if offset < self.given:
            self.rewind()
        while self.given < offset:
            if not self.next(min(_CHUNK, offset - self.given)):
                return b""
        pieces = []
        while length > 0 and (piece := self.next(min(_CHUNK, length))):
            pieces.append(piece)
            length -= len(piece)
        return b"".join(pieces)

    def next(self, most: int) -> bytes:
        piece = b""
        while not piece and self.given < self.size and not self.inflater.eof:
            packed = self.inflater.unconsumed_tail
            if not packed:
                packed = self.source.read(self.start + self.taken, min(_CHUNK, self.member.packed - self.taken))
                self.taken += len(packed)
                if not packed:
                    raise CheckpointError("its compressed data is cut off")
            try:
                piece = self.inflater.decompress(packed, min(most, self.size - self.given))
            except zlib.error as error:
                raise CheckpointError(f"its compressed data is damaged: {error}") from None
        self.given += len(piece)
        self.crc = zlib.crc32(piece, self.crc)
        if self.given == self.size and self.crc != self.member.crc:
            raise CheckpointError("its compressed data is damaged: the checksum is wrong")
        return piece


def member_source(source: Source, directory: Directory, name: str) -> Source:
    """The member ``name`` of a zip file, as a source of its own."""
    member = directory.find(name)
    if member is None:
        raise CheckpointError(f"it has no member {name!r}")
    start = data_offset(source, member, directory.start)
    if member.method == STORED and member.packed == member.size:
        return StoredMember(source, start, member)
    if member.method == DEFLATED:
        return DeflatedMember(source, start, member)
    raise CheckpointError(f"its member {name!r} is compressed in a way that Python's zipfile does not write here")


def name_of(source: Any) -> str:
    """What to call ``source`` in a message."""
    if isinstance(source, (str, os.PathLike)):
        return os.fsdecode(source)
    name = getattr(source, "name", None)
    return name if isinstance(name, str) else "<open file>"


@contextmanager
def opened(source: Any) -> Iterator[Source]:
    """Opens a path, URL or binary file for reading by range. An open file is left open, where it stood."""
    if isinstance(source, str) and "://" in source:
        yield RemoteSource(source)
    elif isinstance(source, (str, os.PathLike)):
        with _open_regular(os.fsdecode(source)) as file:
            yield FileSource(file)
    else:
        try:
            before = source.tell()
            there = FileSource(source)
        except (AttributeError, OSError, ValueError, TypeError) as error:
            raise CheckpointError(f"it is neither a path nor an open binary file that can seek ({error})") from None
        try:
            yield there
        finally:
            source.seek(before)


@contextmanager
def _open_regular(path: str) -> Iterator[IO[bytes]]:
    def without_waiting(name: str, flags: int) -> int:
        # A FIFO without a writer would keep an ordinary open waiting for ever.
        return os.open(name, flags | getattr(os, "O_NONBLOCK", 0))

    try:
        file = open(path, "rb", buffering=0, opener=without_waiting)  # noqa: SIM115 (the errors of opening are its own)
    except FileNotFoundError:
        raise CheckpointError("there is no such file") from None
    except IsADirectoryError:
        raise CheckpointError("it is a directory, not a checkpoint file") from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"it cannot be opened: {_brief(error)}") from None
    with file:
        mode = os.fstat(file.fileno()).st_mode
        if not stat.S_ISREG(mode):
            raise CheckpointError("it is a pipe, socket or device, not a checkpoint file")
        try:
            yield file
        except OSError as error:
            raise CheckpointError(f"it cannot be read: {_brief(error)}") from None


def _brief(error: BaseException) -> str:
    strerror = getattr(error, "strerror", None)
    return strerror if isinstance(strerror, str) else str(error).partition("\n")[0] or type(error).__name__
