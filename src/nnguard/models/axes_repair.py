"""What ``repair`` changes: a checkpoint's mirroring axes, and the record that tells of it.

A record is edited as JSON, not as a struct, so that fields of a newer nnguard survive.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from shlex import quote
from typing import Any, TypeVar

import msgspec

from ..axes import same_axes, written
from ..checkpoint import SpliceResult, exported_checkpoints, splice
from ..errors import CheckpointError
from ..fold import Fold, configuration_of, fold_of, names_of, spatial_dims_of, transpose_forward_of
from ..nnunet import AXES_KEY
from ..record import CHECKPOINT_KEY, FILE_NAME, SCHEMA, Record, timestamp
from ..rules.measurement import safe_by_both
from ..rules.verdicts import FLIPTEST, JUDGED, axes_named_by, repaired_axes
from .file_content import read_json
from .fliptest_evidence import Measured, demand_about
from .folder import open_fold
from .provenance import copy_following, why_the_copy_is_not_used, with_kept_record
from .staleness import summary_hash

Done = TypeVar("Done")


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be written into one checkpoint; nothing where ``changes`` is empty.

    Args:
        path: the checkpoint.
        before, after: its mirroring axes.
        changes: top-level key -> new value.
        copy: the new text of ``nnguard.json`` in its folder; ``None`` where there is none to change.
        restores: whether the checkpoint gets back a record that only ``nnguard.json`` had kept.
    """

    path: Path
    before: Any
    after: Any
    changes: dict[str, Any]
    copy: str | None = None
    restores: bool = False

    @property
    def moves_axes(self) -> bool:
        return AXES_KEY in self.changes

    @property
    def is_needed(self) -> bool:
        return bool(self.changes) or self.copy is not None


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """A checkpoint that stays as it is; ``reason`` is one line that names it."""

    path: Path
    reason: str


class _Head(msgspec.Struct):
    schema: int


def open_to_write(path: Path) -> Fold:
    """One checkpoint that is to be changed.

    Raises:
        CheckpointError: it is a zip of whole models.
    """
    fold = open_fold(path)
    if fold.error is None:
        return fold
    try:
        inside = exported_checkpoints(path)
    except CheckpointError:
        inside = []
    if inside:
        raise CheckpointError(
            f"{path}: is a zip of exported models, which is not written into: change the model folder that it was made "
            "of and export it again, or install it and change what is installed: "
            f"nnUNetv2_install_pretrained_model_from_zip {quote(str(path))}"
        )
    return fold


def without_broken_record(fold: Fold) -> Fold:
    """The same fold; what it keeps under the record's key counts as lost where it is no record that can be read.

    The copy in ``nnguard.json`` is its record then, where that proves to belong to its weights. The record of a newer
    nnguard is one, and the fold keeps its error.
    """
    if fold.record_error is None or fold.checkpoint is None or _is_newer(fold.checkpoint.record_text):
        return fold
    return with_kept_record(msgspec.structs.replace(fold, record_error=None))


def _is_newer(record_text: str | None) -> bool:
    head = read_json(record_text, _Head)
    return head is not None and head.schema > SCHEMA


def plan_repair(folds: Iterable[Fold], measured: Measured | None = None) -> tuple[list[Change], list[Refusal]]:
    """Narrows every checkpoint's axes to those that are safe for all of them: nnU-Net gives the whole ensemble the
    first one's.

    An estimate narrows nothing. A checkpoint without evidence does not stop the repair: narrowing takes away only
    views that are known to harm, so that each of the others is the better for it.

    Args:
        folds: checkpoints that predict together.
        measured: what a fliptest of them says. Only axes stay then that it found safe and that training, if it was
            observed, showed; and what was measured goes into the record.

    Returns:
        What to write, and the checkpoints that there is nothing to repair by.
    """

    def with_evidence(fold: Fold) -> Fold:
        mended = without_broken_record(fold)
        fold = mended if mended.copied or measured is not None else fold
        if measured is None:
            _verdict_of(fold)
        else:
            _readable(fold)
            demand_about(measured, fold)
        return fold

    fit, refused = _each(folds, with_evidence)
    return [_repair(fold, fit, measured) for fold in fit], refused


def _each(folds: Iterable[Fold], done: Callable[[Fold], Done]) -> tuple[list[Done], list[Refusal]]:
    """What becomes of each checkpoint, and those of which it cannot be done."""
    every: list[Done] = []
    refused: list[Refusal] = []
    for fold in folds:
        try:
            every.append(done(fold))
        except CheckpointError as error:
            refused.append(Refusal(path=fold.path, reason=str(error)))
    return every, refused


def _repair(fold: Fold, ensemble: list[Fold], measured: Measured | None) -> Change:
    text = fold.record_text or "" if measured is None else _with_measurement(fold, measured)
    record = Record.from_json(text)
    assert fold.checkpoint is not None
    before = fold.checkpoint.declared_axes
    safe = axes_named_by(before, record.spatial_dims if measured is None else measured.spatial_dims)
    for other in ensemble:
        if measured is not None:
            safe = safe_by_both(other.record, measured.flips, safe)
        else:
            safe = repaired_axes(_verdict_of(other), safe)
    after = before if same_axes(before, safe or None) else (safe or None)
    if not same_axes(before, after) or not same_axes(record.axes.effective, after):
        # If somebody else had put the axes in order, what was validated since then is not stale.
        moved = not same_axes(before, after)
        axes = {
            "effective": _as_json(after),
            "changed_by": "repair",
            "changed_at": timestamp(None if moved else fold.path.stat().st_mtime),
            "validated": summary_hash(fold.path) if moved else None,
        }
        text = with_axes(text, axes)
    return _change(fold, after, text)


def _change(fold: Fold, after: Any, text: str) -> Change:
    """What it takes to give a checkpoint these axes and this record; the record's copy follows."""
    assert fold.checkpoint is not None
    before = fold.checkpoint.declared_axes
    changes: dict[str, Any] = {} if same_axes(before, after) else {AXES_KEY: after}
    if text != fold.checkpoint.record_text:
        changes[CHECKPOINT_KEY] = text
    follows = copy_following(fold, text)
    return Change(path=fold.path, before=before, after=after, changes=changes, copy=follows, restores=fold.copied)


def _readable(fold: Fold) -> Record | None:
    """The record, if there is one; it and the checkpoint can be read."""
    if fold.error:
        raise CheckpointError(fold.error)
    if fold.record_error:
        raise CheckpointError(_broken(fold))
    return fold.record


def _broken(fold: Fold) -> str:
    """Why its record cannot be read, and what to do about it."""
    error = fold.record_error or ""
    told = error if error.startswith(f"{fold.path}: ") else f"{fold.path}: {error}"
    if fold.checkpoint is None or _is_newer(fold.checkpoint.record_text):
        return told
    return (
        f"{told}; if you know how it was trained, say so, which replaces what is there (a backup is kept): "
        f"nnguard repair {quote(str(fold.path))} --state AXES (such as 0,1, or none)"
    )


def _verdict_of(fold: Fold) -> Record:
    record = _readable(fold)
    if record is None:
        unproven = why_the_copy_is_not_used(fold)
        copy = f" ({FILE_NAME} beside it is not taken for its own: {unproven})" if unproven else ""
        raise CheckpointError(
            f"{fold.path}: has no nnguard record to repair it by{copy}; measure it (nnguard fliptest) and repair it "
            "--from-fliptest FILE, or, if you know how it was trained, "
            f"say so first: nnguard repair {quote(str(fold.path))} --state AXES (such as 0,1, or none)"
        )
    state = record.mirroring.state
    if state not in JUDGED:
        raise CheckpointError(
            f"{fold.path}: its record's state is {state}: what is safe is not known, so nothing can be repaired by it; "
            "measure it: nnguard fliptest"
        )
    return record


def plan_statement(
    folds: Iterable[Fold], axes: tuple[int, ...], reason: str = ""
) -> tuple[list[Change], list[Refusal]]:
    """Puts their owner's statement into checkpoints: training mirrored along ``axes`` and no others.

    Args:
        folds: the checkpoints.
        axes: spatial, 0-based, after ``transpose_forward``; ``()`` for none.
        reason: the owner's words, kept in the record.

    Returns:
        What to write, and the checkpoints that cannot be read, carry better evidence than a statement, or have no
        such axis.
    """
    return _each(folds, lambda fold: _state(fold, axes, reason))


def _state(fold: Fold, axes: tuple[int, ...], reason: str) -> Change:
    if fold.error or fold.checkpoint is None:
        raise CheckpointError(fold.error or f"{fold.path}: cannot be read")
    fold = without_broken_record(fold)
    if fold.record_error or fold.checkpoint is None:
        raise CheckpointError(_broken(fold))
    if fold.record is not None and fold.record.mirroring.state in ("observed", "measured"):
        back = f" (it is in {FILE_NAME}; to put it back: nnguard repair {fold.path})" if fold.copied else ""
        raise CheckpointError(
            f"{fold.path}: its record is {fold.record.mirroring.state}, which is better evidence than a statement"
            f"{back}; nothing was changed"
        )
    dims = spatial_dims_of(fold)
    if dims is not None and any(axis >= dims for axis in axes):
        raise CheckpointError(f"{fold.path}: {dims}D data has axes 0 to {dims - 1}; there is no axis {max(axes)}")
    declared = fold.checkpoint.declared_axes
    if _already_states(fold.record, axes, reason) and not fold.copied:
        return Change(path=fold.path, before=declared, after=declared, changes={})
    mirroring = {"state": "declared", "reasons": _reasons(reason), "safe_axes": list(axes)}
    return _change(fold, declared, _with_entries(fold, {"mirroring": mirroring}, dims))


def _with_measurement(fold: Fold, measured: Measured) -> str:
    """The checkpoint's record with the measurement in it; its very text where that is in it already."""
    record, text = fold.record, fold.record_text
    # As it is read back: lists for tuples, or what is in it already would look like news.
    entry = msgspec.json.decode(msgspec.json.encode(measured.measurement))
    kept = dict(record.measured or {}) if record is not None else {}
    if record is not None and text is not None and kept.get(FLIPTEST) == entry:
        return text
    entries: dict[str, Any] = {"measured": {**kept, FLIPTEST: entry}}
    if record is not None and record.mirroring.state == "observed":
        return _edited(text or "", entries)
    safe = measured.measurement.safe_axes
    entries["mirroring"] = {"state": "measured", "reasons": [measured.sentence], "safe_axes": list(safe)}
    return _with_entries(fold, entries, measured.spatial_dims)


def _already_states(record: Record | None, axes: tuple[int, ...], reason: str) -> bool:
    if record is None or record.mirroring.state != "declared":
        return False
    return record.mirroring.safe_axes == axes and record.mirroring.reasons == _reasons(reason)


def _reasons(reason: str) -> list[str]:
    return ["stated by the model's owner with nnguard repair --state", *([reason] if reason else [])]


def _with_entries(fold: Fold, entries: dict[str, Any], dims: int | None) -> str:
    """The record with these entries, made where there is none."""
    from ..version import __version__

    checkpoint = fold.checkpoint
    assert checkpoint is not None
    if fold.record_text is not None:
        return _edited(fold.record_text, {**entries, "written_at": timestamp()})
    declared = _as_json(checkpoint.declared_axes)
    dataset, plans = names_of(fold)
    fields: dict[str, Any] = {
        "schema": SCHEMA,
        "nnguard": __version__,
        "written_at": timestamp(),
        "trainer": {"class": checkpoint.trainer_name or "unknown", "module": "unknown"},
        "dataset": dataset,
        "plans": plans,
        "configuration": configuration_of(fold),
        "fold": fold_of(fold),
        "spatial_dims": dims,
        "transpose_forward": transpose_forward_of(fold),
        "axes": {"declared": declared, "effective": declared, "changed_by": "annotate", "changed_at": timestamp()},
        **entries,
    }
    text = msgspec.json.encode(fields).decode()
    Record.from_json(text)
    return text


def with_axes(record_text: str, axes: dict[str, Any]) -> str:
    """The record's text with these entries of ``axes`` changed and everything else as it was."""
    fields = msgspec.json.decode(record_text)
    return _edited(record_text, {"axes": {**(fields.get("axes") or {}), **axes}})


def _edited(record_text: str, entries: dict[str, Any]) -> str:
    text = msgspec.json.encode({**msgspec.json.decode(record_text), **entries}).decode()
    Record.from_json(text)
    return text


def write(change: Change, backup: bool = True, dry_run: bool = False) -> SpliceResult | None:
    """Writes one planned change; the checkpoint first, for its copy only tells of it.

    Args:
        change: as planned.
        backup: keep the old checkpoint as ``NAME.before-nnguard``.
        dry_run: find out whether it could be written, and write nothing.

    Returns:
        What was done to the checkpoint; ``None`` where nothing had to be.

    Raises:
        CheckpointError: it could not be done, and the checkpoint is the old one, whole; or only the copy could not.
    """
    done = splice(change.path, change.changes, backup=backup, dry_run=dry_run) if change.changes else None
    if change.copy is not None and not dry_run:
        try:
            replace_text(change.path.parent / FILE_NAME, change.copy)
        except CheckpointError as error:
            raise CheckpointError(f"{error}; the checkpoint itself is done, and its copy tells of it no more") from None
    return done


def replace_text(path: Path, text: str) -> None:
    """Replaces a small file in one step, without a lock: a reader sees one text or the other, and the last one stays.

    ``nnguard.json`` needs no more: it tells of the checkpoint, which decides, and a training writes it anew.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_text(text, "utf-8")
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise CheckpointError(f"{path}: could not be written: {error.strerror}") from None


def in_words(change: Change) -> str:
    """``(0, 1) -> None``."""
    return f"{written(change.before)} -> {written(change.after)}"


def _as_json(axes: Any) -> Any:
    return list(axes) if isinstance(axes, tuple) else axes
