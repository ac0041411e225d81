"""``observe``: everything that nnguard can find out about a training before its first step, as one record."""

from __future__ import annotations

import hashlib
import inspect
from pathlib import Path
from types import FunctionType
from typing import Any

import msgspec

from ..axes import normalise, plain_axes, problem_with
from ..flips import flips_of, verdict_of
from ..foreign_calls import Failed, attempt
from ..nnunet import name_of_trainer
from ..record import AxesHistory, Environment, Mirroring, Record, Segment, TrainerIdentity, timestamp
from ..rules.subjects import Training
from ..version import __version__
from . import summary, transform_tree
from .labels import LabelBehaviour, label_behaviour
from .library_transforms import is_from_a_library, train_step_of_a_stranger
from .orientation_probe import Flip, Tally, probe
from .pipeline import Pipeline, Stage, locate
from .pipeline_copy import one_thread, reachable
from .samples import Case
from .snapshot import Held, Snapshot, held_by_workers
from .witness import Witness, watched_by


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """A record, and what else the rules need when a training starts."""

    record: Record
    training: Training


def observe(trainer: Any, snapshot: Snapshot | None = None) -> Observation:
    """Finds out what ``trainer``'s augmentation pipeline does to data. Changes neither the trainer nor random states.

    Args:
        trainer: an ``nnUNetTrainer`` whose ``dataloader_train`` is set.
        snapshot: what ``snapshot`` returned for that augmenter, if its workers have started.

    Returns:
        The record and what else the rules need. If nothing could be observed, the record's state is ``unknown``
        and its reasons say why.
    """
    with one_thread():
        return _observe(trainer, snapshot)


def _observe(trainer: Any, snapshot: Snapshot | None) -> Observation:
    pipeline = locate(getattr(trainer, "dataloader_train", None))
    held = held_by_workers(pipeline, snapshot)
    case = attempt(case_of, trainer, pipeline)
    declared_raw = getattr(trainer, "inference_allowed_mirroring_axes", None)
    own_train_step = train_step_of_a_stranger(trainer)
    trees = transform_tree.describe(held.stages)
    tally, mirroring = Tally(), None
    if not pipeline.chain:
        mirroring = summary.unknown(pipeline.blind[0])
    elif isinstance(case, Failed):
        mirroring = summary.unknown(f"the trainer does not say what its cases look like ({case})")
    else:
        declared = well_formed(declared_raw, case.dims)
        tally = probe(held.stages, case, declared)
        behaviour = _labels(held.stages, case, tally)
        mirroring = summary.mirroring(tally, behaviour, case.dims, declared, pipeline.blind, own_train_step)
    edited = None if isinstance(case, Failed) else _edited(pipeline, held, case, tally)
    return Observation(
        record=_record(trainer, trees, mirroring, declared_raw),
        training=Training(
            subject=name_of_trainer(trainer),
            apart=tally.apart if summary.is_apart(tally.apart, tally.compared) else 0,
            edited_after_start=edited,
            own_train_step=own_train_step,
        ),
    )


def appoint_witness(trainer: Any, observation: Observation) -> Witness | Mirroring | None:
    """A witness for this training's first steps, if it needs one.

    Returns:
        A witness if the train step is not nnU-Net's own; ``None`` if no witness is needed. If the state is pending
        and no witness is possible: the ``Mirroring`` to record instead (state ``unknown``, with the reason).
    """
    record = observation.record
    name = observation.training.own_train_step
    if record.spatial_dims is None or name is None:
        return None
    declared = well_formed(getattr(trainer, "inference_allowed_mirroring_axes", None), record.spatial_dims)
    return watched_by(trainer, record.mirroring, record.spatial_dims, declared, name)


def case_of(trainer: Any, pipeline: Pipeline) -> Case:
    """What the trainer's loader delivers, according to the trainer; the loader knows the size before augmentation."""
    patch = tuple(int(side) for side in trainer.configuration_manager.patch_size)
    initial = getattr(pipeline.loader, "patch_size", None)
    initial = patch if initial is None else tuple(int(side) for side in initial)[-len(patch) :]
    channels = trainer.dataset_json.get("channel_names", trainer.dataset_json.get("modality", {"0": ""}))
    regions = trainer.label_manager.foreground_regions if trainer.label_manager.has_regions else None
    labels = {int(label) for label in trainer.label_manager.all_labels} | {0}
    if trainer.label_manager.ignore_label is not None:
        labels.add(int(trainer.label_manager.ignore_label))
    return Case(
        patch=patch,
        initial=tuple(max(first, side) for first, side in zip(initial, patch, strict=True)),
        channels=max(1, len(channels)),
        segmentations=2 if getattr(trainer, "is_cascaded", False) else 1,
        labels=tuple(sorted(labels)),
        regions=regions
        and tuple(tuple(map(int, region if isinstance(region, (tuple, list)) else (region,))) for region in regions),
    )


def well_formed(axes: Any, dims: int) -> Flip:
    """The declared axes if nnU-Net would accept them, else ``()``. NNG105 reports malformed axes."""
    return () if problem_with(axes, dims) else normalise(axes)


def _labels(stages: list[Stage], case: Case, tally: Tally) -> dict[Flip, LabelBehaviour]:
    # The label series reads flips off the image, so the image must be flipped together with the segmentation.
    if tally.form is None or summary.is_apart(tally.apart, tally.compared) or tally.compared < tally.clean / 2:
        return {}
    shown = [flip for flip in flips_of(range(case.dims)) if verdict_of(flip, tally.counts) == "trained"]
    return label_behaviour(stages, case, tally.form, shown, _strangers(stages)) if shown else {}


def _strangers(stages: list[Stage]) -> bool:
    return any(
        callable(thing) and not isinstance(thing, type) and not is_from_a_library(thing)
        for stage in stages
        for thing in reachable(stage.transform, through_functions=False)
    )


def _edited(pipeline: Pipeline, held: Held, case: Case, tally: Tally) -> str | None:
    """What was edited after the workers had copied the pipeline, in words.

    Changed parameters count only if they change which flips training shows.
    """
    if held.restructured:
        return held.restructured
    if not held.retuned or tally.failed:
        return None
    now = probe(pipeline.stages, case, range(case.dims))
    before = {flip for flip in flips_of(range(case.dims)) if verdict_of(flip, tally.counts) == "trained"}
    after = {flip for flip in flips_of(range(case.dims)) if verdict_of(flip, now.counts) == "trained"}
    if now.failed or before == after:
        return None
    return "changed parameters, which would show other flips"


def _record(trainer: Any, trees: list[dict[str, Any]], mirroring: Mirroring, declared: Any) -> Record:
    plans = getattr(trainer, "plans_manager", None)
    patch = getattr(getattr(trainer, "configuration_manager", None), "patch_size", None)
    transpose = getattr(plans, "transpose_forward", None)
    axes = plain_axes(declared)
    axes = list(axes) if isinstance(axes, tuple) else axes
    return Record(
        nnguard=__version__,
        written_at=timestamp(),
        trainer=_identity(type(trainer)),
        dataset=getattr(plans, "dataset_name", None),
        plans=getattr(plans, "plans_name", None),
        configuration=getattr(trainer, "configuration_name", None),
        fold=getattr(trainer, "fold", None),
        spatial_dims=len(patch) if patch is not None else None,
        transpose_forward=None if transpose is None else [int(axis) for axis in transpose],
        axes=AxesHistory(declared=axes, effective=axes),
        mirroring=mirroring,
        transforms=transform_tree.for_the_record(trees),
        segments=[
            Segment(
                epoch=int(getattr(trainer, "current_epoch", 0)),
                steps=0,
                fingerprint=transform_tree.fingerprint(trees),
                mirroring=mirroring,
            )
        ],
        environment=Environment.here(),
    )


def _identity(kind: type) -> TrainerIdentity:
    file = _file_of_methods(kind) or attempt(inspect.getsourcefile, kind)
    source = attempt(Path(file).read_bytes) if file and not isinstance(file, Failed) else None
    digest = None if source is None or isinstance(source, Failed) else hashlib.sha256(source).hexdigest()
    return TrainerIdentity(class_=kind.__qualname__, module=kind.__module__, source_sha256=digest)


def _file_of_methods(kind: type) -> str | None:
    """The file that defines the class's methods.

    ``inspect`` finds no file for classes from ``nnUNet_extTrainer``, because nnU-Net drops their module after import.
    """
    for value in vars(kind).values():
        function = attempt(inspect.unwrap, getattr(value, "__func__", value))
        if isinstance(function, FunctionType) and function.__module__ == kind.__module__:
            return function.__code__.co_filename
    return None
