"""What a fliptest found, as the document that it prints and ``measured`` reads back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from ..axes import written
from ..effect.statistics import (
    CaseScores,
    Estimate,
    estimate,
    gain_of_tta,
    judge_flip,
    judge_tta,
    loss_of,
    mean_of,
    worst_label,
)
from ..flips import flips_of
from ..fold import configuration_of, transpose_forward_of
from ..record import Axes, timestamp
from ..rules.measurement import safe_by_both
from ..rules.subjects import MeasuredFlip
from .folder import Model


def document_of(
    model: Model, dims: int, declared: Any, used: Axes | None, scores: Sequence[CaseScores], skipped: Sequence[str]
) -> dict[str, Any]:
    """The JSON of ``docs/output.schema.json``.

    Args:
        model: as opened.
        dims: 2 or 3.
        declared: the checkpoint's mirroring axes, verbatim.
        used: the same, well-formed; ``None`` where they are malformed.
        scores: one a case that ran.
        skipped: a line for each that did not, or that lacks its labels.
    """
    names = label_names(model)
    flips = [_flip(flip, scores, names) for flip in flips_of(range(dims))]
    judged = msgspec.convert(flips, list[MeasuredFlip])
    told = any(flip.verdict != "unsettled" for flip in judged)
    mirrored = scores if used else []
    return {
        "schema_version": 1,
        "written_at": timestamp(),
        "model": identity_of(model),
        "cases": len(scores),
        "spatial_dims": dims,
        "transpose_forward": transpose_forward_of(model.folds[0], model.plans),
        "label_names": {str(label): name for label, name in names.items()},
        "flips": flips,
        "plain": _spread("dice", estimate([mean_of(case.plain) for case in scores])),
        "tta": {
            "axes": list(used) if used else None,
            "declared": written(declared),
            "verdict": judge_tta(mirrored),
            **_spread("dice", estimate([mean_of(case.tta) for case in mirrored])),
            **_spread("gain", gain_of_tta(mirrored)),
        },
        "safe_axes": list(safe_by_both(None, judged, range(dims))) if told else None,
        "skipped": list(skipped),
    }


def _flip(flip: Axes, scores: Sequence[CaseScores], names: dict[int, str]) -> dict[str, Any]:
    worst = worst_label(flip, scores)
    return {
        "axes": list(flip),
        "verdict": judge_flip(flip, scores),
        **_spread("agreement", estimate([mean_of(case.agreement[flip]) for case in scores])),
        **_spread("dice", estimate([mean_of(case.flipped.get(flip, {})) for case in scores])),
        **_spread("loss", loss_of(flip, scores)),
        "worst": {"label": worst[0], "name": names.get(worst[0]), "loss": worst[1]} if worst else None,
    }


def _spread(name: str, value: Estimate) -> dict[str, float | None]:
    return {name: value.mean, f"{name}_low": value.low, f"{name}_high": value.high}


def identity_of(model: Model) -> dict[str, Any]:
    """Which model was tested: what ``measured`` holds against a checkpoint before it believes the rest."""
    first = model.folds[0].checkpoint
    return {
        "folder": model.folder.absolute().name,
        "trainer": first.trainer_name if first else None,
        "configuration": configuration_of(model.folds[0]),
        "folds": [
            {
                "fold": fold.fold,
                "checkpoint": fold.path.name,
                "epoch": fold.checkpoint.epoch if fold.checkpoint else None,
                "weights": fold.checkpoint.weights_fingerprint if fold.checkpoint else None,
            }
            for fold in model.folds
        ],
    }


def label_names(model: Model) -> dict[int, str]:
    """Label -> its name in ``dataset.json``; a region has several labels and names none of them."""
    labels = (model.dataset or {}).get("labels")
    if not isinstance(labels, dict):
        return {}
    return {label: name for name, label in labels.items() if isinstance(label, int) and not isinstance(label, bool)}
