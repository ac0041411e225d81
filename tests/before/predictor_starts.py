"""Starts a real nnU-Net predictor on each model folder; run by ``today``, names and folders as JSON on stdin.

Findings are read from the file that ``NNGUARD_LOG`` names: notes are told nowhere else.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from pathlib import Path
from typing import Any


def main(answer: Path) -> None:
    """Writes, for each model, the findings under ``warn`` and the axes in use under ``correct``."""
    folders = {name: Path(folder) for name, folder in json.load(sys.stdin).items()}
    answer.write_text(json.dumps({name: said_at_start(folder) for name, folder in folders.items()}))


def said_at_start(folder: Path) -> dict[str, Any]:
    from tests.before.today import ABOUT_THIS_MACHINE, finding_data

    told = len(events())
    used = {f"axes_{mode}": axes_in_use(folder, mode) for mode in ("warn", "correct")}
    # The second start says the same of the same model, which is told once a process.
    found = [
        finding_data({"code": event["event"].split()[0], **event})
        for event in events()[told:]
        if event["event"].startswith("NNG") and not event["event"].startswith(ABOUT_THIS_MACHINE)
    ]
    return {"findings": found, **used}


def axes_in_use(folder: Path, mode: str) -> Any:
    """What ``initialize_from_trained_model_folder`` leaves as the axes to mirror along."""
    import nnguard

    nnguard.install(mode)
    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    predictor = nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False)
    folds = tuple(int(path.name[5:]) for path in sorted(folder.glob("fold_*")))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        predictor.initialize_from_trained_model_folder(str(folder), folds)
    nnguard.uninstall()
    return predictor.allowed_mirroring_axes


def events() -> list[dict[str, Any]]:
    """What the log holds so far."""
    log = Path(os.environ["NNGUARD_LOG"])
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


if __name__ == "__main__":
    main(Path(sys.argv[1]))
