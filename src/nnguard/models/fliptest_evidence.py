"""What ``nnguard fliptest`` measured, read back from its JSON as evidence about a checkpoint."""

from __future__ import annotations

from pathlib import Path
from shlex import quote

import msgspec

from ..errors import CheckpointError
from ..findings import ADVISORY, NOTE, UNVERIFIED, Finding
from ..flips import flips_of
from ..fold import Fold, configuration_of, spatial_dims_of
from ..nnunet import fold_folder
from ..rules.measurement import FEWEST_CASES, safe_by_both
from ..rules.subjects import MeasuredFlip, Measurement
from .file_content import read_bounded
from .folder import FLIPTEST_FILE

#: Of the document that this reads.
SCHEMA_VERSION = 1
VERDICTS = ("safe", "harmful", "unsettled")


class TestedFold(msgspec.Struct, frozen=True, kw_only=True):
    """One of the checkpoints whose answers were averaged; ``weights`` is their fingerprint."""

    fold: int | str
    checkpoint: str
    epoch: int | None = None
    weights: str | None = None


class TestedModel(msgspec.Struct, frozen=True, kw_only=True):
    """Which model was tested."""

    folder: str
    folds: list[TestedFold]
    trainer: str | None = None
    configuration: str | None = None


class _Scored(msgspec.Struct, frozen=True):
    axes: tuple[int, ...] | None = None
    dice: float | None = None


class _Head(msgspec.Struct):
    schema_version: int


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """A fliptest that has a verdict, as it lies in the file ``path``: which model was tested, and what it showed."""

    path: str = ""
    cases: int
    spatial_dims: int
    flips: list[MeasuredFlip]
    model: TestedModel
    plain: _Scored
    tta: _Scored
    written_at: str | None = None

    @property
    def measurement(self) -> Measurement:
        """What it showed, as rules and records have it."""
        return Measurement(
            cases=self.cases,
            flips=self.flips,
            safe_axes=safe_by_both(None, self.flips, range(self.spatial_dims)),
            plain_dice=self.plain.dice,
            tta_axes=self.tta.axes,
            tta_dice=self.tta.dice,
            folds=[one.fold for one in self.model.folds],
            written_at=self.written_at,
        )

    @property
    def sentence(self) -> str:
        """How it is known, for a record's reasons."""
        folds = [str(one.fold) for one in self.model.folds]
        together = f", folds {', '.join(folds)} together" if len(folds) > 1 else ""
        return f"measured with nnguard fliptest on {self.cases} case{'' if self.cases == 1 else 's'}{together}"

    def tested(self, path: Path) -> bool:
        """Whether a checkpoint of this name, in a fold folder of this name, is among the tested ones."""
        return any(
            path.name == one.checkpoint and path.parent.name == fold_folder(one.fold) for one in self.model.folds
        )


def read_measured(path: Path) -> Measured:
    """Reads what ``nnguard fliptest`` wrote.

    Raises:
        CheckpointError: no such file, no such document, a newer one, or one without a verdict.
    """
    text = read_bounded(path)
    if text is None:
        raise CheckpointError(f"{path}: does not exist or cannot be read; expected what nnguard fliptest -o wrote")
    try:
        version = msgspec.json.decode(text, type=_Head).schema_version
        document = msgspec.json.decode(text, type=Measured) if version == SCHEMA_VERSION else None
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise CheckpointError(f"{path}: is not what nnguard fliptest -o writes: {error}") from None
    if document is None:
        raise CheckpointError(
            f"{path}: has schema_version {version}, and this nnguard reads {SCHEMA_VERSION}: upgrade nnguard"
        )
    problem = _problem_in(document)
    if problem is not None:
        raise CheckpointError(f"{path}: {problem}")
    return msgspec.structs.replace(document, path=str(path))


def _problem_in(document: Measured) -> str | None:
    """Why it is no evidence. Its ``safe_axes`` are not read: what is safe follows from its flips, whoever edited it."""
    if document.spatial_dims not in (2, 3):
        return f"spatial_dims is {document.spatial_dims}, and nnU-Net's data has 2 or 3"
    every = flips_of(range(document.spatial_dims))
    if sorted(flip.axes for flip in document.flips) != sorted(every):
        return f"its flips are not the {len(every)} of {document.spatial_dims}D data"
    if not {flip.verdict for flip in document.flips} <= set(VERDICTS):
        return f"a flip's verdict is none of {', '.join(VERDICTS)}"
    if all(flip.verdict == "unsettled" for flip in document.flips):
        few = f"; a verdict takes {FEWEST_CASES} cases" if document.cases < FEWEST_CASES else ""
        return f"holds no verdict: its {document.cases} cases settled no flip{few}. Test more images, with labels (-l)"
    if document.cases < FEWEST_CASES:
        return f"has a verdict on {document.cases} cases, and one takes {FEWEST_CASES}: edited, or of another nnguard"
    return None


def problem_between(measured: Measured, fold: Fold) -> str | None:
    """Why this evidence is not about this checkpoint, in words; ``None`` where it is."""
    model, checkpoint = measured.model, fold.checkpoint
    if checkpoint is None:
        return fold.error or "it cannot be read"
    tested = next((one for one in model.folds if str(one.fold) == str(fold.fold)), None)
    if tested is None:
        return f"fold {fold.fold} was not tested (tested: {', '.join(str(one.fold) for one in model.folds) or 'none'})"
    if tested.checkpoint != fold.path.name:
        return f"{tested.checkpoint} was tested, not {fold.path.name}"
    for what, then, now in (
        ("trainer", model.trainer, checkpoint.trainer_name),
        ("configuration", model.configuration, configuration_of(fold)),
        ("epoch", tested.epoch, checkpoint.epoch),
        ("number of spatial dimensions", measured.spatial_dims, spatial_dims_of(fold)),
    ):
        if then is not None and now is not None and then != now:
            return f"the tested {what} is {then}, the checkpoint's {now}"
    weights = checkpoint.weights_fingerprint
    if weights is None or tested.weights is None:
        return "nothing proves that these weights were tested: PyTorch was told to store no checksums"
    if tested.weights != weights:
        return "its weights are not those that were tested"
    return None


def demand_about(measured: Measured, fold: Fold) -> None:
    """Refuses another model's evidence.

    Raises:
        CheckpointError: it is not about this checkpoint.
    """
    problem = problem_between(measured, fold)
    if problem is not None:
        raise CheckpointError(f"{measured.path}: is not evidence about {fold.path}: {problem}")


def measured_beside(fold: Fold) -> tuple[Measured | None, list[Finding]]:
    """The fliptest in the model folder, if it is about this checkpoint; a finding (NNG108) where it is not used.

    Only for a fold that ``has_fliptest``.
    """
    if fold.checkpoint is None:
        return None, []
    try:
        measured = read_measured(fold.folder.parent / FLIPTEST_FILE)
    except CheckpointError as error:
        return None, [_unused(fold.path, f"is no evidence: {error}", ADVISORY)]
    problem = problem_between(measured, fold)
    if problem is not None:
        # Without a record the file was all that could have told.
        severity = NOTE if fold.record is not None else ADVISORY
        return None, [_unused(fold.path, f"is not about this checkpoint: {problem}", severity)]
    return measured, []


def _unused(path: Path, why: str, severity: str) -> Finding:
    model = path.parent.parent
    return Finding(
        UNVERIFIED,
        str(path),
        f"The {FLIPTEST_FILE} in the model folder {why.split(':', 1)[0]}, and is not used.",
        seen=f"{FLIPTEST_FILE} {why}",
        effect="the checkpoint is judged as if that file were not there.",
        remedy=f"Measure these weights again:\n    nnguard fliptest {quote(str(model))} -i IMAGES -l LABELS "
        f"-o {quote(str(model))}\nor remove the file.",
        evidence={"file": str(model / FLIPTEST_FILE)},
        severity=severity,
        setting=FLIPTEST_FILE,
    )
