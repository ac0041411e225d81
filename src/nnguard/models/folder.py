"""A model folder, as nnU-Net's predictor would open it: plans, dataset, folds and their checkpoints."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from shlex import quote
from typing import Any

import msgspec

from ..checkpoint import Checkpoint, read_checkpoint
from ..errors import CheckpointError
from ..fold import Fold
from ..nnunet import (
    ARGUMENTS_KEY,
    AXES_KEY,
    CHECKPOINT_NAME,
    DATASET_FILE,
    FOLD_ALL,
    FOLD_FOLDER,
    NEEDED_KEYS,
    PLANS_FILE,
    TRAINER_KEY,
    WEIGHTS_KEY,
    fold_folder,
)
from ..record import CHECKPOINT_KEY, Record
from .file_content import LONGEST_FILE, read_bounded

#: Any of these tells that a file is a checkpoint of nnU-Net, or what a conversion has left of one.
TELLING_KEYS = (TRAINER_KEY, ARGUMENTS_KEY, AXES_KEY, CHECKPOINT_KEY)
#: A bare state dict has hundreds of names.
NAMES_SHOWN = 4
#: What ``nnguard fliptest -o MODEL_FOLDER`` writes into the model folder, where ``check`` and ``audit`` find it.
FLIPTEST_FILE = "nnguard-fliptest.json"


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """A trained model.

    Args:
        folder: ``.../nnUNetTrainer__nnUNetPlans__2d``.
        plans, dataset: the folder's ``plans.json`` and ``dataset.json``; ``None`` where unreadable.
        folds: in the order in which the predictor loads them; the first gives it axes, trainer and
            configuration.
        problems: what would stop the predictor before it reads a checkpoint, in words.
        archive: the exported zip that it lies in; ``folder`` is then its name inside.
    """

    folder: Path
    plans: dict[str, Any] | None
    dataset: dict[str, Any] | None
    folds: tuple[Fold, ...]
    problems: tuple[str, ...] = ()
    archive: Path | str | None = None

    @property
    def subject(self) -> str:
        """As a person would name it."""
        return str(self.folder) if self.archive is None else f"{self.archive}!{self.folder}"

    @property
    def errors(self) -> list[str]:
        """Everything that could not be read, one line each."""
        return [*self.problems, *(fold.error for fold in self.folds if fold.error)]


def open_model(
    folder: str | Path, folds: Iterable[int | str] | None = None, checkpoint_name: str = CHECKPOINT_NAME
) -> Model:
    """Opens a model folder without torch and without running anything from it.

    Args:
        folder: with ``plans.json``, ``dataset.json`` and ``fold_X``.
        folds: which to open; ``None`` for those that nnU-Net would find (``fold_all`` is not among them).
        checkpoint_name: in each fold's folder.

    Raises:
        CheckpointError: there is no such folder, or no fold with such a checkpoint in it. A single fold
            that cannot be read is no error here: it is in ``Fold.error``.
    """
    folder = Path(folder)
    if not folder.is_dir():
        missing = "is not a folder" if folder.exists() else "does not exist"
        alone = f"; for one checkpoint: nnguard check {quote(str(folder))}" if folder.suffix == ".pth" else ""
        raise CheckpointError(f"{folder}: {missing}; a model folder with plans.json and fold_X was expected{alone}")
    wanted = detect_folds(folder, checkpoint_name) if folds is None else [fold_number(fold) for fold in folds]
    if not wanted:
        raise CheckpointError(_nothing_found(folder, checkpoint_name))
    problems: list[str] = []
    return Model(
        folder=folder,
        plans=_read_json(folder / PLANS_FILE, problems),
        dataset=_read_json(folder / DATASET_FILE, problems),
        folds=tuple(to_predict_with(open_fold(folder / fold_folder(fold) / checkpoint_name, fold)) for fold in wanted),
        problems=tuple(problems),
    )


def open_fold(path: Path, fold: int | str | None = None) -> Fold:
    """Reads one checkpoint; what is wrong with it is in the answer, not raised."""
    read = read_fold(path, path, fold)
    if read.checkpoint is not None and not read.checkpoint.has_record:
        from .provenance import with_kept_record

        return with_kept_record(read)
    if read.error is None or str(path) in read.error:
        return read
    return msgspec.structs.replace(read, error=f"{path}: {read.error}")


def to_predict_with(fold: Fold) -> Fold:
    """The same fold, with an error where it can be read and nnU-Net could not load it."""
    if not fold.lacks:
        return fold
    error = f"{fold.subject}: lacks {', '.join(fold.lacks)}, so nnU-Net cannot load it"
    return msgspec.structs.replace(fold, error=error)


def exported_fold(archive: Path | str, name: str) -> Fold:
    """Reads one checkpoint of an exported zip, by its name inside; what is wrong with it is in the answer."""
    return msgspec.structs.replace(read_fold(archive, Path(name), member=name), archive=archive)


def read_fold(source: Any, path: Path, fold: int | str | None = None, member: str | None = None) -> Fold:
    """Reads a checkpoint from wherever it is: ``source`` and ``member`` as for ``read_checkpoint``.

    ``fold`` is what its folder is named after, where it is left out.
    """
    if fold is None:
        named = FOLD_FOLDER.fullmatch(path.parent.name)
        fold = fold_number(named.group(1)) if named else path.parent.name
    try:
        checkpoint = read_checkpoint(source, member=member)
    except CheckpointError as error:
        return Fold(fold=fold, path=path, error=str(error))
    if not any(key in checkpoint.keys for key in TELLING_KEYS):
        return Fold(fold=fold, path=path, error=f"{checkpoint.path}: {_what_it_is_instead(checkpoint)}")
    try:
        text = checkpoint.record_text
        return Fold(fold=fold, path=path, checkpoint=checkpoint, record=checkpoint.record(), record_text=text)
    except CheckpointError as error:
        return Fold(fold=fold, path=path, checkpoint=checkpoint, record_error=str(error))


def _what_it_is_instead(checkpoint: Checkpoint) -> str:
    """Of a file of ``torch.save`` that holds nothing which nnU-Net writes about a training."""
    if WEIGHTS_KEY in checkpoint.keys:
        return (
            "it holds nnU-Net's weights alone: without trainer_name and init_args nothing tells of their training "
            "(MONAI's conversion keeps those apart, in nnunet_checkpoint.pth)"
        )
    shown = [repr(key) for key in checkpoint.keys[:NAMES_SHOWN]]
    more = len(checkpoint.keys) - len(shown)
    holds = f"{', '.join(shown)}{f' and {more} more' if more else ''}" if shown else "nothing that has a name"
    needed = f"{', '.join(NEEDED_KEYS[:-1])} and {NEEDED_KEYS[-1]}"
    return f"it is a file of torch.save, but no checkpoint of nnU-Net: it lacks {needed}, and holds {holds}"


def detect_folds(folder: Path, checkpoint_name: str = CHECKPOINT_NAME) -> list[int | str]:
    """The folds that nnU-Net finds by itself: those with the checkpoint, in the order of their names.

    As in ``nnUNetPredictor.auto_detect_available_folds``: ``fold_all`` is left out, and names sort as
    text, so that ``fold_10`` comes before ``fold_2``.
    """
    found: list[int | str] = []
    for name in sorted(entry.name for entry in folder.iterdir()):
        matched = FOLD_FOLDER.fullmatch(name)
        if matched and name != FOLD_ALL and (folder / name / checkpoint_name).is_file():
            found.append(int(matched.group(1)))
    return found


def fold_number(fold: int | str) -> int | str:
    if fold == "all":
        return fold
    try:
        return int(fold)
    except ValueError:
        raise CheckpointError(f"{fold!r} is no fold; expected a number or 'all'") from None


def _nothing_found(folder: Path, checkpoint_name: str) -> str:
    """Says what is there instead, for the remedy is usually ``-f all`` or another ``-chk``."""
    others = sorted({path.name for path in folder.glob("fold_*/checkpoint_*.pth")})
    text = f"{folder}: no fold_X with a {checkpoint_name}"
    if FOLD_FOLDER.fullmatch(folder.absolute().name):
        return f"{folder}: is one fold, not a model folder; its model folder is {folder.parent}"
    if (folder / FOLD_ALL / checkpoint_name).is_file():
        return f"{text} except fold_all, which has to be asked for: -f all"
    if others:
        return f"{text}; there is {', '.join(others)}: choose with -chk"
    if not any(FOLD_FOLDER.fullmatch(entry.name) for entry in folder.iterdir()):
        return f"{folder}: no model folder (it has no fold_X); for a results tree: nnguard check {quote(str(folder))}"
    return text


def _read_json(path: Path, problems: list[str]) -> dict[str, Any] | None:
    text = read_bounded(path)
    if text is None and path.exists():
        problems.append(f"{path}: cannot be read")
        return None
    return json_object(text, str(path), problems)


def json_object(text: bytes | None, path: str, problems: list[str]) -> dict[str, Any] | None:
    """The object, or ``None`` and one more problem; ``text`` is ``None`` where there is no such file."""
    if text is None:
        problems.append(f"{path}: does not exist; nnU-Net needs it to predict")
        return None
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        problems.append(f"{path}: holds no JSON object: {error}")
        return None


def read_record_file(path: Path) -> Record:
    """The record in an ``nnguard.json``.

    Raises:
        CheckpointError: it is not there, cannot be read, or holds something else.
    """
    text = read_bounded(path)
    if text is None:
        why = f"cannot be read, or is longer than {LONGEST_FILE >> 20} MiB" if path.exists() else "does not exist"
        raise CheckpointError(f"{path}: {why}")
    try:
        return Record.from_json(text)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: no record, as nnguard.json holds one: {error}") from None
