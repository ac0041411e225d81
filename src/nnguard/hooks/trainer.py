"""A training as it starts, steps, saves and resumes: observed, recorded, judged."""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from _nnguard_start import say

from .. import __version__, arming
from ..axes import plain_axes as plain
from ..axes import same_axes, written
from ..errors import NNGuardError
from ..findings import Finding
from ..nnunet import name_of_trainer
from ..record import CHECKPOINT_KEY, Apart, AxesHistory, Mirroring, Record, Segment, TrainerIdentity, timestamp
from ..rules.checks import check_training
from ..rules.nng107_augmentation_changed import check_resumed
from ..rules.subjects import Training
from ..rules.verdicts import narrowed_axes
from ..training.segments import bounded, earlier, merged, mixture
from . import augmenters, enforcement, parent_training, ranks, sidecar, torch_io
from .identity_map import Beside
from .patching import (
    Coverage,
    Guard,
    contained,
    is_ours,
    no_class,
    patch_all_or_nothing,
    patch_on_object,
    patch_overrides,
)

MODULE = "nnunetv2.training.nnUNetTrainer.nnUNetTrainer"
MODULES = {MODULE: "nnUNetTrainer"}

#: Any other value than ``0`` or ``off`` asks for a contact sheet at training start.
PREVIEW = "NNGUARD_PREVIEW"

#: Findings that narrowing the declared axes puts right.
CORRECTABLE = ("NNG103", "NNG105", "NNG106")


class TrainingInHand(msgspec.Struct, eq=False):
    """What is known of one live trainer.

    ``record`` is this process's own observation; ``origin`` what came with the checkpoint that was loaded;
    ``epoch`` and ``steps`` (optimiser steps) count from that checkpoint, or from nothing.
    """

    observed: bool = False
    #: built to be looked at and taken down again: whoever asked says what was found, and no log is kept
    rehearsed: bool = False
    record: Record | None = None
    training: Training | None = None
    origin: torch_io.Origin | None = None
    epoch: int = 0
    steps: int = 0
    #: weakly, the bare network that these steps train
    network: weakref.ref[Any] | None = None
    #: whether this object was started a second time, and ``origin`` is its own first stretch
    again: bool = False
    judged_axes: Any = None
    #: watches the first steps of a train step that is not nnU-Net's own; ``None`` before and after
    witness: Any = None
    #: settled, or axes set again, while a checkpoint was about to be written: judged once it is safe on the
    #: disk, for a refusal must not cost the epochs since the last one
    unjudged: bool = False
    #: the record in the checkpoint that is being saved
    saved: Record | None = None
    saved_text: str | None = None
    #: how many validations have begun: ranks count alike
    validations: int = 0
    #: checkpoint's file name -> its weights, as ``nnguard.json`` keeps them; ``None`` before the first
    weights: Any = None

    @property
    def goes_on(self) -> bool:
        """Whether there is a history before ``epoch``."""
        return self.origin is not None and (self.again or self.epoch > 0)

    @property
    def before(self) -> Record | None:
        """What was recorded until ``epoch``, where this training goes on from there."""
        return self.origin.record if self.origin is not None and self.goes_on else None


_in_hand: Beside[TrainingInHand] = Beside()
_base: type | None = None
_validating: weakref.ref[Any] | None = None


def patch(module: ModuleType) -> Coverage:
    """Patches ``nnUNetTrainer``."""
    global _base
    _base = getattr(module, MODULES[MODULE], None)
    return no_class(module, MODULES[MODULE]) if _base is None else patch_all_or_nothing(_base, REQUIRED, OPTIONAL)


def training_in_hand(trainer: Any) -> TrainingInHand:
    """What is known of ``trainer``, from now on if nothing was."""
    return _in_hand.get(trainer) or _in_hand.put(trainer, TrainingInHand())


# ---------------------------------------------------------------- what happens around nnU-Net's methods


def _before_init(trainer: Any, args: tuple, kwargs: dict) -> None:
    arming.policy()
    if _base is not None:
        patch_overrides(type(trainer), _base, {**REQUIRED, **OPTIONAL})


def _before_start(trainer: Any, args: tuple, kwargs: dict) -> None:
    _before_init(trainer, args, kwargs)
    # A trainer that is started again is observed again: its loaders are new.
    training = training_in_hand(trainer)
    training.observed = False
    _go_on_from_own_steps(trainer, training)
    if training.witness is not None:
        training.witness.close()
        training.witness = None


def _go_on_from_own_steps(trainer: Any, training: TrainingInHand) -> None:
    """What this very object has trained is what it goes on from, unless it was given another network since."""
    if training.record is None or not training.steps:
        return
    own = training.network() if training.network is not None else None
    training.again = own is not None and own is bare(getattr(trainer, "network", None))
    training.origin = torch_io.Origin(record=record_of(trainer), no_record=None) if training.again else None
    training.steps = 0


def _after_start(trainer: Any, result: Any, args: tuple, kwargs: dict) -> None:
    observe_once(trainer)


def _before_step(trainer: Any, args: tuple, kwargs: dict) -> None:
    training = training_in_hand(trainer)
    if not training.observed:  # `on_train_start` was replaced without super()
        observe_once(trainer)
    if training.witness is not None and getattr(trainer, "current_epoch", 0) != training.epoch:
        settle(trainer)  # what the epoch that was watched has not shown is unknown
        judge_what_was_settled(trainer)
    if training.witness is not None:
        batch = args[0] if args else kwargs.get("batch")
        training.witness.before_step(getattr(trainer, "loss", None), batch)


def _after_step(trainer: Any, result: Any, args: tuple, kwargs: dict) -> None:
    training = training_in_hand(trainer)
    training.steps += 1
    if training.witness is not None:
        training.witness.after_step()
        if training.witness.done:
            settle(trainer)
            judge_what_was_settled(trainer)


def _before_save(trainer: Any, args: tuple, kwargs: dict) -> None:
    training = training_in_hand(trainer)
    training.saved = None
    if not training.observed:
        observe_once(trainer)
        return
    path = _path_of(args[0] if args else kwargs.get("filename"))
    if training.witness is not None and path is not None and path.name.startswith("checkpoint_final"):
        settle(trainer)
    _note_axes(trainer, training)
    policy = arming.policy()
    if policy is not None and policy.corrects:
        judge_what_was_settled(trainer)


def _after_save(trainer: Any, result: Any, args: tuple, kwargs: dict) -> None:
    if _decides(trainer):
        _write_copy(trainer, _path_of(args[0] if args else kwargs.get("filename")))
    _note_axes(trainer, training_in_hand(trainer))  # some set them in save_checkpoint itself
    judge_what_was_settled(trainer)


def _note_axes(trainer: Any, training: TrainingInHand) -> None:
    """Axes that were set again since they were judged: what goes into the checkpoint is what has to be judged."""
    if training.record is not None and not _same(trainer.inference_allowed_mirroring_axes, training.judged_axes):
        training.record = msgspec.structs.replace(training.record, axes=_declared(trainer))
        training.unjudged = True


def _after_load(trainer: Any, result: Any, args: tuple, kwargs: dict) -> None:
    training = training_in_hand(trainer)
    path = _path_of(args[0] if args else next(iter(kwargs.values()), None))
    training.again = False
    seen = torch_io.origin_of(bare(trainer.network).state_dict())
    training.origin = torch_io.origin_in_file(str(path)) if seen is None and path is not None else seen
    training.epoch = getattr(trainer, "current_epoch", 0)
    training.steps = 0


def _before_validation(trainer: Any, args: tuple, kwargs: dict) -> None:
    global _validating
    _before_init(trainer, args, kwargs)
    _validating = weakref.ref(trainer)
    training = training_in_hand(trainer)
    training.validations += 1
    contained("sharing the axes among ranks", _share_axes, trainer, training)


def _after_validation(trainer: Any, result: Any, args: tuple, kwargs: dict) -> None:
    global _validating
    _validating = None


STEP = Guard(before=_before_step, after=_after_step)
REQUIRED: Mapping[str, Guard] = {
    "on_train_start": Guard(before=_before_start, after=_after_start),
    "save_checkpoint": Guard(before=_before_save, after=_after_save),
}
OPTIONAL: Mapping[str, Guard] = {
    "__init__": Guard(before=_before_init, every_level=True),
    "run_training": Guard(before=_before_init),
    "load_checkpoint": Guard(after=_after_load),
    "train_step": STEP,
    "perform_actual_validation": Guard(before=_before_validation, after=_after_validation),
}


# ---------------------------------------------------------------- observe, judge, record


def observe_once(trainer: Any) -> None:
    """Observes a trainer whose loaders are there, judges it, and does what the mode says; on the first rank alone.

    Where the first rank raises, its process ends, and nnU-Net and torchrun end the others with it.

    Raises:
        InconsistencyError: the mode raises what was found. Both loaders are shut down before.
    """
    training = training_in_hand(trainer)
    loader = getattr(trainer, "dataloader_train", None)
    if training.observed or loader is None:
        return
    training.observed = True
    if not _decides(trainer):
        return
    guard_own_step(trainer)
    take_up(trainer, _observation_of(trainer))
    if os.environ.get(PREVIEW, "") not in ("", "0", "off") and not training.rehearsed:
        contained("drawing the preview", _write_preview, trainer)
    judge(trainer)


def guard_own_step(trainer: Any) -> None:
    """Guards a ``train_step`` that is set on the object itself: it runs in place of the class's, or around it."""
    held = vars(trainer).get("train_step")
    if held is not None and not is_ours(held):
        patch_on_object(trainer, "train_step", STEP)


def _observation_of(trainer: Any) -> Any:
    from .. import probe

    snapshot = augmenters.snapshot_of(trainer.dataloader_train)
    return contained("observing the training", probe.observe, trainer, snapshot)


def take_up(trainer: Any, observation: Any) -> None:
    """Goes by an observation (``None``: nnguard failed) from here on: record and witness."""
    from .. import probe

    training = training_in_hand(trainer)
    if observation is None:
        training.record = _unobserved(trainer)
        training.training = Training(subject=subject_of(trainer))
    else:
        training.record, training.training = observation.record, observation.training
    training.epoch = getattr(trainer, "current_epoch", 0)
    training.steps = 0
    network = bare(getattr(trainer, "network", None))
    training.network = weakref.ref(network) if network is not None else None
    if observation is not None:
        _appoint(trainer, training, contained("appointing the witness", probe.appoint_witness, trainer, observation))


def _write_preview(trainer: Any) -> None:
    from . import preview_picture  # imports pictures, which few trainings ask for

    try:
        preview_picture.write_preview(trainer, Path(trainer.output_folder) / preview_picture.FILE_NAME)
    except NNGuardError as error:  # a picture that cannot be drawn stops no training
        trainer.print_to_log_file(f"nnguard: {error}")


def _appoint(trainer: Any, training: TrainingInHand, witness: Any) -> None:
    """Takes the witness of the first steps, or records that nobody can watch what is pending."""
    if isinstance(witness, Mirroring):
        assert training.record is not None
        training.record = msgspec.structs.replace(training.record, mirroring=witness)
    else:
        training.witness = witness


def settle(trainer: Any) -> None:
    """Records what the witness has seen, and lets it go: later steps cost nothing."""
    training = training_in_hand(trainer)
    witness, training.witness = training.witness, None
    if witness is None or training.record is None:
        return
    witness.close()
    verdict = contained("the witness's verdict", witness.verdict)
    if verdict is not None and verdict != training.record.mirroring:
        training.record = msgspec.structs.replace(training.record, mirroring=verdict)
        training.unjudged = True


def judge_what_was_settled(trainer: Any) -> None:
    """Judges a training whose record the witness has changed.

    Raises:
        InconsistencyError: as ``observe_once``.
    """
    training = training_in_hand(trainer)
    if training.unjudged:
        training.unjudged = False
        judge(trainer)


def judge(trainer: Any) -> None:
    """Judges a trainer by its record as it is now: at the start, and again when something was settled or changed.

    Raises:
        InconsistencyError: as ``observe_once``.
    """
    training = training_in_hand(trainer)
    assert training.record is not None
    now = record_of(trainer)
    findings = findings_of(trainer)
    put_right = None
    if enforcement.is_to_be_put_right(findings, CORRECTABLE):
        put_right = _narrow(trainer, training, now or training.record)
    training.judged_axes = plain(trainer.inference_allowed_mirroring_axes)
    if not training.rehearsed:
        contained("writing into nnU-Net's log", _tell_log, trainer, findings)
        contained("the logger's config", _tell_config, trainer)
        contained("writing nnguard.json", _write_copy, trainer)
    enforcement.act(
        findings, put_right=put_right, righted=CORRECTABLE, before_raising=lambda: shut_loaders_down(trainer)
    )


def findings_of(trainer: Any) -> list[Finding]:
    """What the rules find about a trainer: about this training, and about all of its history together."""
    training = training_in_hand(trainer)
    if training.record is None or training.training is None:
        return []
    now = record_of(trainer)
    findings = check_training(training.record, training.training)
    if now is not None and now.mirroring != training.record.mirroring:
        known = {finding.code for finding in findings}
        findings += [found for found in check_training(now, training.training) if found.code not in known]
    trains_on = training.epoch < getattr(trainer, "num_epochs", 0)
    if trains_on and training.before is not None:
        findings += check_resumed(training.before, training.record, training.training.subject)
    return findings


def _narrow(trainer: Any, training: TrainingInHand, record: Record) -> str | None:
    declared = trainer.inference_allowed_mirroring_axes
    narrowed = narrowed_axes(record, declared)
    if same_axes(narrowed, declared) and narrowed is declared:
        return None
    try:
        trainer.inference_allowed_mirroring_axes = narrowed
    except AttributeError:
        return None
    if not _same(trainer.inference_allowed_mirroring_axes, narrowed):
        return None  # a property, which says what it likes
    assert training.record is not None
    axes = AxesHistory(
        declared=plain(declared), effective=plain(narrowed), changed_by="correct", changed_at=timestamp()
    )
    before = training.before
    if before is not None and before.axes.changed_by == "correct" and same_axes(before.axes.effective, narrowed):
        # What was validated since it was first put right is not stale because the training goes on.
        axes = msgspec.structs.replace(axes, changed_at=before.axes.changed_at)
    training.record = msgspec.structs.replace(training.record, axes=axes)
    return f"inference_allowed_mirroring_axes is {written(narrowed)} from now on, in validation and every checkpoint."


def record_of(trainer: Any) -> Record | None:
    """The record that a checkpoint written now would get: this training's, with what came before it.

    ``None`` where nothing was observed, unless it came with a loaded checkpoint that was not trained on here.
    """
    training = _in_hand.get(trainer)
    if training is None:
        return None
    if training.record is None:
        return training.origin.record if training.origin is not None and not training.steps else None
    own = Segment(
        epoch=training.epoch,
        steps=training.steps,
        fingerprint=training.record.segments[-1].fingerprint if training.record.segments else None,
        mirroring=training.record.mirroring,
    )
    segments = bounded(merged([*_earlier(trainer, training), own]))
    axes = training.record.axes
    effective = plain(trainer.inference_allowed_mirroring_axes)
    if not _same(effective, axes.effective):
        axes = _declared(trainer)
    return msgspec.structs.replace(
        training.record,
        written_at=timestamp(),
        axes=axes,
        segments=segments,
        mirroring=mixture(segments),
        apart=_apart(training),
        parent=_parent(trainer, training),
    )


def _apart(training: TrainingInHand) -> Apart | None:
    """What was seen of images flipped apart from their targets, now or in what this training goes on from."""
    told = training.training
    if told is not None and training.record is not None and told.apart:
        return Apart(draws=told.apart, clean=training.record.mirroring.clean)
    return training.before.apart if training.before is not None else None


def record_text_for(checkpoint: Mapping[str, Any]) -> str | None:
    """The record of the one live trainer that this checkpoint is of; ``None`` where it is none's or anybody's."""
    owners = list(_owners(checkpoint))
    if len(owners) != 1:
        return None
    record = record_of(owners[0])
    axes = plain(checkpoint.get(torch_io.AXES_KEY, _UNSAID))
    if record is not None and axes != _UNSAID and not _same(axes, record.axes.effective):
        # A save_checkpoint of its own writes what it likes: the record tells of the file.
        record = msgspec.structs.replace(record, axes=AxesHistory(declared=axes, effective=axes))
    training = training_in_hand(owners[0])
    training.saved, training.saved_text = record, record.to_json() if record is not None else None
    return training.saved_text


def trainer_of(network: Any) -> Any:
    """The live trainer whose network this is."""
    for trainer, _training in _in_hand.items():
        own = getattr(trainer, "network", None)
        if own is not None and bare(own) is bare(network):
            return trainer
    return None


def trainer_validating(name: str | None) -> Any:
    """The trainer that is validating, where its class has this name."""
    running = _validating() if _validating is not None else None
    return running if running is not None and type(running).__name__ == name else None


def subject_of(trainer: Any) -> str:
    """The training for people, as ``Training.subject`` names it."""
    training = _in_hand.get(trainer)
    if training is not None and training.training is not None:
        return training.training.subject
    return name_of_trainer(trainer)


def shut_loaders_down(trainer: Any) -> None:
    """Ends both loaders' workers. nnU-Net 2.4 hangs and 2.5 takes a minute if an error leaves them running."""
    for name in ("dataloader_train", "dataloader_val"):
        finish = getattr(getattr(trainer, name, None), "_finish", None)
        if callable(finish):
            contained(f"shutting {name} down", finish)


# ---------------------------------------------------------------- small parts


def _owners(checkpoint: Mapping[str, Any]) -> Iterator[Any]:
    alive = [trainer for trainer, _training in _in_hand.items()]
    init_args = checkpoint["init_args"]
    same = [trainer for trainer in alive if getattr(trainer, "my_init_kwargs", None) is init_args]
    if same:
        yield from same
        return
    # A subclass may save a copy. What was loaded, edited and is saved again is another training's, however alike.
    if CHECKPOINT_KEY in checkpoint or torch_io.loaded_with(checkpoint[torch_io.WEIGHTS_KEY]):
        return
    for trainer in alive:
        if type(trainer).__name__ == checkpoint["trainer_name"] and trainer.my_init_kwargs == init_args:
            yield trainer


def _earlier(trainer: Any, training: TrainingInHand) -> list[Segment]:
    origin = training.origin
    if origin is None or not training.goes_on:
        return []
    steps = training.epoch * getattr(trainer, "num_iterations_per_epoch", 1)
    return earlier(origin.record, origin.no_record, steps)


def _parent(trainer: Any, training: TrainingInHand) -> dict[str, Any] | None:
    if training.goes_on:
        return training.before.parent if training.before is not None else None
    return parent_training.parents.get(bare(getattr(trainer, "network", None)))


def _unobserved(trainer: Any) -> Record:
    plans = getattr(trainer, "plans_manager", None)
    return Record(
        nnguard=__version__,
        written_at=timestamp(),
        trainer=TrainerIdentity(class_=type(trainer).__name__, module=type(trainer).__module__),
        dataset=getattr(plans, "dataset_name", None),
        plans=getattr(plans, "plans_name", None),
        configuration=getattr(trainer, "configuration_name", None),
        fold=getattr(trainer, "fold", None),
        axes=_declared(trainer),
        mirroring=Mirroring(state="unknown", reasons=["nnguard itself failed while observing this training"]),
    )


def _tell_log(trainer: Any, findings: list[Any]) -> None:
    from ..report.text import findings_text, record_block

    record = record_of(trainer)
    if record is not None:
        trainer.print_to_log_file(record_block(record), add_timestamp=False)
    if findings:
        # The console shows these as warnings or as the error; the log is where people look a month later.
        trainer.print_to_log_file(findings_text(findings), also_print_to_console=False, add_timestamp=False)


def _tell_config(trainer: Any) -> None:
    # W&B refuses a changed value on resume, so only a fresh training tells, and only what its code decides.
    update = getattr(getattr(trainer, "logger", None), "update_config", None)
    record = record_of(trainer)
    if callable(update) and record is not None and training_in_hand(trainer).epoch == 0:
        safe = record.mirroring.safe_axes
        update(
            {
                "nnguard": {
                    "declared_axes": written(record.axes.declared),
                    "effective_axes": written(record.axes.effective),
                    "safe_axes": written(safe) if safe is not None else record.mirroring.state,
                }
            }
        )


def _write_copy(trainer: Any, saved: Path | None = None) -> None:
    """Writes ``nnguard.json``; ``saved`` is the checkpoint that was just written."""
    training = training_in_hand(trainer)
    folder = getattr(trainer, "output_folder", None)
    record = (training.saved if saved is not None else None) or record_of(trainer)
    if record is None or not folder:
        return
    if training.weights is None:
        training.weights = sidecar.known_weights(Path(folder))
    if saved is not None and training.saved is not None:
        weights = sidecar.saved_weights(saved, record.written_at)
        training.weights.pop(saved.name, None)
        training.weights.update({saved.name: weights} if weights is not None else {})
    text = training.saved_text if record is training.saved else None
    sidecar.write_copy(Path(folder), record, training.weights, text)


def _path_of(source: Any) -> Path | None:
    """The path, where it was one. Whether a file is there is asked where it is used: after a save that costs .1 ms."""
    return Path(os.fspath(source)) if isinstance(source, (str, os.PathLike)) else None


def is_left_to_the_first_rank(network: Any) -> bool:
    """Whether this network is trained here by another rank than the first, which decides for all."""
    trainer = trainer_of(network)
    return trainer is not None and not _decides(trainer) and training_in_hand(trainer).observed


def _share_axes(trainer: Any, training: TrainingInHand) -> None:
    """The first rank tells the axes that it decided on; the others take them over."""
    place = f"axes/{type(trainer).__name__}/{getattr(trainer, 'fold', None)}/{training.validations}"
    if _decides(trainer):
        ranks.tell(place, plain(trainer.inference_allowed_mirroring_axes))
    elif training.observed:  # not where weights are only validated: each rank judges what it has loaded
        told = ranks.told(place)
        if told is msgspec.UNSET:
            say(f"rank {trainer.local_rank} was not told which axes rank 0 mirrors along, and goes on with its own")
        elif not _same(told, trainer.inference_allowed_mirroring_axes):
            trainer.inference_allowed_mirroring_axes = plain(told)


def _decides(trainer: Any) -> bool:
    """Whether this is the first rank, which observes, watches, decides and writes."""
    return getattr(trainer, "local_rank", 0) == 0


def _declared(trainer: Any) -> AxesHistory:
    axes = plain(trainer.inference_allowed_mirroring_axes)
    return AxesHistory(declared=axes, effective=axes)


def _same(first: Any, second: Any) -> bool:
    return plain(first) == plain(second)


def bare(network: Any) -> Any:
    """The network inside DistributedDataParallel and torch.compile, in whatever order they were put around it."""
    while type(network).__name__ in _WRAPPERS:
        inside = network.__dict__["_modules"]
        network = inside["_orig_mod"] if "_orig_mod" in inside else inside["module"]
    return network


#: Stands for axes that a checkpoint does not have; ``None`` means "no mirroring".
_UNSAID = "no axes"

_WRAPPERS = ("DistributedDataParallel", "DataParallel", "OptimizedModule")
