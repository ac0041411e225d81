"""Guards around ``nnUNetTrainer``: they observe, record and check a training as it starts, steps, saves, resumes."""

from __future__ import annotations

import os
import weakref
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from _nnguard_start import say

from .. import arming
from ..axes import plain_axes as plain
from ..findings import Finding
from ..nnunet import bare_network
from ..record import Mirroring, Record, TrainerIdentity, timestamp
from ..rules.checks import check_training
from ..rules.nng107_augmentation_changed import check_resumed
from ..rules.subjects import Training
from ..settings import Settings
from ..version import __version__
from . import augmenters, enforcement, origins, ranks, sidecar
from .axes_correction import narrow_declared_axes
from .live_trainings import (
    LiveTraining,
    decides,
    declared_axes,
    live_training,
    note_validation,
    record_of,
    same_plain,
    subject_of,
)
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
from .training_log import draw_preview, tell_config, tell_log

MODULE = "nnunetv2.training.nnUNetTrainer.nnUNetTrainer"
MODULES = {MODULE: "nnUNetTrainer"}

#: Findings that narrowing the declared axes puts right.
CORRECTABLE = ("NNG103", "NNG105", "NNG106")


_base: type | None = None


def patch(module: ModuleType) -> Coverage:
    """Patches ``nnUNetTrainer``."""
    global _base
    _base = getattr(module, MODULES[MODULE], None)
    return no_class(module, MODULES[MODULE]) if _base is None else patch_all_or_nothing(_base, REQUIRED, OPTIONAL)


# ---------------------------------------------------------------- what happens around nnU-Net's methods


def _before_init(trainer: Any, args: tuple, kwargs: dict) -> None:
    arming.policy()
    if _base is not None:
        patch_overrides(type(trainer), _base, {**REQUIRED, **OPTIONAL})


def _before_start(trainer: Any, args: tuple, kwargs: dict) -> None:
    _before_init(trainer, args, kwargs)
    # A trainer that starts again is observed again, because its loaders are new.
    training = live_training(trainer)
    training.observed = False
    _go_on_from_own_steps(trainer, training)
    if training.witness is not None:
        training.witness.close()
        training.witness = None


def _go_on_from_own_steps(trainer: Any, training: LiveTraining) -> None:
    """A second start goes on from what this object has trained, unless it got another network in between."""
    if training.record is None or not training.steps:
        return
    own = training.network() if training.network is not None else None
    training.again = own is not None and own is bare_network(getattr(trainer, "network", None))
    training.origin = origins.Origin(record=record_of(trainer), no_record=None) if training.again else None
    training.steps = 0


def _after_start(trainer: Any, result: Any, args: tuple, kwargs: dict) -> None:
    observe_once(trainer)


def _before_step(trainer: Any, args: tuple, kwargs: dict) -> None:
    training = live_training(trainer)
    if not training.observed:  # `on_train_start` was replaced without super()
        observe_once(trainer)
    if training.witness is not None and getattr(trainer, "current_epoch", 0) != training.epoch:
        settle(trainer)  # what the watched epoch did not show is unknown
        judge_what_was_settled(trainer)
    if training.witness is not None:
        batch = args[0] if args else kwargs.get("batch")
        training.witness.before_step(getattr(trainer, "loss", None), batch)


def _after_step(trainer: Any, result: Any, args: tuple, kwargs: dict) -> None:
    training = live_training(trainer)
    training.steps += 1
    if training.witness is not None:
        training.witness.after_step()
        if training.witness.done:
            settle(trainer)
            judge_what_was_settled(trainer)


def _before_save(trainer: Any, args: tuple, kwargs: dict) -> None:
    training = live_training(trainer)
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
    if decides(trainer):
        sidecar.write_copy_of(trainer, _path_of(args[0] if args else kwargs.get("filename")))
    _note_axes(trainer, live_training(trainer))  # some trainers set them in save_checkpoint itself
    judge_what_was_settled(trainer)


def _note_axes(trainer: Any, training: LiveTraining) -> None:
    """Notes axes that were set since the last check, because the rules must see what goes into the checkpoint."""
    if training.record is not None and not same_plain(trainer.inference_allowed_mirroring_axes, training.judged_axes):
        training.record = msgspec.structs.replace(training.record, axes=declared_axes(trainer))
        training.unjudged = True


def _after_load(trainer: Any, result: Any, args: tuple, kwargs: dict) -> None:
    training = live_training(trainer)
    path = _path_of(args[0] if args else next(iter(kwargs.values()), None))
    training.again = False
    seen = origins.origin_of(bare_network(trainer.network).state_dict())
    training.origin = origins.origin_in_file(str(path)) if seen is None and path is not None else seen
    training.epoch = getattr(trainer, "current_epoch", 0)
    training.steps = 0


def _before_validation(trainer: Any, args: tuple, kwargs: dict) -> None:
    _before_init(trainer, args, kwargs)
    note_validation(trainer)
    training = live_training(trainer)
    training.validations += 1
    contained("sharing the axes among ranks", _share_axes, trainer, training)


def _after_validation(trainer: Any, result: Any, args: tuple, kwargs: dict) -> None:
    note_validation(None)


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
    """Observes a trainer that has its loaders, checks it, and does what the mode says; on the first rank alone.

    If the first rank raises, its process ends, and nnU-Net and torchrun end the other ranks.

    Raises:
        InconsistencyError: the mode raises what was found. Both loaders are shut down before.
    """
    training = live_training(trainer)
    loader = getattr(trainer, "dataloader_train", None)
    if training.observed or loader is None:
        return
    training.observed = True
    if not decides(trainer):
        return
    guard_own_step(trainer)
    take_up(trainer, _observation_of(trainer))
    if Settings.from_environment().preview and not training.rehearsed:
        contained("drawing the preview", draw_preview, trainer)
    judge(trainer)


def guard_own_step(trainer: Any) -> None:
    """Guards a ``train_step`` that somebody assigned to the object, because it runs instead of the class's."""
    held = vars(trainer).get("train_step")
    if held is not None and not is_ours(held):
        patch_on_object(trainer, "train_step", STEP)


def _observation_of(trainer: Any) -> Any:
    from .. import probe

    snapshot = augmenters.snapshot_of(trainer.dataloader_train)
    return contained("observing the training", probe.observe, trainer, snapshot)


def take_up(trainer: Any, observation: Any) -> None:
    """Takes record and witness from an observation; ``None`` if nnguard failed to observe."""
    from .. import probe

    training = live_training(trainer)
    if observation is None:
        training.record = _unobserved(trainer)
        training.training = Training(subject=subject_of(trainer))
    else:
        training.record, training.training = observation.record, observation.training
    training.epoch = getattr(trainer, "current_epoch", 0)
    training.steps = 0
    network = bare_network(getattr(trainer, "network", None))
    training.network = weakref.ref(network) if network is not None else None
    if observation is not None:
        _appoint(trainer, training, contained("appointing the witness", probe.appoint_witness, trainer, observation))


def _appoint(trainer: Any, training: LiveTraining, witness: Any) -> None:
    """Takes the witness of the first steps, or records the reason why there can be none."""
    if isinstance(witness, Mirroring):
        assert training.record is not None
        training.record = msgspec.structs.replace(training.record, mirroring=witness)
    else:
        training.witness = witness


def settle(trainer: Any) -> None:
    """Records what the witness has seen, and removes it, so that later steps cost nothing."""
    training = live_training(trainer)
    witness, training.witness = training.witness, None
    if witness is None or training.record is None:
        return
    witness.close()
    verdict = contained("the witness's verdict", witness.verdict)
    if verdict is not None and verdict != training.record.mirroring:
        training.record = msgspec.structs.replace(training.record, mirroring=verdict)
        training.unjudged = True


def judge_what_was_settled(trainer: Any) -> None:
    """Checks a training whose record has changed since the last check.

    Raises:
        InconsistencyError: as ``observe_once``.
    """
    training = live_training(trainer)
    if training.unjudged:
        training.unjudged = False
        judge(trainer)


def judge(trainer: Any) -> None:
    """Checks a trainer by its present record: at the start, and again if something was settled or changed.

    Raises:
        InconsistencyError: as ``observe_once``.
    """
    training = live_training(trainer)
    assert training.record is not None
    now = record_of(trainer)
    findings = findings_of(trainer)
    put_right = None
    if enforcement.is_to_be_put_right(findings, CORRECTABLE):
        put_right = narrow_declared_axes(trainer, training, now or training.record)
    training.judged_axes = plain(trainer.inference_allowed_mirroring_axes)
    if not training.rehearsed:
        contained("writing into nnU-Net's log", tell_log, trainer, findings)
        contained("the logger's config", tell_config, trainer)
        contained("writing nnguard.json", sidecar.write_copy_of, trainer)
    enforcement.act(
        findings, put_right=put_right, righted=CORRECTABLE, before_raising=lambda: shut_loaders_down(trainer)
    )


def findings_of(trainer: Any) -> list[Finding]:
    """What the rules find about this part of the training, and about all its parts together."""
    training = live_training(trainer)
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


def shut_loaders_down(trainer: Any) -> None:
    """Ends both loaders' workers. nnU-Net 2.4 hangs and 2.5 takes a minute if an error leaves them running."""
    for name in ("dataloader_train", "dataloader_val"):
        finish = getattr(getattr(trainer, name, None), "_finish", None)
        if callable(finish):
            contained(f"shutting {name} down", finish)


# ---------------------------------------------------------------- small parts


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
        axes=declared_axes(trainer),
        mirroring=Mirroring(state="unknown", reasons=["nnguard itself failed while observing this training"]),
    )


def _path_of(source: Any) -> Path | None:
    """The path; ``None`` if it is none. It does not look for the file, because that costs 0.1 ms after a save."""
    return Path(os.fspath(source)) if isinstance(source, (str, os.PathLike)) else None


def _share_axes(trainer: Any, training: LiveTraining) -> None:
    """The first rank shares the axes that it decided on; the other ranks take them over."""
    place = f"axes/{type(trainer).__name__}/{getattr(trainer, 'fold', None)}/{training.validations}"
    if decides(trainer):
        ranks.tell(place, plain(trainer.inference_allowed_mirroring_axes))
    elif training.observed:  # with `--val` alone, each rank checks what it has loaded
        told = ranks.told(place)
        if told is msgspec.UNSET:
            say(f"rank {trainer.local_rank} was not told which axes rank 0 mirrors along, and goes on with its own")
        elif not same_plain(told, trainer.inference_allowed_mirroring_axes):
            trainer.inference_allowed_mirroring_axes = plain(told)
