"""The contact sheet of a training, for ``nnguard preflight --picture`` and, under ``NNGUARD_PREVIEW``, at its start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..axes import name_axis
from ..errors import NNGuardError
from ..foreign_calls import Failed
from ..probe.preview import Preview, previews
from .live_trainings import subject_of

FILE_NAME = "nnguard_preview.png"
DRAWS = 16


def write_preview(trainer: Any, target: Path) -> list[Preview]:
    """Draws the contact sheet into ``target``.

    Returns:
        The un-augmented patch and the augmented samples, in the sheet's order.

    Raises:
        NNGuardError: there is no patch, or no sample whose flip is known; the message gives the reason.
    """
    from ..report.contact_sheet import Shown, write_contact_sheet

    found = previews(trainer, DRAWS)
    if isinstance(found, Failed):
        raise NNGuardError(f"no preview: {found}")
    dims = found[0].image.ndim
    transpose = [int(axis) for axis in trainer.plans_manager.transpose_forward]
    pictures = [
        Shown(title=title_of(preview) if number else "un-augmented", image=preview.image, labels=preview.labels)
        for number, preview in enumerate(found)
    ]
    heading = f"{subject_of(trainer)}: what augmentation makes of one training patch"
    heading += "; slices with most labels" if dims == 3 else ""
    names = [name_axis(axis, dims, transpose) for axis in range(dims)]
    write_contact_sheet(target, heading, pictures, names, _label_names(trainer))
    return found


def title_of(preview: Preview) -> str:
    """``flip {0}, turned 12°``: what augmentation did to the sample."""
    if preview.flip is None:
        return "turned far" if preview.turn is None else f"turned {preview.turn:.0f}°"
    parts = ["flip {" + ",".join(map(str, preview.flip)) + "}" if preview.flip else "not flipped"]
    if preview.turn is not None and preview.turn >= 1:
        parts.append(f"turned {preview.turn:.0f}°")
    return ", ".join(parts)


def _label_names(trainer: Any) -> dict[int, str]:
    """Label -> name. With regions, a label gets the name of the smallest region that contains it."""
    named: dict[int, tuple[int, str]] = {}
    for name, value in trainer.dataset_json["labels"].items():
        members = list(value) if isinstance(value, (list, tuple)) else [value]
        for label in map(int, members):
            if label > 0 and (label not in named or len(members) < named[label][0]):
                named[label] = (len(members), str(name))
    return {label: name for label, (_, name) in sorted(named.items())}
