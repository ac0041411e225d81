"""Replaces a file so that at every moment either the old or the new one is there, and complete."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from ..errors import CheckpointError

BACKUP_SUFFIX = ".before-nnguard"
PART_SUFFIX = ".nnguard-part"


def backup_of(target: Path) -> Path:
    """The path of the backup of ``target``."""
    return target.with_name(target.name + BACKUP_SUFFIX)


def refuse_unwritable(target: Path) -> None:
    """Refuses a ``target`` that cannot be replaced safely, before anything is written.

    Raises:
        CheckpointError: the file has hard links, is write-protected, is in a read-only folder, or belongs to an owner
            whom the new file could not keep.
    """
    there = target.stat()
    names = there.st_nlink - (1 if _is(there, backup_of(target)) else 0)
    if names > 1:
        raise CheckpointError(
            f"it has {names} names (hard links), and replacing one of them would separate them: "
            "make a copy of its own first (cp FILE COPY && mv COPY FILE)"
        )
    if not _may(target, os.W_OK):
        raise CheckpointError("it is write-protected for you")
    if not _may(target.parent, os.W_OK | os.X_OK):
        raise CheckpointError(f"its folder {target.parent} is write-protected for you")
    if hasattr(os, "geteuid") and os.geteuid() not in (0, there.st_uid):
        raise CheckpointError("it belongs to another user, who would lose it to you: let its owner do it")


def _may(path: Path, mode: int) -> bool:
    return os.access(path, mode, effective_ids=os.access in os.supports_effective_ids)


def _is(there: os.stat_result, other: Path) -> bool:
    try:
        return os.path.samestat(there, other.lstat())
    except OSError:
        return False


def replace(
    target: Path,
    unchanged_since: os.stat_result,
    write: Callable[[IO[bytes]], None],
    check: Callable[[Path], None],
    backup: bool,
) -> Path | None:
    """Writes a new file next to ``target``, checks it, and renames it to ``target``.

    If two processes do this at once, one is refused, or runs second and starts from what the first wrote. If a training
    saves in the meantime, this process is refused.

    Args:
        target: an ordinary file, no symbolic link.
        unchanged_since: its state when the new content was planned.
        write: writes the new content.
        check: reads the new file back and raises if it is not as planned.
        backup: whether to keep the old file as ``NAME.before-nnguard``, unless a backup exists already.

    Returns:
        The backup, if there is one.

    Raises:
        CheckpointError: ``target`` could not be replaced. It is unchanged.
    """
    try:
        with _part(target) as (file, part):
            write(file)
            file.flush()
            _keep_owner_and_mode(file.fileno(), target, unchanged_since)
            os.fsync(file.fileno())
            _refuse_changed(target, unchanged_since)
            check(part)
            with _backed_up(target) if backup else contextlib.nullcontext() as kept:
                # A training may save at any time, so nothing comes between this check and the rename.
                _refuse_changed(target, unchanged_since)
                part.replace(target)
            _sync_folder(target.parent)
            return kept
    except OSError as error:
        raise CheckpointError(f"it cannot be rewritten: {error.strerror or error}; the file is as it was") from None


def _refuse_changed(target: Path, before: os.stat_result) -> None:
    now = target.stat()
    if (now.st_ino, now.st_size, now.st_mtime_ns) != (before.st_ino, before.st_size, before.st_mtime_ns):
        raise CheckpointError("it changed while it was being rewritten (is a training running?): nothing was done")


@contextmanager
def _part(target: Path) -> Iterator[tuple[IO[bytes], Path]]:
    """The unfinished new file, locked. It reuses the file that an interrupted run left behind."""
    part = target.with_name(target.name + PART_SUFFIX)
    with _locked(part) as file:
        try:
            file.truncate(0)
            yield file, part
        except BaseException:
            # This happens while the lock is held; later, the name may belong to another process's new file.
            part.unlink(missing_ok=True)
            raise


def _locked(part: Path) -> IO[bytes]:
    while True:
        descriptor = os.open(
            part, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0), 0o600
        )
        file = os.fdopen(descriptor, "r+b")
        try:
            _lock(descriptor)
        except BlockingIOError:
            file.close()
            raise CheckpointError("another nnguard is rewriting it at this moment") from None
        # Before this process got the lock, its holder may have renamed the file to the target.
        with contextlib.suppress(FileNotFoundError):
            mine = os.fstat(descriptor)
            if mine.st_nlink > 1 or not stat.S_ISREG(mine.st_mode):
                file.close()
                raise CheckpointError(f"{part} is in the way: it is no file of nnguard's")
            if os.path.samestat(mine, os.lstat(part)):
                return file
        file.close()


def _lock(descriptor: int) -> None:
    try:
        import fcntl
    except ImportError:  # Windows, which refuses to replace an open file anyway
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:
        # Some network file systems have no locks. The old file is still never modified in place.
        return


def _keep_owner_and_mode(descriptor: int, target: Path, before: os.stat_result) -> None:
    if hasattr(os, "fchown"):
        now = os.fstat(descriptor)
        if (now.st_uid, now.st_gid) != (before.st_uid, before.st_gid):
            try:
                os.fchown(descriptor, before.st_uid, before.st_gid)
            except PermissionError:
                raise CheckpointError("its owner and group cannot be kept by you: let its owner do it") from None
        os.fchmod(descriptor, stat.S_IMODE(before.st_mode))
    if hasattr(os, "listxattr"):
        # Access control lists are extended attributes. A file system without them raises an error.
        with contextlib.suppress(OSError):
            for name in os.listxattr(target):
                os.setxattr(descriptor, name, os.getxattr(target, name))


@contextmanager
def _backed_up(target: Path) -> Iterator[Path]:
    """The backup of ``target``.

    A backup that was made here is removed if the replacement is refused after all. A later replacement would otherwise
    keep it, although it started from another file.
    """
    backup = backup_of(target)
    made = _back_up(target, backup)
    try:
        yield backup
    except BaseException:
        if made:
            backup.unlink(missing_ok=True)
        raise


def _back_up(target: Path, backup: Path) -> bool:
    """Makes the backup unless there is one. Returns whether it made one."""
    try:
        # A hard link is complete at once and takes no disk space.
        os.link(target, backup)
    except FileExistsError:
        return False
    except OSError:
        if backup.exists():
            return False
        _copy_aside(target, backup)
    _sync_folder(target.parent)
    return True


def _copy_aside(target: Path, backup: Path) -> None:
    """Makes the backup on file systems without hard links."""
    partial = backup.with_name(backup.name + PART_SUFFIX)
    import shutil

    try:
        shutil.copy2(target, partial)
        with partial.open("r+b") as file:
            os.fsync(file.fileno())
        partial.rename(backup)
    except OSError:
        partial.unlink(missing_ok=True)
        raise


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        # Some network file systems cannot do this, and they do not lose the file because of it.
        with contextlib.suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
