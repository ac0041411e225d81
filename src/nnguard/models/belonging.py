"""Whether a checkpoint's weights are still those that its record was written with."""

from __future__ import annotations

from ..errors import CheckpointError
from ..findings import ADVISORY, UNVERIFIED, Finding
from ..record import FILE_NAME, RecordCopy
from .folder import Fold, read_bounded


def weights_belong(fold: Fold) -> bool | None:
    """Compares the file's fingerprint with the one that ``nnguard.json`` kept when the file was saved.

    ``None`` where that cannot be told: no copy beside the checkpoint or none of this very record, a file of
    another name, PyTorch told to compute no checksums, an exported zip (which loses the copy).
    """
    checkpoint, record = fold.checkpoint, fold.record
    if checkpoint is None or record is None or checkpoint.weights_fingerprint is None or fold.archive is not None:
        return None
    text = read_bounded(fold.folder / FILE_NAME)
    if text is None:
        return None
    try:
        saved = RecordCopy.from_json(text).weights.get(fold.path.name)
    except CheckpointError:
        return None
    if saved is None or saved.written_at != record.written_at:
        return None  # killed between saving the checkpoint and its copy: says nothing of the weights
    return saved.fingerprint == checkpoint.weights_fingerprint


def check_belonging(fold: Fold) -> list[Finding]:
    """NNG108 where weights and record no longer belong together."""
    if weights_belong(fold) is not False:
        return []
    assert fold.checkpoint is not None
    return [
        Finding(
            UNVERIFIED,
            fold.subject,
            "The weights are not those that the record was written with: they were changed after training.",
            seen=(
                f"{FILE_NAME} beside the checkpoint has another fingerprint of the weights than the file now has "
                f"({fold.checkpoint.weights_fingerprint})"
            ),
            effect="what the record says of the training may not be true of these weights.",
            remedy=(
                "Find out what wrote the file (averaging, fine-tuning, conversion), or take the original again.\n"
                "To measure what these weights read: nnguard fliptest MODEL_FOLDER -i IMAGES"
            ),
            evidence={"weights_fingerprint": fold.checkpoint.weights_fingerprint},
            severity=ADVISORY,
            setting="weights",
        )
    ]
