"""What nnU-Net computed by predicting with a checkpoint, and which of it is older than a change of its axes."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from .folder import FOLD_FOLDER


def results_of(checkpoint: Path, older_than: str | None = None) -> list[str]:
    """Results around a checkpoint that its own mirroring went into, as paths from the dataset's folder.

    Args:
        checkpoint: ``.../DATASET/TRAINER__PLANS__CONFIGURATION/fold_X/checkpoint_final.pth``.
        older_than: an ISO time; what was written later is left out, for it was made anew since.

    Returns:
        In the order in which they have to be made again; empty where the checkpoint lies in no fold folder.
    """
    fold_folder = checkpoint.absolute().parent
    if not FOLD_FOLDER.fullmatch(fold_folder.name):
        return []
    model_folder = fold_folder.parent
    dataset_folder = model_folder.parent
    found = [
        fold_folder / "validation",
        model_folder / "predicted_next_stage",
        *sorted(model_folder.glob("crossval_results_folds_*")),
        *(folder for folder in sorted(dataset_folder.glob("ensembles/*")) if model_folder.name in folder.name),
    ]
    since = _seconds(older_than)
    return [
        str(folder.relative_to(dataset_folder))
        for folder in found
        if folder.is_dir() and (since is None or _made_at(folder) < since)
    ]


def _made_at(folder: Path) -> float:
    """When its results were made: nnU-Net writes the summary last."""
    summary = folder / "summary.json"
    return (summary if summary.exists() else folder).stat().st_mtime


def _seconds(time: str | None) -> float | None:
    try:
        return datetime.fromisoformat(time.replace("Z", "+00:00")).timestamp() if time else None
    except ValueError:
        return None
