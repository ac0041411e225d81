"""Weaker evidence than a record: what nnU-Net itself left in a fold folder.

In falling order of worth: the copy of the record beside the checkpoint, the pipeline's text in
``debug.json``. Each carries its grade, and none is ever more than advice.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import msgspec

from ..axes import written
from ..errors import CheckpointError
from ..fold import Fold
from ..nnunet import AXES_KEY, DEBUG_FILE
from ..record import FILE_NAME, Record
from .file_content import read_beside, read_bounded, read_json
from .pipeline_text import DescribedMirroring, described_mirroring
from .provenance import why_the_copy_is_not_used

Grade = Literal["nnguard.json", "debug.json"]

_PIPELINE_KEYS = ("dataloader_train.generator.transforms", "dataloader_train.transform")
#: ``(0, 1, 2)`` has nine characters.
LONGEST_AXES = 100


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """What something other than a record says about a training's mirroring.

    Args:
        grade: which kind of evidence it is.
        path: the file it comes from.
        sentence: what it says, for people, grade included.
        record: the copy of a record found beside the checkpoint.
        mirroring: the pipeline as its text describes it.
        declared: ``inference_allowed_mirroring_axes`` at training start; ``UNSET`` where not told.
    """

    grade: Grade
    path: str
    sentence: str
    record: Record | None = None
    mirroring: DescribedMirroring | None = None
    declared: Any = msgspec.UNSET


def weaker_evidence(fold_folder: str | Path, unproven: str | None = None) -> Evidence | None:
    """The best evidence beside a checkpoint; ``None`` where there is none.

    Args:
        fold_folder: the folder ``fold_X`` that nnU-Net trained into.
        unproven: in words, why a copy of the record there is not known to be this checkpoint's.
    """
    folder = Path(fold_folder)
    debug = folder / DEBUG_FILE
    return _from_copy(folder, unproven) or _from_debug(read_bounded(debug), str(debug))


def weaker_evidence_of(fold: Fold) -> Evidence | None:
    """The same for a fold as it was opened; an exported zip keeps ``debug.json`` and loses the copy."""
    if fold.archive is None:
        return weaker_evidence(fold.folder, why_the_copy_is_not_used(fold))
    path = f"{fold.archive}!{(fold.folder / DEBUG_FILE).as_posix()}"
    return _from_debug(read_beside(fold, DEBUG_FILE), path)


def _from_copy(folder: Path, unproven: str | None) -> Evidence | None:
    text = read_bounded(folder / FILE_NAME)
    if text is None:
        return None
    try:
        record = Record.from_json(text)
    except CheckpointError:
        return None
    sentence = (
        f"{FILE_NAME} beside the checkpoint holds a record of a training in this folder "
        f"(grade: {FILE_NAME}; the checkpoint itself carries none"
        + (f", and the copy is not taken for its own: {unproven})" if unproven else ")")
    )
    return Evidence(grade="nnguard.json", path=str(folder / FILE_NAME), sentence=sentence, record=record)


def _from_debug(text: bytes | None, path: str) -> Evidence | None:
    entries = read_json(text, dict[str, Any])
    mirroring = _described_pipeline(entries) if entries is not None else None
    if entries is None or mirroring is None:
        return None
    return Evidence(
        grade="debug.json",
        path=path,
        sentence=f"nnU-Net's debug.json {in_words(mirroring)} (grade: debug.json; a text, not an observation)",
        mirroring=mirroring,
        declared=_printed_axes(entries.get(AXES_KEY)),
    )


def _described_pipeline(entries: dict[str, Any]) -> DescribedMirroring | None:
    texts = [entries[key] for key in _PIPELINE_KEYS if isinstance(entries.get(key), str)]
    for text in texts:
        found = described_mirroring(text)
        if found is not None:
            return found
    # A loader of nnU-Net whose transforms are None does not augment. An outer transform of None says
    # nothing: since 2.5 it is None in every training.
    if entries.get(_PIPELINE_KEYS[0]) == "None" and all(text == "None" for text in texts):
        return DescribedMirroring()
    return None


def _printed_axes(text: object) -> Any:
    """``"(0, 1)"`` as a tuple, ``"None"`` as ``None``; ``UNSET`` for anything else."""
    if text == "None":
        return None
    if not isinstance(text, str) or len(text) > LONGEST_AXES or text[:1] + text[-1:] not in ("()", "[]"):
        return msgspec.UNSET
    entries = [entry.strip() for entry in text[1:-1].split(",")]
    if entries[-1] == "":  # ``(0,)`` and ``()``
        entries.pop()
    return tuple(map(int, entries)) if all(map(str.isdecimal, entries)) else msgspec.UNSET


def in_words(mirroring: DescribedMirroring) -> str:
    """``lists a mirror transform on axes (0, 1)``, with what makes it doubtful."""
    told = ((mirroring.axes, ""), (mirroring.rarely, " that is rarely applied"))
    mirrors = [f"a mirror transform on axes {written(axes)}{how}" for axes, how in told if axes]
    sentence = f"lists {' and '.join(mirrors) or 'no mirror transform'}"
    doubtful = [*mirroring.turning, *mirroring.unknown]
    if doubtful:
        sentence += f", beside {', '.join(doubtful)}, which may flip too"
    return sentence
