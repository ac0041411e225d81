"""Starts a training as nnU-Net does, stops before its first step, and removes what it made.

The results folder is temporary, because nnU-Net makes folders and a log file as soon as it constructs a trainer.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .. import arming
from ..errors import NNGuardError
from ..findings import RULES
from ..settings import IGNORE, RESULTS_VARIABLE, WORKERS_VARIABLE, Settings
from . import trainer as hook

#: The training is observed and checked as usual; only the command that asked reports the findings.
SILENT = ",".join(["warn", *(f"{code}={IGNORE}" for code in RULES)])


@contextlib.contextmanager
def rehearsed(
    dataset: str, configuration: str, fold: int | str, trainer_name: str, plans: str, device: str
) -> Iterator[Any]:
    """A trainer that has just started to train: ``on_train_start`` has run, no step has.

    Call it before nnU-Net is imported, because nnU-Net reads its folders from the environment at import.

    Args:
        dataset, configuration, fold, trainer_name, plans: as ``nnUNetv2_train`` takes them.
        device: ``cpu``, ``cuda`` or ``mps``.

    Raises:
        NNGuardError: nnU-Net is not installed, or too old.
        Exception: whatever nnU-Net or the trainer raises. The caller words it.
    """
    before = Settings.from_environment()
    folder = tempfile.mkdtemp(prefix="nnguard-preflight-")
    os.environ[RESULTS_VARIABLE] = folder
    # One worker, if training would have any, because a pipeline may be edited after its workers have started.
    os.environ[WORKERS_VARIABLE] = "0" if before.workers == "0" else "1"
    made = None
    try:
        arming.install(SILENT)
        made = _constructed(dataset, configuration, fold, trainer_name, plans, device)
        hook.live_training(made).rehearsed = True
        _find_previous_stage(made, folder, before.results)
        made.on_train_start()
        hook.observe_once(made)  # if `on_train_start` was replaced without super()
        yield made
    finally:
        if made is not None:
            hook.shut_loaders_down(made)
        if before.results is not None:
            os.environ[RESULTS_VARIABLE] = before.results
        shutil.rmtree(folder, ignore_errors=True)


def _constructed(dataset: str, configuration: str, fold: int | str, trainer_name: str, plans: str, device: str) -> Any:
    try:
        import torch
        from nnunetv2.run.run_training import get_trainer_from_args
    except ImportError as error:
        raise NNGuardError(f"nnU-Net cannot be imported here: {error}") from None
    return get_trainer_from_args(dataset, configuration, fold, trainer_name, plans, device=torch.device(device))


def _find_previous_stage(made: Any, folder: str, real_results: str | None) -> None:
    """A cascade reads the previous stage's segmentations from the real results."""
    wanted = getattr(made, "folder_with_segs_from_previous_stage", None)
    if wanted is not None and real_results is not None and Path(wanted).is_relative_to(folder):
        made.folder_with_segs_from_previous_stage = str(Path(real_results) / Path(wanted).relative_to(folder))
