"""One checkpoint as a predictor would use it: what it would mirror, and what the mirroring rules say of that.

``nnguard inspect`` waits for this module; what only some checkpoints need is imported where it is used.
"""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING, Any

import msgspec

from ..checkpoint import Opaque
from ..findings import Finding
from ..fold import Fold, spatial_dims_of, transpose_forward_of
from ..record import Record
from ..rules.checks import check_prediction
from ..rules.subjects import Measurement, Prediction
from ..rules.verdicts import measurement_in
from .folder import FLIPTEST_FILE, Model

if TYPE_CHECKING:
    from .fold_files import Evidence


class _FromCheckpoint:
    """Use the axes that the first fold's checkpoint declares, as nnU-Net does."""

    def __repr__(self) -> str:
        return "FROM_CHECKPOINT"


FROM_CHECKPOINT: Any = _FromCheckpoint()


def judge_alone(fold: Fold, use_mirroring: bool = True) -> list[Finding]:
    """The findings about one checkpoint by itself, used with the axes that it declares."""
    assert fold.checkpoint is not None
    return judge_mirroring(fold, prediction_of(None, fold, fold, use_mirroring, FROM_CHECKPOINT))


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is known of the training of one fold, and of how it will be used.

    Args:
        prediction: what the predictor uses, with what a fliptest measured of these weights.
        weaker: what else speaks of the training; asked for only where there is neither record nor measurement.
        beside: what is wrong with the evidence itself (NNG108).
    """

    prediction: Prediction
    weaker: Evidence | None = None
    beside: list[Finding] = []


def judge_mirroring(fold: Fold, prediction: Prediction) -> list[Finding]:
    """The mirroring rules, by all that is known of a fold."""
    findings = judge_by(fold.record, known_of(fold, prediction))
    if fold.archive is None:
        return findings
    from .model_zip import installed_first

    return installed_first(findings, fold)


def known_of(fold: Fold, prediction: Prediction) -> Known:
    """Gathers the evidence about a fold, in the one order that commands and live predictors share: the record (in the
    checkpoint, or the copy beside it that its weights prove), a fliptest of these weights, ``debug.json``."""
    beside: list[Finding] = []
    if fold.record_error is None and has_fliptest(fold):
        from .fliptest_evidence import measured_beside

        measured, beside = measured_beside(fold)
        if measured is not None:
            prediction = msgspec.structs.replace(prediction, measured=measured.measurement, measured_file=measured.path)
    if fold.record is not None:
        from .provenance import check_belonging

        return Known(prediction=prediction, beside=[*check_belonging(fold), *beside])
    weaker = None
    if prediction.measured is None:
        from .fold_files import weaker_evidence_of

        weaker = weaker_evidence_of(fold)
    if fold.record_error is not None and weaker is not None:
        # A record that cannot be read is never "no record": nothing takes its place.
        prediction, weaker = msgspec.structs.replace(prediction, weaker=weaker.sentence), None
    return Known(prediction=prediction, weaker=weaker, beside=beside)


def judge_by(record: Record | None, known: Known) -> list[Finding]:
    """The findings about one fold: by its record, or by a measurement, or by weaker evidence graded as such."""
    if record is not None or known.prediction.measured is not None:
        return [*check_prediction(record, known.prediction), *known.beside]
    from .weak_evidence import without_record

    return [*without_record(known.prediction, known.weaker), *known.beside]


def measurement_of(fold: Fold) -> Measurement | None:
    """What a fliptest of these weights showed: the model folder's own, or the one that the record keeps."""
    if has_fliptest(fold):
        from .fliptest_evidence import measured_beside

        measured, _ = measured_beside(fold)
        if measured is not None:
            return measured.measurement
    return measurement_in(fold.record) if fold.record is not None else None


def has_fliptest(fold: Fold) -> bool:
    """Whether a fliptest lies in the model folder, about whichever weights."""
    in_model = fold.archive is None and fold.is_in_a_fold_folder
    return in_model and (fold.folder.parent / FLIPTEST_FILE).is_file()


def prediction_of(model: Model | None, fold: Fold, first: Fold, use_mirroring: bool, mirroring_axes: Any) -> Prediction:
    """What the predictor would do with one fold. Its axes are the first fold's, whatever the others declare."""
    assert fold.checkpoint is not None
    assert first.checkpoint is not None
    if mirroring_axes is not FROM_CHECKPOINT:
        axes, origin = mirroring_axes, "the caller"
    else:
        axes = msgspec.UNSET if _holds_opaque(first.checkpoint.declared_axes) else first.checkpoint.declared_axes
        origin = "the checkpoint" if fold is first else f"the first fold's checkpoint (fold_{first.fold})"
    plans = model.plans if model is not None else None
    return Prediction(
        subject=fold.subject,
        use_mirroring=use_mirroring,
        axes=axes,
        axes_from=origin,
        checkpoint_axes=fold.checkpoint.declared_axes,
        spatial_dims=spatial_dims_of(fold, plans),
        transpose_forward=transpose_forward_of(fold, plans),
        no_record=_why_no_record(fold),
        predict_command=_predict_command(fold),
    )


def _holds_opaque(axes: Any) -> bool:
    """Whether the axes are what only running the file would yield: an array, a tensor, or a tuple of such."""
    return any(isinstance(entry, Opaque) for entry in (axes if isinstance(axes, (tuple, list)) else (axes,)))


def _predict_command(fold: Fold) -> str | None:
    if fold.archive is not None or not fold.is_in_a_fold_folder:
        return None
    return f"nnUNetv2_predict_from_modelfolder -m {quote(str(fold.folder.parent))} ..."


def _why_no_record(fold: Fold) -> str | None:
    if fold.record is not None:
        return None
    return fold.record_error or "trained without nnguard, or something dropped the key"
