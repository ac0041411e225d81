"""What nnguard knows about a training, as plain data, and its JSON text in the checkpoint.

``docs/record.schema.json`` fixes the layout. A reader accepts fields that it does not know. It refuses only a newer
``schema`` number, because then the meaning of a field may have changed.
"""

from __future__ import annotations

import platform
import time
from typing import Any, Literal, TypeVar

import msgspec

from .errors import CheckpointError

SCHEMA = 1
#: The checkpoint's key for the record, and the file name of the sidecar in the fold folder.
CHECKPOINT_KEY = "nnguard"
FILE_NAME = "nnguard.json"

Axes = tuple[int, ...]
RecordType = TypeVar("RecordType", bound="Record")
State = Literal["observed", "pending", "unknown", "declared", "measured"]
Verdict = Literal["trained", "rare", "unseen"]
Labels = Literal["kept", "swapped", "mixed", "unknown"]
Source = Literal["loader", "step", "both"]


def timestamp(seconds: float | None = None) -> str:
    """Now, or ``seconds`` since 1970, as ``2026-11-24T14:19:47Z``. Every time that nnguard writes has this form."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


class FlipEvidence(msgspec.Struct, frozen=True, kw_only=True):
    """One flip and how often it was seen.

    ``rate`` is ``count`` divided by the usable samples. ``low`` and ``high`` are its exact 95 % interval, which
    allows for a probe that stops as soon as all flips are settled.
    ``permutation`` maps the labels that the flip renames, source label to new label.
    """

    axes: Axes
    count: int
    rate: float
    low: float
    high: float
    verdict: Verdict
    labels: Labels = "unknown"
    permutation: dict[int, int] | None = None
    source: Source = "loader"


class Mirroring(msgspec.Struct, frozen=True, kw_only=True):
    """What training showed. Axes are spatial, 0-based, after ``transpose_forward``.

    ``draws`` counts all samples, ``clean`` the usable ones. ``safe_axes`` considers all axes of the data; it is
    ``None`` if the state is unknown or pending. ``plain_rate`` is the share of usable samples without any flip.
    """

    state: State
    reasons: list[str] = []
    draws: int = 0
    clean: int = 0
    plain_rate: float | None = None
    flips: list[FlipEvidence] = []
    safe_axes: Axes | None = None

    def flip(self, axes: Axes) -> FlipEvidence | None:
        """The evidence for one flip, or ``None`` if it is not listed."""
        wanted = tuple(sorted(axes))
        return next((flip for flip in self.flips if flip.axes == wanted), None)


class Apart(msgspec.Struct, frozen=True, kw_only=True):
    """Images that were flipped otherwise than their targets: ``draws`` of the pipeline's ``clean`` usable samples.

    Older records may instead count ``cases`` of ``compared`` cases in the first train steps.
    """

    draws: int = 0
    clean: int = 0
    cases: int = 0
    compared: int = 0


class TrainerIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """The trainer's class. ``source_sha256`` is the hash of its module's file, ``None`` if there is no file."""

    class_: str = msgspec.field(name="class")
    module: str
    source_sha256: str | None = None


class AxesHistory(msgspec.Struct, frozen=True, kw_only=True):
    """``declared`` by the trainer's code, ``effective`` in the checkpoint, and what changed them.

    ``validated`` is the SHA-256 of ``validation/summary.json`` at the time when ``repair`` changed the axes.
    Malformed values are stored verbatim, so that a record can show an ``int`` or ``()``.
    """

    declared: Any = None
    effective: Any = None
    changed_by: Literal["correct", "repair", "annotate"] | None = None
    changed_at: str | None = None
    validated: str | None = None


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a training under one pipeline. ``steps`` are optimiser steps, ``epoch`` is its first epoch.

    ``fingerprint`` is the hash of the described tree; a segment that nobody recorded has none and is unknown.
    """

    epoch: int
    steps: int
    fingerprint: str | None
    mirroring: Mirroring


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """Versions in the training process; ``None`` for a package that was not installed."""

    nnunetv2: str | None = None
    batchgenerators: str | None = None
    batchgeneratorsv2: str | None = None
    torch: str | None = None
    python: str | None = None

    @classmethod
    def here(cls) -> Environment:
        """This process's versions, without importing torch or nnU-Net.

        The import name decides, because a fork's distribution may have another name.
        """
        from .distributions import version_of  # it imports importlib.metadata (18 ms), which reading does not need

        packages = ("nnunetv2", "batchgenerators", "batchgeneratorsv2", "torch")
        return cls(python=platform.python_version(), **{name: version_of(name) for name in packages})


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that nnguard knows about a training, stored as JSON text under ``CHECKPOINT_KEY``.

    ``transforms`` is the described tree (``probe.transform_tree``). ``parent`` is what nnguard knows of the checkpoint
    that ``-pretrained_weights`` named. ``measured`` is what running the network showed: ``fliptest``, and in older
    records ``validation``, which nnguard no longer shows. ``apart`` is ``None`` if no image was seen flipped
    otherwise than its target.
    """

    schema: int = SCHEMA
    nnguard: str
    written_at: str
    trainer: TrainerIdentity
    dataset: str | None = None
    plans: str | None = None
    configuration: str | None = None
    fold: int | str | None = None
    spatial_dims: int | None = None
    transpose_forward: list[int] | None = None
    axes: AxesHistory = AxesHistory()
    mirroring: Mirroring
    apart: Apart | None = None
    transforms: Any = None
    segments: list[Segment] = []
    environment: Environment = Environment()
    parent: dict[str, Any] | None = None
    measured: dict[str, Any] | None = None

    def to_json(self) -> str:
        """The record as one line of JSON."""
        return msgspec.json.encode(self, enc_hook=_as_plain).decode()

    @classmethod
    def from_json(cls: type[RecordType], text: str | bytes) -> RecordType:
        """Reads a record.

        Raises:
            CheckpointError: the text is no JSON, no record, or has a newer schema. A broken record never counts as
                "no record".
        """
        try:
            head = msgspec.json.decode(text, type=_Head)
        except (msgspec.MsgspecError, UnicodeError, RecursionError, TypeError) as error:
            raise CheckpointError(f"the nnguard record is not the JSON text of a record: {error}") from None
        if head.schema > SCHEMA:
            raise CheckpointError(
                f"the nnguard record has schema {head.schema}; this nnguard reads up to {SCHEMA}: upgrade nnguard"
            )
        try:
            return msgspec.json.decode(text, type=cls)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            raise CheckpointError(f"the nnguard record cannot be read: {error}") from None

    @classmethod
    def from_value(cls, value: object) -> Record:
        """Reads the value that a checkpoint has under ``CHECKPOINT_KEY``. Anything but text is a broken record.

        Raises:
            CheckpointError: as ``from_json``.
        """
        if not isinstance(value, str):
            raise CheckpointError(
                f"the checkpoint's {CHECKPOINT_KEY!r} entry is {type(value).__name__}, not the JSON text of a record"
            )
        return cls.from_json(value)


class SavedWeights(msgspec.Struct, frozen=True, kw_only=True):
    """A checkpoint's weights when it was saved.

    ``fingerprint`` is a checksum of the zip's checksums; ``written_at`` is that of the record saved with them.
    """

    fingerprint: str
    written_at: str


class RecordCopy(Record, frozen=True, kw_only=True):
    """The sidecar ``FILE_NAME``: the record, and ``weights``: checkpoint's file name -> its weights."""

    weights: dict[str, SavedWeights] = {}


def _as_plain(value: object) -> object:
    """Arrays and their scalars as lists and numbers, anything else as its ``repr``, so that encoding never fails."""
    tolist = getattr(value, "tolist", None)
    return tolist() if callable(tolist) else repr(value)


class _Head(msgspec.Struct):
    schema: int
