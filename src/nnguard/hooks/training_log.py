"""Writes record and findings where nnU-Net writes its own: into its log file and its logger's configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..axes import written
from ..errors import NNGuardError
from ..findings import Finding
from .live_trainings import live_training, record_of


def tell_log(trainer: Any, findings: list[Finding]) -> None:
    from ..report.text import findings_text, record_block

    record = record_of(trainer)
    if record is not None:
        trainer.print_to_log_file(record_block(record), add_timestamp=False)
    if findings:
        # The console shows findings as warnings or as the error. People read the log a month later.
        trainer.print_to_log_file(findings_text(findings), also_print_to_console=False, add_timestamp=False)


def tell_config(trainer: Any) -> None:
    # W&B refuses a changed value on resume. So only a fresh training writes, and only what its code decides.
    update = getattr(getattr(trainer, "logger", None), "update_config", None)
    record = record_of(trainer)
    if callable(update) and record is not None and live_training(trainer).epoch == 0:
        safe = record.mirroring.safe_axes
        update(
            {
                "nnguard": {
                    "declared_axes": written(record.axes.declared),
                    "effective_axes": written(record.axes.effective),
                    "safe_axes": written(safe) if safe is not None else record.mirroring.state,
                }
            }
        )


def draw_preview(trainer: Any) -> None:
    from . import preview_picture  # imports what few trainings ask for

    try:
        preview_picture.write_preview(trainer, Path(trainer.output_folder) / preview_picture.FILE_NAME)
    except NNGuardError as error:  # a missing picture must not stop a training
        trainer.print_to_log_file(f"nnguard: {error}")
