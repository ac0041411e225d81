"""Guards around ``nnUNetPredictor``: they compare its axes in use with what its weights were trained to see."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from operator import is_
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from .. import arming
from ..axes import plain_axes, same_axes
from ..findings import Finding
from ..fold import Fold
from ..models.ensemble import judge_together, member_of
from ..models.fold_check import Known, judge_by, known_of
from ..record import Environment
from ..rules.subjects import Prediction
from . import enforcement, origins
from .axes_correction import narrow_axes_in_use
from .identity_map import IdentityMap
from .live_trainings import is_left_to_the_first_rank
from .loaded_weights import Weights, loaded_by_hand, weights_of
from .patching import (
    DELIBERATE,
    Coverage,
    Guard,
    calls_under_way,
    contained,
    no_class,
    patch_all_or_nothing,
    patch_overrides,
    patchable,
)

MODULE = "nnunetv2.inference.predict_from_raw_data"
MODULES = {MODULE: "nnUNetPredictor"}

#: Where the network predicts with the weights that it holds.
WINDOW = "predict_sliding_window_return_logits"
#: Nothing may be raised inside these: in nnU-Net 2.6.0 to 2.7.0 a thread feeds the patches, and it outlives an error.
LOGITS = "predict_logits_from_preprocessed_data"
WINDOWS = (LOGITS, WINDOW)

#: Findings that narrowing the predictor's axes to those that are safe for every fold puts right.
CORRECTABLE = ("NNG101", "NNG105", "NNG106", "NNG116", "NNG301")

FROM_CHECKPOINT = "the checkpoint"
FROM_CALLER = "the call of manual_initialization"
FROM_TRAINER = "the trainer's inference_allowed_mirroring_axes"
SET_BY_HAND = "an assignment to the predictor (after it was initialised, or without that)"


class Initialisation(msgspec.Struct, frozen=True, kw_only=True):
    """How a predictor got its model. It belongs to one initialisation, because predictors are used again.

    ``files`` are the checkpoints that were asked for; ``axes`` what the predictor had afterwards.
    """

    axes_from: str
    axes: Any
    files: tuple[str, ...] = ()


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """How a predictor looked when it was last checked.

    Args:
        look: what a verdict depends on; the first three are compared at every patch.
        axes: the object that held its axes, where that object cannot change; ``entries`` those of a list, which can.
        entries: ``None`` where the object need not be opened.
    """

    look: tuple
    axes: Any
    entries: list[Any] | None


_initialised: IdentityMap[Initialisation] = IdentityMap()
_judged: IdentityMap[Judged] = IdentityMap()
_judged_now = _judged.kept
#: predictor -> a refusal that waits until the sliding window has returned
_refused: IdentityMap[Exception] = IdentityMap()
#: predictors of ranks that go by what the first rank decides
_left_alone: IdentityMap[bool] = IdentityMap()
_base: type | None = None


def patch(module: ModuleType) -> Coverage:
    """Patches ``nnUNetPredictor``; nnU-Net 2.0 and 2.1 have none."""
    global _base
    _base = getattr(module, MODULES[MODULE], None)
    if _base is None:
        return no_class(module, f"{MODULES[MODULE]}: nnunetv2 2.2 or newer is needed")
    return patch_all_or_nothing(_base, REQUIRED, _optional(_base))


# ---------------------------------------------------------------- what happens around nnU-Net's methods


def _before_init(predictor: Any, args: tuple, kwargs: dict) -> None:
    arming.policy()
    if _base is not None:
        kind = type(predictor)
        patch_overrides(kind, _base, {**REQUIRED, **_optional(kind)})


def _before_initialising(predictor: Any, args: tuple, kwargs: dict) -> None:
    _before_init(predictor, args, kwargs)
    _initialised.drop(predictor)
    _judged.drop(predictor)


def _after_folder(predictor: Any, result: Any, args: tuple, kwargs: dict) -> None:
    files = contained("naming the checkpoints", lambda: _files(*args, **kwargs)) or ()
    axes = plain_axes(predictor.allowed_mirroring_axes)
    _initialised.put(predictor, Initialisation(axes_from=FROM_CHECKPOINT, axes=axes, files=files))
    check(predictor)


def _after_manual(predictor: Any, result: Any, args: tuple, kwargs: dict) -> None:
    axes = plain_axes(predictor.allowed_mirroring_axes)
    _initialised.put(predictor, Initialisation(axes_from=FROM_CALLER, axes=axes))
    if is_left_to_the_first_rank(predictor.network):
        _left_alone.put(predictor, True)
    check(predictor)


def _before_predicting(predictor: Any, args: tuple, kwargs: dict, as_it_is: bool = False) -> None:
    if calls_under_way(predictor, WINDOWS) < 2:
        _refused.drop(predictor)  # It belongs to a window that failed. A running window keeps its own.
    _before_init(predictor, args, kwargs)
    check(predictor, as_it_is)


def _before_window(predictor: Any, args: tuple, kwargs: dict) -> None:
    # This method predicts with what the network holds. The others load the list of parameters into it first.
    _before_predicting(predictor, args, kwargs, as_it_is=True)


def _after_window(predictor: Any, result: Any, args: tuple, kwargs: dict) -> None:
    refusal = _refused.get(predictor)
    if refusal is not None and calls_under_way(predictor, WINDOWS) < 2:
        _refused.drop(predictor)
        raise refusal


def _before_patch(predictor: Any, args: tuple, kwargs: dict) -> None:
    # This runs once a patch, so it only compares how the predictor looks with how it looked at the last check.
    entry = _judged_now.get(id(predictor))
    if entry is not None and _looks_as_judged(predictor, entry[1]):
        return
    if not calls_under_way(predictor, WINDOWS):
        check(predictor)
    elif _refused.get(predictor) is None:
        try:
            check(predictor)
        except DELIBERATE as refusal:
            _refused.put(predictor, refusal.with_traceback(None))


def _looks_as_judged(predictor: Any, judged: Judged) -> bool:
    # By identity, because a comparison of arrays raises. Small numbers are the same objects everywhere.
    axes = predictor.allowed_mirroring_axes
    return (
        axes is judged.axes
        and (judged.entries is None or (len(axes) == len(judged.entries) and all(map(is_, axes, judged.entries))))
        and (predictor.use_mirroring, id(predictor.list_of_parameters), id(predictor.network)) == judged.look[:3]
    )


REQUIRED: Mapping[str, Guard] = {
    "initialize_from_trained_model_folder": Guard(before=_before_initialising, after=_after_folder),
    "manual_initialization": Guard(before=_before_initialising, after=_after_manual),
    "_internal_maybe_mirror_and_predict": Guard(before=_before_patch, every_level=True),
}


def _optional(kind: type) -> dict[str, Guard]:
    """Guards for ``__init__`` and every ``predict_*`` of a class, so that a refusal comes before workers start."""
    guards = {"__init__": Guard(before=_before_init, every_level=True)}
    for owner in kind.__mro__[:-1]:
        for name in vars(owner):
            if name.startswith("predict_") and patchable(owner, name):
                before = _before_window if name == WINDOW else _before_predicting
                guards[name] = Guard(before, _after_window if name in WINDOWS else None, every_level=True)
    return guards


# ---------------------------------------------------------------- judge


def check(predictor: Any, as_it_is: bool = False) -> None:
    """Checks a predictor and does what the mode says, unless it looks as it did at the last check.

    Args:
        as_it_is: whether the network predicts with the weights that it holds now, whatever the list holds.

    Raises:
        InconsistencyError: the mode raises what was found.
    """
    if predictor.network is None and not predictor.list_of_parameters:
        return  # It is not initialised. nnU-Net will say so.
    if _left_alone.get(predictor):
        return
    by_hand = contained("looking at the network's weights", loaded_by_hand, predictor, as_it_is)
    now, known = _as_it_is(predictor, by_hand), _judged.get(predictor)
    # Noted before the check, so that a fault of nnguard does not repeat at each of a thousand patches.
    _judged.put(predictor, now)
    if known is not None and known.look == now.look:
        return
    try:
        judge(predictor, stray=by_hand is not None)
    except DELIBERATE:
        _judged.drop(predictor)  # whoever goes on after a refusal is refused again
        raise
    _judged.put(predictor, _as_it_is(predictor, by_hand))


def forget_verdicts() -> None:
    """Lets every predictor be checked again when it is used next."""
    _judged.kept.clear()


def judge(predictor: Any, stray: bool = False) -> None:
    """Checks all weights of a predictor, those of every fold; with ``stray`` also those that its network holds."""
    initialisation = _initialised.get(predictor)
    weights = weights_of(predictor, initialisation.files if initialisation is not None else (), stray)
    findings: list[Finding] = []
    predictions = []
    folds = [origins.fold_behind(one.origin) for one in weights]
    for one, fold in zip(weights, folds, strict=True):
        known = _known(fold, _prediction(predictor, one))
        predictions.append(known.prediction)
        findings += judge_by(one.origin.record, known)
    findings += contained("comparing folds and folder", _together, predictor, weights, folds) or []
    findings = told_once(findings)
    put_right = None
    if enforcement.is_to_be_put_right(findings, CORRECTABLE):
        put_right = narrow_axes_in_use(predictor, weights, predictions)
    enforcement.act(findings, put_right=put_right, righted=CORRECTABLE)


def told_once(findings: Sequence[Finding]) -> list[Finding]:
    """One finding for folds that share it. Its subject is the first fold; ``seen`` names the others."""
    first: dict[tuple[str, str], Finding] = {}
    more: dict[tuple[str, str], list[str]] = {}
    for finding in findings:
        key = (finding.code, finding.setting)
        if key in first:
            more.setdefault(key, []).append(finding.subject)
        else:
            first[key] = finding
    for key, subjects in more.items():
        finding = first[key]
        first[key] = finding.replace(
            evidence={**finding.evidence, "also": subjects},
            seen=f"{finding.seen}; the same holds for {', '.join(subjects)}",
        )
    return list(first.values())


def _known(fold: Fold | None, prediction: Prediction) -> Known:
    """Everything known of the weights' training. If files cannot be read, only what was loaded with the weights."""
    known = contained("reading what lies beside a checkpoint", known_of, fold, prediction) if fold is not None else None
    return known or Known(prediction=prediction)


def _prediction(predictor: Any, weights: Weights) -> Prediction:
    plans = getattr(predictor, "plans_manager", None)
    patch_size = getattr(getattr(predictor, "configuration_manager", None), "patch_size", None)
    transpose = getattr(plans, "transpose_forward", None)
    return Prediction(
        subject=weights.subject,
        use_mirroring=bool(predictor.use_mirroring),
        axes=plain_axes(predictor.allowed_mirroring_axes),
        axes_from=_axes_from(predictor, weights),
        checkpoint_axes=weights.origin.axes,
        spatial_dims=len(patch_size) if patch_size is not None else None,
        transpose_forward=[int(axis) for axis in transpose] if transpose is not None else None,
        no_record=weights.origin.no_record,
        validation=weights.validation,
        predict_command=_command(),
    )


def _together(predictor: Any, weights: Sequence[Weights], folds: Sequence[Fold | None]) -> list[Finding]:
    """What the rules about folds and folder find in what nnU-Net has read; nothing if it read no folder."""
    initialisation = _initialised.get(predictor)
    files = initialisation.files if initialisation is not None else ()
    plans = getattr(getattr(predictor, "plans_manager", None), "plans", None)
    if not files or len(files) != len(weights) or not isinstance(plans, Mapping):
        return []
    folder, _fold, name = files[0].rsplit(os.sep, 2)
    return judge_together(
        folder,
        plans,
        getattr(predictor, "dataset_json", None),
        [
            member_of(fold if fold and str(fold.path) == file else origins.fold_at(Path(file), one.origin))
            for file, one, fold in zip(files, weights, folds, strict=True)
        ],
        use_mirroring=bool(predictor.use_mirroring),
        axes=plain_axes(predictor.allowed_mirroring_axes),
        checkpoint_name=name,
        here=Environment.here(),
    )


def _axes_from(predictor: Any, weights: Weights) -> str:
    axes, initialisation = predictor.allowed_mirroring_axes, _initialised.get(predictor)
    if weights.origin.axes is not msgspec.UNSET and same_axes(axes, weights.origin.axes):
        return FROM_CHECKPOINT
    if initialisation is None or not same_axes(axes, initialisation.axes):
        return SET_BY_HAND
    return FROM_TRAINER if weights.validation else initialisation.axes_from


# ---------------------------------------------------------------- small parts


#: Stands for an object that is looked into at every patch.
_CHANGING: Any = object()


def _as_it_is(predictor: Any, by_hand: tuple | None) -> Judged:
    """What a verdict depends on: ids instead of objects, because this must not keep weights alive.

    Some clients exchange weights within the list of parameters, one case after the other.
    """
    axes, parameters = predictor.allowed_mirroring_axes, predictor.list_of_parameters
    held = tuple(map(id, parameters)) if isinstance(parameters, Sequence) else ()
    # Any other object may change, so it is looked at again at every patch.
    lasting = axes is None or (type(axes) in (tuple, list) and all(type(axis) is int for axis in axes))
    return Judged(
        look=(predictor.use_mirroring, id(parameters), id(predictor.network), plain_axes(axes), held, by_hand),
        axes=axes if lasting else _CHANGING,
        entries=list(axes) if lasting and type(axes) is list else None,
    )


def _files(
    model_training_output_dir: str,
    use_folds: Any = None,
    checkpoint_name: str = "checkpoint_final.pth",
    *_more: Any,
    **_keywords: Any,
) -> tuple[str, ...]:
    """The checkpoints that ``initialize_from_trained_model_folder`` reads with these arguments."""
    folder = os.fspath(model_training_output_dir) or os.curdir
    if use_folds is None:
        from ..models.folder import detect_folds

        use_folds = detect_folds(Path(folder), checkpoint_name)
    elif isinstance(use_folds, (str, int)):
        use_folds = [use_folds]
    return tuple(f"{folder}{os.sep}fold_{fold}{os.sep}{checkpoint_name}" for fold in use_folds)


def _command() -> str | None:
    """The command that the user typed, if it was one of nnU-Net's prediction commands."""
    name = Path(sys.argv[0]).name if sys.argv else ""
    return shlex.join([name, *sys.argv[1:]]) if name.startswith("nnUNetv2_predict") else None
