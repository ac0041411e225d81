"""What the rules judge: plain descriptions of a training that starts and of a prediction that starts."""

from __future__ import annotations

from typing import Any

import msgspec

from ..record import Axes, Record


class Training(msgspec.Struct, frozen=True, kw_only=True):
    """A training at its start, beside its record (which holds the declared axes and what was observed).

    Args:
        subject: for people, ``nnUNetTrainerX, Dataset002_Discs, 2d, fold 0``.
        apart: of the clean draws, in how many the image was flipped differently from its segmentation; 0
            where misread draws explain it, which the probe judges, for it knows how many it compared.
        edited_after_start: what differs, in words, between the pipeline that the augmenter's workers
            copied and the one that the trainer holds now (NNG115); ``None`` where they are the same.
        own_train_step: ``module.Class`` that overrides ``train_step``; ``None`` when it is nnU-Net's own.
    """

    subject: str
    apart: int = 0
    edited_after_start: str | None = None
    own_train_step: str | None = None


class MeasuredFlip(msgspec.Struct, frozen=True, kw_only=True):
    """One flip and its verdict by ``nnguard fliptest``: ``safe``, ``harmful`` or ``unsettled``.

    ``agreement`` is Dice with the plain answer, ``dice`` Dice with the references, ``loss`` what the flip costs of it.
    """

    axes: Axes
    verdict: str
    agreement: float | None = None
    dice: float | None = None
    loss: float | None = None


class Measurement(msgspec.Struct, frozen=True, kw_only=True):
    """What running a trained network showed; kept in a record under ``measured["fliptest"]``.

    Args:
        cases: how many images.
        flips: every flip of the data's axes.
        safe_axes: the largest set of axes all of whose flips are safe.
        plain_dice: Dice of the plain answer with the references; ``None`` without references.
        tta_axes, tta_dice: the mirroring that the checkpoint declared then, and its Dice.
        folds: which folds' answers were averaged.
        written_at: when it was measured.
    """

    cases: int
    flips: list[MeasuredFlip]
    safe_axes: Axes
    plain_dice: float | None = None
    tta_axes: Axes | None = None
    tta_dice: float | None = None
    folds: list[int | str] = []
    written_at: str | None = None

    def verdict(self, flip: Axes) -> str:
        """``unsettled`` where the flip is not listed."""
        return next((one.verdict for one in self.flips if one.axes == flip), "unsettled")


class Prediction(msgspec.Struct, frozen=True, kw_only=True):
    """A predictor that is about to run, for one fold (the records of an ensemble are judged one by one).

    Args:
        subject: for people, the checkpoint's path, or the trainer's name for its own validation.
        use_mirroring: the predictor's switch; ``--disable_tta`` clears it.
        axes: ``allowed_mirroring_axes``, verbatim, malformed or not; ``UNSET`` where a file keeps them as what only
            running it would yield.
        axes_from: where that value comes from, for people ("the checkpoint", "set on the predictor
            after it was initialised", "the trainer's attribute").
        checkpoint_axes: what the checkpoint file declares, verbatim; ``UNSET`` where there is no file.
        spatial_dims: 2 or 3, ``None`` where not known; ``transpose_forward`` likewise.
        no_record: why there is no record, in words, where there is none ("trained without nnguard").
        weaker: what weaker evidence says, in words, with its grade (debug.json, the log).
        validation: whether this is the trainer's own validation.
        predict_command: how the user would run the remedy, where it is known.
        repairable: whether ``nnguard repair`` could put the checkpoint right: by a record, or one that it has lost.
        measured: what a fliptest beside the checkpoint showed of its weights; ``None`` where there is none.
        measured_file: where that is written.
    """

    subject: str
    use_mirroring: bool = True
    axes: Any = None
    axes_from: str = "the checkpoint"
    checkpoint_axes: Any = msgspec.UNSET
    spatial_dims: int | None = None
    transpose_forward: list[int] | None = None
    no_record: str | None = None
    weaker: str | None = None
    validation: bool = False
    predict_command: str | None = None
    repairable: bool = True
    measured: Measurement | None = None
    measured_file: str | None = None


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """One fold of an ensemble, as its checkpoint tells of itself.

    Args:
        fold: 0, 1, ... or ``"all"``.
        subject: for people, the checkpoint's path.
        record: what nnguard recorded; ``None`` where there is none.
        axes: the checkpoint's ``inference_allowed_mirroring_axes``, verbatim.
        trainer: the trainer's class name; ``None`` where not known, as for the next ones.
        configuration: for example ``"2d"``.
        plans, dataset: ``init_args["plans"]`` and ``init_args["dataset_json"]``.
        epoch: the checkpoint's ``current_epoch``.
        missing: why the fold cannot be used, in words; ``None`` where it can.
    """

    fold: int | str
    subject: str = ""
    record: Record | None = None
    axes: Any = None
    trainer: str | None = None
    configuration: str | None = None
    plans: Any = None
    dataset: Any = None
    epoch: int | None = None
    missing: str | None = None


class Scores(msgspec.Struct, frozen=True, kw_only=True):
    """What one fold's training and validation scored: Dice, 0 to 1; label (or region) name -> Dice.

    Args:
        pseudo: mean over the foreground at the last epoch, of patches; ``None`` where not known, as for the next.
        validation: nnU-Net's "Mean Validation Dice", a mean over images.
        pseudo_labels, validation_labels: the same for each label.
    """

    pseudo: float | None = None
    validation: float | None = None
    pseudo_labels: dict[str, float] = {}
    validation_labels: dict[str, float] = {}

    @property
    def gap(self) -> float | None:
        """Pseudo Dice less validation Dice, as nnU-Net reports both."""
        return None if self.pseudo is None or self.validation is None else self.pseudo - self.validation
