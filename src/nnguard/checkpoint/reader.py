"""Reads a checkpoint's metadata from its zip directory and ``data.pkl`` only."""

from __future__ import annotations

import zipfile
import zlib
from typing import Any

import msgspec

from ..errors import CheckpointError
from ..nnunet import ARGUMENTS_KEY, AXES_KEY, BEST_EMA_KEY, EPOCH_KEY, LOGGING_KEY, TRAINER_KEY
from ..record import CHECKPOINT_KEY, Record
from . import sources
from .archive import (
    LOCAL_SIGNATURE,
    Directory,
    data_offset,
    fingerprint,
    raw_directory,
    read_directory,
    refuse_foreign,
)
from .foreign_files import HEAD, describe
from .pickle_reader import read_pickle
from .plain_data import Budget, plain

#: 4,000 epochs of 117 classes log 21 MB, and nnU-Net stores nothing larger except the weights.
MAX_PICKLE = 32 << 20


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A checkpoint's metadata, without its weights.

    Args:
        path: as it was given, with the member's name if the checkpoint is inside another zip.
        size: in bytes; the member's size if the checkpoint is inside another zip.
        keys: the top-level text keys, in order.
        trainer_name: the trainer's class; ``None`` if it is missing or no text.
        epoch: how many epochs were finished (``current_epoch``).
        best_ema: the best exponential moving average of the pseudo Dice.
        has_declared_axes: whether the key ``inference_allowed_mirroring_axes`` exists.
        declared_axes: its value, verbatim, even if malformed.
        init_args: the trainer's arguments: plans, configuration, fold, dataset_json.
        logging: nnU-Net's curves, as lists over epochs.
        record_text: nnguard's record as it is stored; ``None`` if there is none or it is no text.
        has_record: whether the key for the record exists, readable or not.
        weights_fingerprint: changes when any tensor changes; ``None`` if PyTorch was told to write no CRCs.
    """

    path: str
    size: int | None = None
    keys: tuple[str, ...] = ()
    trainer_name: str | None = None
    epoch: int | None = None
    best_ema: float | None = None
    has_declared_axes: bool = False
    declared_axes: Any = None
    init_args: dict[Any, Any] = {}
    logging: dict[Any, Any] = {}
    record_text: str | None = None
    has_record: bool = False
    weights_fingerprint: str | None = None

    def record(self) -> Record | None:
        """The record; ``None`` if there is none.

        Raises:
            CheckpointError: the record is broken, or newer than this nnguard.
        """
        if not self.has_record:
            return None
        if self.record_text is None:
            raise CheckpointError(f"{self.path}: its {CHECKPOINT_KEY!r} entry is not text, so no record of nnguard's")
        try:
            return Record.from_json(self.record_text)
        except CheckpointError as error:
            raise CheckpointError(f"{self.path}: {error}") from None


def read_checkpoint(source: Any, *, member: str | None = None) -> Checkpoint:
    """Reads a checkpoint without loading tensors and without running anything that it names.

    Args:
        source: a path, an ``fsspec`` URL, or an open binary file that can seek.
        member: the checkpoint's name inside ``source``, if that is a zip of
            ``nnUNetv2_export_model_to_zip`` (``exported_checkpoints`` lists the names).

    Raises:
        CheckpointError: the file is unreadable, or PyTorch could read other values than nnguard. The message says why.
    """
    path = sources.name_of(source) + (f"!{member}" if member else "")
    with sources.opened(source, path) as there:
        if member is not None:
            there = sources.member_source(there, zip_directory(there, path), member)
        return _read(there, path)


def weights_fingerprint(source: Any) -> str | None:
    """Only the fingerprint, of a file that PyTorch has just written or read; ``None`` if PyTorch computed no CRCs.

    Raises:
        CheckpointError: the file is no zip.
    """
    with sources.opened(source) as there:
        return fingerprint(raw_directory(there))


def exported_files(source: Any) -> list[str]:
    """The names of the files inside a zip of ``nnUNetv2_export_model_to_zip``.

    Raises:
        CheckpointError: the zip is unreadable, nnU-Net would install other files than these, or the checkpoints would
            grow suspiciously when unpacked (a zip bomb).
    """
    with sources.opened(source) as there:
        members = zip_directory(there, sources.name_of(source)).members
        _refuse_growth([info for name, info in members.items() if name.endswith(".pth")])
        return _installed_names(list(members))


def exported_checkpoints(source: Any) -> list[str]:
    """The ``exported_files`` that are checkpoints."""
    return [name for name in exported_files(source) if name.endswith(".pth")]


def read_exported(source: Any, name: str, longest: int) -> bytes | None:
    """The content of one of the ``exported_files``; ``None`` if none has this name.

    Raises:
        CheckpointError: the file is longer than ``longest`` bytes or damaged, or the zip is unreadable.
    """
    path = sources.name_of(source)
    with sources.opened(source, f"{path}!{name}") as there:
        directory = zip_directory(there, path)
        if name not in directory.members:
            return None
        member = sources.member_source(there, directory, name)
        if member.size > longest:
            raise CheckpointError(f"it is {member.size} bytes long, more than the {longest} that are read")
        content = member.read(0, member.size)
        if len(content) != member.size:
            raise CheckpointError("it is cut off")
        return content


def _refuse_growth(checkpoints: list[zipfile.ZipInfo]) -> None:
    """Refuses checkpoints that together grow too much; ``sources`` checks each single one."""
    size, packed = sum([info.file_size for info in checkpoints]), sum([info.compress_size for info in checkpoints])
    if size > sources.SMALL and size > sources.MAX_RATIO * packed:
        raise CheckpointError(f"its checkpoints would grow {size // max(1, packed)}-fold when unpacked")


def _installed_names(names: list[str]) -> list[str]:
    """The names without folders. Refuses names with ``..``, because nnU-Net could unpack them over another file."""
    for name in names:
        parts = name.removesuffix("/").split("/")
        if ":" in name or any(part in ("", ".", "..") for part in parts):
            raise CheckpointError(f"its member {name!r} would be unpacked to another place than it names")
    return [name for name in names if not name.endswith("/")]


def _read(source: sources.Source, path: str) -> Checkpoint:
    directory = zip_directory(source, path)
    root = archive_root(directory)
    data = pickle_bytes(source, directory, root)
    said = read_pickle(data).root
    budget = Budget(100_000 + 4 * len(data))

    def value(key: str, kind: type | tuple[type, ...]) -> Any:
        found = said.get(key)
        return found if isinstance(found, kind) and not isinstance(found, bool) else None

    ema = value(BEST_EMA_KEY, (int, float))
    return Checkpoint(
        path=path,
        size=source.size,
        keys=tuple(key for key in said if isinstance(key, str)),
        trainer_name=value(TRAINER_KEY, str),
        epoch=value(EPOCH_KEY, int),
        best_ema=None if ema is None else float(ema),
        has_declared_axes=AXES_KEY in said,
        declared_axes=plain(said.get(AXES_KEY), budget),
        init_args=plain(value(ARGUMENTS_KEY, dict) or {}, budget),
        logging=plain(value(LOGGING_KEY, dict) or {}, budget),
        record_text=value(CHECKPOINT_KEY, str),
        has_record=CHECKPOINT_KEY in said,
        weights_fingerprint=fingerprint(directory.raw),
    )


def zip_directory(source: sources.Source, path: str = "") -> Directory:
    """The directory of a zip file. If the file is no zip, ``path`` helps to say what it is."""
    head = source.read(0, HEAD)
    if not head.startswith(LOCAL_SIGNATURE):
        raise CheckpointError(describe(head, path))
    return read_directory(source)


def archive_root(directory: Directory) -> str:
    """The folder that contains all members, with its slash. PyTorch takes the first member's folder for all."""
    names = list(directory.members)
    lower = [name.lower() for name in names]
    if [name for name in lower if name.endswith(".pth")]:
        raise CheckpointError(
            "it is a zip of whole models: nnguard check reads it as it lies; for anything else "
            "install it first, with nnUNetv2_install_pretrained_model_from_zip"
        )
    root = names[0].partition("/")[0] + "/" if names else "/"
    if root == "/" or [name for name in names if not name.startswith(root)]:
        raise CheckpointError("its members do not lie in one folder, as PyTorch writes them")
    if f"{root}constants.pkl".lower() in lower:
        raise CheckpointError("it is a TorchScript archive, not a checkpoint of a training")
    if f"{root}version" not in directory.members:
        raise CheckpointError("it has no version entry, so PyTorch would not load it")
    refuse_foreign(list(directory.members.values()))
    return root


def pickle_bytes(source: sources.Source, directory: Directory, root: str) -> bytes:
    """The bytes of ``data.pkl``. Its header and its checksum must agree with the directory."""
    info = directory.members.get(root + "data.pkl")
    if info is None:
        raise CheckpointError("it has no data.pkl, so it is not a checkpoint of torch.save")
    if info.file_size > MAX_PICKLE:
        raise CheckpointError(f"its data.pkl is {info.file_size} bytes long, more than the {MAX_PICKLE} that are read")
    data = source.read(data_offset(source, info, directory.start), info.file_size)
    # PyTorch writes 0 if it computed no checksum (torch.serialization.set_crc32_options(False)).
    if len(data) != info.file_size or (info.CRC and zlib.crc32(data) != info.CRC):
        raise CheckpointError("the checksum of its data.pkl is wrong: damaged, edited, or cut off")
    return data
