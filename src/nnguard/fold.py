"""One fold of a model as plain data, and what its checkpoint tells of the training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from .checkpoint import Checkpoint
from .nnunet import FOLD_FOLDER, NEEDED_KEYS
from .record import Record


class Fold(msgspec.Struct, frozen=True, kw_only=True):
    """One fold: its checkpoint and its record, or why there is none.

    Args:
        fold: 0, 1, ... or ``"all"``.
        path: the checkpoint's path.
        checkpoint: as read; ``None`` if it cannot be read.
        error: why the checkpoint cannot be read, in words.
        record: what nnguard recorded; ``None`` if there is no record or it is broken.
        record_error: why the record cannot be read, in words.
        record_text: the record as it is written, whatever of it this nnguard knows.
        copied: whether the checkpoint has lost its record, and this is the copy beside it.
        archive: the zip of ``nnUNetv2_export_model_to_zip`` that the fold lies in, or its URL; ``path`` is then its
            name inside.
    """

    fold: int | str
    path: Path
    checkpoint: Checkpoint | None = None
    error: str | None = None
    record: Record | None = None
    record_error: str | None = None
    record_text: str | None = None
    copied: bool = False
    archive: Path | str | None = None

    @property
    def folder(self) -> Path:
        return self.path.parent

    @property
    def is_in_a_fold_folder(self) -> bool:
        """Whether its folder is called ``fold_X``, as nnU-Net calls it."""
        return FOLD_FOLDER.fullmatch(self.folder.name) is not None

    @property
    def lacks(self) -> tuple[str, ...]:
        """What nnU-Net needs and a readable checkpoint does not have: MONAI's conversion drops the weights."""
        return tuple(key for key in NEEDED_KEYS if self.checkpoint is not None and key not in self.checkpoint.keys)

    @property
    def subject(self) -> str:
        """As a person would name it."""
        return str(self.path) if self.archive is None else f"{self.archive}!{self.path}"


def argument_of(fold: Fold, name: str) -> Any:
    """One of the arguments that the trainer was made with; ``None`` if the checkpoint does not tell."""
    return fold.checkpoint.init_args.get(name) if fold.checkpoint else None


def configuration_of(fold: Fold) -> str | None:
    """``2d``, ``3d_fullres``, ... as the checkpoint's init arguments name it."""
    name = argument_of(fold, "configuration")
    return name if isinstance(name, str) else None


def names_of(fold: Fold) -> tuple[str | None, str | None]:
    """The data set and the plans, as the checkpoint's plans name them; ``None`` if they do not."""
    plans = argument_of(fold, "plans")
    told = [plans.get(key) if isinstance(plans, dict) else None for key in ("dataset_name", "plans_name")]
    dataset, name = (value if isinstance(value, str) else None for value in told)
    return dataset, name


def fold_of(fold: Fold) -> int | str | None:
    """The fold that it was trained as, or else the one that its folder names; ``None`` if neither tells."""
    trained = argument_of(fold, "fold")
    if isinstance(trained, (int, str)):
        return trained
    return fold.fold if fold.is_in_a_fold_folder else None


def spatial_dims_of(fold: Fold, folder_plans: Any = None) -> int | None:
    """2 or 3, from the record or else from the length of the patch; ``None`` if neither tells.

    Args:
        fold: as opened.
        folder_plans: the ``plans.json`` of its model folder, which is asked if the checkpoint has no plans.
    """
    if fold.record is not None and fold.record.spatial_dims:
        return fold.record.spatial_dims
    from .rules.inference_settings import resolved_configuration

    for plans in _plans_of(fold, folder_plans):
        patch = (resolved_configuration(plans, configuration_of(fold)) or {}).get("patch_size")
        if isinstance(patch, (list, tuple)) and len(patch) in (2, 3):
            return len(patch)
    return None


def transpose_forward_of(fold: Fold, folder_plans: Any = None) -> list[int] | None:
    """How the image array's axes are ordered for the network; ``None`` if no plans tell. Arguments as above."""
    for plans in _plans_of(fold, folder_plans):
        axes = plans.get("transpose_forward")
        if isinstance(axes, list) and all(isinstance(axis, int) for axis in axes):
            return axes
    return None


def _plans_of(fold: Fold, folder_plans: Any) -> list[dict[str, Any]]:
    return [plans for plans in (argument_of(fold, "plans"), folder_plans) if isinstance(plans, dict)]
