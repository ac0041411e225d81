"""Whether a checkpoint's weights are still those that its record was written with, and whose record a copy is."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import Any

import msgspec

from ..checkpoint import weights_fingerprint
from ..errors import CheckpointError
from ..findings import ADVISORY, NOTE, UNVERIFIED, Finding
from ..fold import Fold, argument_of
from ..record import FILE_NAME, Record, RecordCopy, SavedWeights
from ..rules.remedies import model_folder_of
from .file_content import read_bounded


def fingerprint_in(path: Path) -> str | None:
    """The fingerprint of a file's weights; ``None`` where it has none, or another format than a zip."""
    try:
        return weights_fingerprint(path)
    except CheckpointError:
        return None


def record_kept_for(path: Path, fingerprint: Any = msgspec.UNSET) -> tuple[str | None, str | None]:
    """Holds the copy of a record against a checkpoint that lost its own: only the weights can tell that it is theirs.

    Args:
        path: the checkpoint's file.
        fingerprint: of its weights; left out, it is read from the file, where there is a copy at all.

    Returns:
        The text of the record, ``None`` where none is proven to be this checkpoint's; and in words why the copy is
        not, ``None`` where it is, where no copy lies beside it, or none that can be read.
    """
    beside = _copy_in(path.parent)
    if beside is None:
        return None, None
    text, copy = beside
    if fingerprint is msgspec.UNSET:
        fingerprint = fingerprint_in(path)
    saved = copy.weights.get(path.name)
    problem = _problem_between(copy, saved, path.name, fingerprint)
    if problem is not None or saved is None:
        return None, problem
    return _as_saved_with(saved, copy, text), None


def _copy_in(folder: Path) -> tuple[bytes, RecordCopy] | None:
    """The text of the ``nnguard.json`` there, and what it says; ``None`` where there is none that can be read."""
    text = read_bounded(folder / FILE_NAME)
    try:
        return (text, RecordCopy.from_json(text)) if text is not None else None
    except CheckpointError:
        return None


def _problem_between(copy: RecordCopy, saved: SavedWeights | None, name: str, fingerprint: str | None) -> str | None:
    if saved is None:
        return f"it keeps no fingerprint of the weights in {name}"
    if fingerprint is None:
        return "the file has no checksums that could tie its weights to it"
    if saved.fingerprint != fingerprint:
        return "its fingerprint is not that of what the checkpoint now holds (weights and optimiser state)"
    # What was observed of one augmentation holds for every checkpoint of the training, whenever it was saved.
    throughout = copy.mirroring.state == "observed" and len(copy.segments) <= 1
    if saved.written_at != copy.written_at and not throughout:
        return f"it tells of a later state of the training than {name}, and not of one augmentation throughout"
    return None


def _as_saved_with(saved: SavedWeights, copy: RecordCopy, text: bytes) -> str:
    """The record as the checkpoint had it, without what only a later checkpoint can say of itself."""
    fields = {key: value for key, value in msgspec.json.decode(text).items() if key != "weights"}
    if saved.written_at != copy.written_at:
        fields["written_at"] = saved.written_at
        for later in ("measured", "segments"):  # the steps that the later one had trained
            fields.pop(later, None)
        if copy.axes.changed_by in ("repair", "annotate"):
            fields["axes"] = {"declared": copy.axes.declared, "effective": copy.axes.declared}
    return msgspec.json.encode(fields).decode()


def kept_beside(fold: Fold) -> tuple[str | None, str | None]:
    """``record_kept_for`` a fold; nothing where it lies in an exported zip, which loses the copy."""
    if fold.checkpoint is None or fold.archive is not None:
        return None, None
    return record_kept_for(fold.path, fold.checkpoint.weights_fingerprint)


def with_kept_record(fold: Fold) -> Fold:
    """The same fold without a record of its own, with the one that ``nnguard.json`` proves to have kept for it."""
    text, _ = kept_beside(fold)
    if text is None:
        return fold
    return msgspec.structs.replace(fold, record=Record.from_json(text), record_text=text, copied=True)


def why_the_copy_is_not_used(fold: Fold) -> str | None:
    """In words, where a copy lies beside a checkpoint without a record; ``None`` where there is none, or it is used."""
    return kept_beside(fold)[1]


def _copy_beside(fold: Fold) -> tuple[bytes, RecordCopy] | None:
    return _copy_in(fold.folder) if fold.archive is None else None


def weights_belong(fold: Fold) -> bool | None:
    """Compares the file's fingerprint with the one that ``nnguard.json`` kept when the file was saved.

    ``None`` where that cannot be told: no copy beside the checkpoint or none of this very record, a file of
    another name, PyTorch told to compute no checksums, an exported zip (which loses the copy).
    """
    beside = _copy_beside(fold)
    if beside is None or fold.record is None or fold.checkpoint is None:
        return None
    saved = beside[1].weights.get(fold.path.name)
    fingerprint = fold.checkpoint.weights_fingerprint
    # Another time: killed between saving the checkpoint and its copy, which says nothing of the weights.
    if saved is None or saved.written_at != fold.record.written_at or fingerprint is None:
        return None
    return saved.fingerprint == fingerprint


def copy_following(fold: Fold, text: str) -> str | None:
    """The new text of ``nnguard.json``, where it is the copy of a checkpoint's record that becomes ``text``.

    ``None`` where there is none, where it is another checkpoint's (it was written with a later one, or the weights
    are not those that it was written with), or where nothing in it changes. What only the copy has stays.
    """
    beside = _copy_beside(fold)
    if beside is None or fold.record is None or weights_belong(fold) is False:
        return None
    kept, copy = beside
    if copy.written_at != fold.record.written_at:
        return None
    before, after, fields = (msgspec.json.decode(one) for one in (fold.record_text or "{}", text, kept))
    changed = {key: value for key, value in after.items() if key == "axes" or before.get(key) != value}
    followed = {**fields, **changed}
    if fold.path.name in copy.weights:
        saved = {**fields["weights"][fold.path.name], "written_at": after["written_at"]}
        followed["weights"] = {**fields["weights"], fold.path.name: saved}
    return None if followed == fields else msgspec.json.encode(followed).decode() + "\n"


def check_belonging(fold: Fold) -> list[Finding]:
    """NNG108 where weights and record no longer belong together, and where only the copy beside them is left of it."""
    if fold.copied:
        return [lost_record(fold.subject)]
    if fold.checkpoint is not None and weights_belong(fold) is False:
        fingerprint = fold.checkpoint.weights_fingerprint
        return [
            _not_of_these_weights(
                fold,
                "The weights are not those that the record was written with: they were changed after training.",
                f"{FILE_NAME} beside the checkpoint has another fingerprint of the weights than the file now has "
                f"({fingerprint})",
                {"weights_fingerprint": fingerprint},
                "weights",
            )
        ]
    other = _of_another_training(fold)
    if not other:
        return []
    told = "The record in this checkpoint is that of another training."
    seen = f"the record names {', '.join(other)}"
    return [_not_of_these_weights(fold, told, seen, {"differs": other}, "another training")]


def _not_of_these_weights(fold: Fold, message: str, seen: str, evidence: dict[str, Any], setting: str) -> Finding:
    return Finding(
        UNVERIFIED,
        fold.subject,
        message,
        seen=seen,
        effect="what the record says of the training may not be true of these weights.",
        remedy=(
            "Find out what wrote the file (averaging, fine-tuning, conversion), or take the original again.\n"
            f"To measure what these weights read: nnguard fliptest {model_folder_of(fold.subject)} -i IMAGES"
        ),
        evidence=evidence,
        severity=ADVISORY,
        setting=setting,
    )


def _of_another_training(fold: Fold) -> list[str]:
    """In words, where record and checkpoint name different trainings; no fingerprint speaks against it."""
    checkpoint, record = fold.checkpoint, fold.record
    if checkpoint is None or record is None:
        return []
    pairs = (
        # The record keeps the qualified name of a class that was made in a function.
        ("trainer", record.trainer.class_.rpartition(".")[2], checkpoint.trainer_name),
        ("configuration", record.configuration, argument_of(fold, "configuration")),
    )
    return [f"{what} {told} and the checkpoint {own}" for what, told, own in pairs if told and own and told != own]


def lost_record(subject: str) -> Finding:
    """NNG108, for information: the checkpoint is judged by the copy of the record that it lost."""
    return Finding(
        UNVERIFIED,
        subject,
        f"The checkpoint lost its record; the copy in {FILE_NAME} beside it is used, which belongs to its weights.",
        seen=f"no record in the checkpoint (something saved it without the key); {FILE_NAME} has the fingerprint of "
        "these very weights",
        effect="wherever the checkpoint goes without that file, nothing is known of its training.",
        remedy="Put the record back (and narrow the axes, where they are more than training showed):\n"
        f"    nnguard repair {quote(subject)}",
        evidence={"state": "copied", "grade": FILE_NAME},
        severity=NOTE,
        setting=FILE_NAME,
    )
