"""Reads ranges of bytes from a checkpoint: a local file, an open file, a URL, or a member of another zip."""

from __future__ import annotations

import io
import os
import stat
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any, Protocol

from ..errors import CheckpointError
from .archive import Directory, data_offset, zip_errors

#: Trained weights hardly compress. A member that is compressed more than this was made to exhaust memory.
MAX_RATIO = 200
SMALL = 64 << 20
_CHUNK = 1 << 20


class Source(Protocol):
    """``size`` in bytes, and any range of them. A read beyond the end returns fewer bytes."""

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
    """A file behind an ``fsspec`` URL. It transfers only the requested ranges."""

    def __init__(self, url: str) -> None:
        try:
            # fsspec is an optional dependency that takes 30 ms or more to import, and local files do not need it.
            from fsspec.core import url_to_fs
        except ImportError:
            raise CheckpointError("nnguard needs fsspec to read a URL: pip install fsspec") from None
        self.files, self.path = _asked("it cannot be reached", url_to_fs, url)
        size = _asked("it cannot be reached", self.files.info, self.path).get("size")
        if not isinstance(size, int):
            raise CheckpointError("its size is not known, so that parts of it cannot be read")
        self.size = size

    def read(self, offset: int, length: int) -> bytes:
        end = min(offset + length, self.size)
        if end <= offset:
            return b""
        return bytes(_asked("it cannot be read", self.files.cat_file, self.path, start=offset, end=end))


def _asked(failure: str, call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """The result of a call to a file system.

    Raises:
        CheckpointError: the call raised. The message begins with ``failure``; fsspec's own text names missing packages.
    """
    try:
        return call(*arguments, **options)
    except FileNotFoundError:
        raise CheckpointError(f"{failure}: there is no such file") from None
    except Exception as error:  # noqa: BLE001 - a file system may raise anything, and its failure is the answer
        raise CheckpointError(f"{failure}: {_brief(error)}") from None


class StoredMember:
    """An uncompressed member of another archive."""

    def __init__(self, source: Source, start: int, size: int) -> None:
        self.source = source
        self.start = start
        self.size = size

    def read(self, offset: int, length: int) -> bytes:
        return self.source.read(self.start + offset, max(0, min(length, self.size - offset)))


class DeflatedMember:
    """A compressed member of another archive. Reading unpacks it; reading backwards unpacks it from the start."""

    def __init__(self, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> None:
        if info.file_size > SMALL and info.file_size > MAX_RATIO * info.compress_size:
            raise CheckpointError(f"it would grow {info.file_size // max(1, info.compress_size)}-fold when unpacked")
        with zip_errors():
            self.file = archive.open(info)
        self.size = info.file_size

    def read(self, offset: int, length: int) -> bytes:
        with zip_errors():
            if offset < self.file.tell():
                self.file.seek(0)
            # zipfile's own seek unpacks 16 MB at a time.
            while self.file.tell() < offset and self.file.read(min(_CHUNK, offset - self.file.tell())):
                pass
            return self.file.read(length)


def member_source(source: Source, directory: Directory, name: str) -> Source:
    """The member ``name`` of a zip file as a source.

    Raises:
        CheckpointError: there is no such member, or nnguard cannot unpack it.
    """
    info = directory.members.get(name)
    if info is None:
        raise CheckpointError(f"it has no member {name!r}")
    if info.compress_type == zipfile.ZIP_STORED and info.compress_size == info.file_size:
        return StoredMember(source, data_offset(source, info, directory.start), info.file_size)
    if info.compress_type == zipfile.ZIP_DEFLATED:
        return DeflatedMember(directory.archive, info)
    raise CheckpointError(f"its member {name!r} is compressed in a way that nnU-Net does not use")


def name_of(source: Any) -> str:
    """The name of ``source`` in messages."""
    if isinstance(source, (str, os.PathLike)):
        return os.fsdecode(source)
    name = getattr(source, "name", None)
    return name if isinstance(name, str) else "<open file>"


@contextmanager
def opened(source: Any, name: str = "") -> Iterator[Source]:
    """Opens a path, URL or binary file to read ranges. An open file stays open and keeps its position.

    Raises:
        CheckpointError: anything failed while it was open. The message begins with ``name``, else with ``name_of``.
    """
    try:
        if isinstance(source, str) and "://" in source:
            yield RemoteSource(source)
        elif isinstance(source, (str, os.PathLike)):
            with _open_regular(os.fsdecode(source)) as file:
                yield FileSource(file)
        else:
            before, there = _seekable(source)
            try:
                yield there
            finally:
                source.seek(before)
    except CheckpointError as error:
        raise CheckpointError(f"{name or name_of(source)}: {error}") from None


def _seekable(file: Any) -> tuple[int, FileSource]:
    try:
        return file.tell(), FileSource(file)
    except (AttributeError, OSError, ValueError, TypeError) as error:
        raise CheckpointError(f"it is neither a path nor an open binary file that can seek ({error})") from None


@contextmanager
def _open_regular(path: str) -> Iterator[IO[bytes]]:
    def without_waiting(name: str, flags: int) -> int:
        # Without this flag, opening a FIFO without a writer would wait forever.
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
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise CheckpointError("it is a pipe, socket or device, not a checkpoint file")
        try:
            yield file
        except OSError as error:
            raise CheckpointError(f"it cannot be read: {_brief(error)}") from None


def _brief(error: BaseException) -> str:
    strerror = getattr(error, "strerror", None)
    return strerror if isinstance(strerror, str) else str(error).partition("\n")[0] or type(error).__name__
