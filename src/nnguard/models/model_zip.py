"""The models inside a zip of ``nnUNetv2_export_model_to_zip``, as nnU-Net would use them once they are installed.

Nothing is unpacked to disk: names come from the zip's directory, settings and checkpoints are read where they lie.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from shlex import quote
from typing import Any

from ..checkpoint import exported_files, read_exported
from ..checkpoint.archive import END_SIGNATURE, MAX_DIRECTORY
from ..errors import CheckpointError
from ..findings import Finding
from ..fold import Fold
from ..nnunet import CHECKPOINT_NAME, DATASET_FILE, FOLD_FOLDER, PLANS_FILE, fold_folder
from .file_content import LONGEST_FILE
from .folder import (
    Model,
    exported_fold,
    fold_number,
    json_object,
    to_predict_with,
)
from .path_kind import is_url

SUFFIX = ".zip"
#: What macOS puts beside every file that it packs.
NOT_OURS = "__MACOSX"

#: Model folder inside the zip -> fold -> names of its checkpoints.
Layout = dict[str, dict[int | str, list[str]]]


def is_exported(path: str | Path) -> bool:
    """Whether to look for models inside it: a zip by its name, or a URL."""
    return is_url(path) or (str(path).lower().endswith(SUFFIX) and Path(path).is_file())


def exported_layout(archive: str | Path) -> Layout:
    """The models inside; empty where there is none.

    Raises:
        CheckpointError: it is no zip that can be read, or nnU-Net would install other files than it names.
    """
    models: Layout = {}
    for name in exported_files(archive):
        path = PurePosixPath(name)
        named = FOLD_FOLDER.fullmatch(path.parent.name)
        if path.suffix == ".pth" and named and path.parts[0] != NOT_OURS:
            folds = models.setdefault(str(path.parent.parent), {})
            folds.setdefault(fold_number(named.group(1)), []).append(path.name)
    return models


def folds_inside(folds: dict[int | str, list[str]], checkpoint_name: str = CHECKPOINT_NAME) -> list[int | str]:
    """Those that nnU-Net would find by itself, in its order: that of their names, and without ``fold_all``."""
    found = [fold for fold, names in folds.items() if checkpoint_name in names and fold != "all"]
    return sorted(found, key=str)


def open_exported_models(
    archive: str | Path, folds: Iterable[int | str] | None = None, checkpoint_name: str = CHECKPOINT_NAME
) -> list[Model]:
    """Every model inside, in the order of their names.

    Args:
        archive: a path or an ``fsspec`` URL.
        folds: which to open; ``None`` for those that nnU-Net would find.
        checkpoint_name: in each fold's folder.

    Raises:
        CheckpointError: as ``exported_layout``; or there is no model in it, or none with such a checkpoint.
    """
    wanted = None if folds is None else [fold_number(fold) for fold in folds]
    layout = exported_layout(archive)
    if not layout:
        raise CheckpointError(
            f"{archive}: no model in it: it has no fold_X with a checkpoint "
            "(nnUNetv2_export_model_to_zip writes such zips; one checkpoint alone: nnguard check)"
        )
    opened = []
    for folder, there in sorted(layout.items()):
        chosen = folds_inside(there, checkpoint_name) if wanted is None else wanted
        if chosen:
            opened.append(open_exported_model(archive, folder, chosen, checkpoint_name))
    if not opened:
        others = sorted({name for there in layout.values() for names in there.values() for name in names})
        hint = "choose with -chk"
        if any(checkpoint_name in there.get("all", []) for there in layout.values()):
            hint = "fold_all has to be asked for: -f all"
        raise CheckpointError(
            f"{archive}: no fold_X with a {checkpoint_name} in it; there is {', '.join(others)}: {hint}"
        )
    return opened


def open_exported_model(archive: str | Path, folder: str, folds: Iterable[int | str], checkpoint_name: str) -> Model:
    """One model of the zip; what is wrong with it is in the answer."""
    problems: list[str] = []
    inside = PurePosixPath(folder)
    names = [str(inside / fold_folder(fold) / checkpoint_name) for fold in folds]
    return Model(
        folder=Path(inside),
        archive=archive,
        plans=_read_json(archive, str(inside / PLANS_FILE), problems),
        dataset=_read_json(archive, str(inside / DATASET_FILE), problems),
        folds=tuple(to_predict_with(exported_fold(archive, name)) for name in names),
        problems=tuple(problems),
    )


def _read_json(archive: str | Path, name: str, problems: list[str]) -> dict[str, Any] | None:
    try:
        text = read_exported(archive, name, LONGEST_FILE)
    except CheckpointError as error:
        problems.append(str(error))
        return None
    return json_object(text, f"{archive}!{name}", problems)


def may_hold_models(archive: str | Path) -> bool:
    """Of a zip that could not be read: whether its directory names a checkpoint, or cannot be found at all."""
    if is_url(archive):
        return True
    try:
        with Path(archive).open("rb") as file:
            file.seek(max(0, file.seek(0, io.SEEK_END) - MAX_DIRECTORY))
            tail = file.read()
    except OSError:
        return True
    return END_SIGNATURE not in tail or b".pth" in tail.lower()


def installed_first(findings: list[Finding], fold: Fold) -> list[Finding]:
    """The findings about a checkpoint in a zip, their remedies for the file that nnU-Net makes of it."""
    here, there = quote(fold.subject), f'"$nnUNet_results"/{quote(fold.path.as_posix())}'
    install = f"    nnUNetv2_install_pretrained_model_from_zip {quote(str(fold.archive))}"
    first = f"Install the model, which unpacks it:\n{install}\n"
    return [
        finding.replace(remedy=first + finding.remedy.replace(here, there)) if here in finding.remedy else finding
        for finding in findings
    ]
