"""Every trainer that the installed nnU-Net ships, as it is and with its mirrors dropped, and what is observed of it."""

from __future__ import annotations

import importlib
import io
import pickle
import pkgutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from nnguard.probe import observe
from nnguard.probe.library_transforms import changes_only_intensity, train_step_of_a_stranger
from nnguard.probe.observation import case_of
from nnguard.probe.pipeline import locate
from nnguard.rules.checks import check_training
from tests.support.trainers import trainer_class, trainer_on

#: These ask for a GPU when they are constructed.
NEED_A_GPU = {"nnUNetTrainerBenchmark_5epochs", "nnUNetTrainerBenchmark_5epochs_noDataLoading"}

#: Trainers whose pipeline holds Rot90 and Transpose: on equal sides a quarter turn of a transposed patch is a
#: mirror, so dropping MirrorTransform leaves flips that are truly shown, about an eighth as often as the plain view.
HIDE_MIRRORS = "DA5"

#: Advice counts only where flips truly remain at half of the threshold or more, too close for 512 samples to settle.
CLOSE = 0.05


class Observed(NamedTuple):
    """Of one trainer: its declared axes, the harmful codes, whether untrained axes were told (as advice, where 512
    samples leave a rate too close to a tenth to call), the single flips' rates against the plain view."""

    declared: tuple[int, ...] | None
    harmful: list[str]
    told: bool
    rates: dict[int, float]


class Swept(NamedTuple):
    """What was seen of ``trainers`` many, whose pipelines, with and without mirrors, are of ``pipelines`` kinds.

    ``accused``: names with what was wrongly found. ``found`` counts the dropped mirrors that were found; ``missed``
    names those that were not, ``hidden`` with the flips that truly remain. ``broken`` names the trainers whose own
    loader cannot draw a batch: nobody can train with them.
    """

    trainers: int
    pipelines: int
    found: int
    accused: dict[str, list[str]]
    missed: list[str]
    hidden: dict[str, dict[int, float]]
    broken: list[str]


def built_in_trainers() -> list[type]:
    """The trainer classes below ``nnunetv2.training.nnUNetTrainer`` that can be constructed on the CPU, by name."""
    import nnunetv2.training.nnUNetTrainer as package

    base = trainer_class("nnUNetTrainer")
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
    found, queue = {}, [base]
    while queue:
        trainer = queue.pop()
        queue += trainer.__subclasses__()
        if trainer.__module__.startswith("nnunetv2.") and trainer.__name__ not in NEED_A_GPU:
            found[trainer.__name__] = trainer
    return [found[name] for name in sorted(found)]


def mirrors_dropped(trainer: type) -> type:
    """The bug: whatever mirror axes the trainer asks for are lost on the way into its transforms."""

    def get_training_transforms(patch_size, rotation, scales, mirror_axes, *more, **options):
        return trainer.get_training_transforms(patch_size, rotation, scales, None, *more, **options)

    return type(
        trainer.__name__,
        (trainer,),
        {
            "get_training_transforms": staticmethod(get_training_transforms),
            "__init__": trainer.__init__,
            "__module__": __name__,
        },
    )


class _Written(pickle.Pickler):
    """Writes what may turn a volume. nnU-Net's blur keeps timings of its own, and DA5's gradients hold lambdas."""

    def persistent_id(self, thing: Any) -> str | None:
        if changes_only_intensity(thing):
            return type(thing).__qualname__
        # PyTorch names storages by where they lie.
        return f"{thing.dtype} {thing.tolist()}" if hasattr(thing, "untyped_storage") else None


def pipeline_key(trainer: Any) -> bytes | None:
    """All that a trainer's observation follows from; ``None`` where it cannot be written down.

    Most built-in trainers change the loss or the schedule and leave the data alone. Draws are seeded, so a pipeline of
    the same bytes would show the same again, a second or two later.
    """
    pipeline = locate(trainer.dataloader_train)
    stages = [(stage.where, stage.unit, stage.transform) for stage in pipeline.stages]
    declared = trainer.inference_allowed_mirroring_axes
    rest = (case_of(trainer, pipeline), declared, train_step_of_a_stranger(trainer), pipeline.blind)
    written = io.BytesIO()
    try:
        _Written(written).dump((stages, repr(rest)))
    except (pickle.PicklingError, AttributeError, TypeError):
        return None
    return written.getvalue()


def observed(kind: str, folder: Path, trainer: type, known: dict[bytes, Observed]) -> Observed | None:
    """Observes ``trainer`` on the dataset ``kind`` (``disc_datasets.KINDS``), or finds its pipeline among ``known``.

    Returns:
        ``None`` for a trainer that could not be observed, and whose own loader cannot draw a batch either.

    Raises:
        AssertionError: the record's state is not ``observed``, and the trainer trains.
    """
    with trainer_on(kind, folder, trainer) as made:
        key = pipeline_key(made)
        if key is not None and key in known:
            return known[key]
        observation = observe(made)
        declared = made.inference_allowed_mirroring_axes
        mirroring = observation.record.mirroring
        if mirroring.state != "observed" and _cannot_train(made):
            return None
    assert mirroring.state == "observed", (trainer.__name__, mirroring.reasons)
    findings = check_training(observation.record, observation.training)
    harmful = [finding.code for finding in findings if finding.severity == "harmful"]
    told = "NNG103" in [finding.code for finding in findings]
    rates = {flip.axes[0]: flip.rate / mirroring.plain_rate for flip in mirroring.flips if len(flip.axes) == 1}
    result = Observed(declared, harmful, told, rates)
    if key is not None:
        known[key] = result
    return result


def _cannot_train(trainer: Any) -> bool:
    try:
        next(trainer.dataloader_train)
    except (KeyError, TypeError, AttributeError, ValueError, RuntimeError):
        return True
    return False


def swept(kind: str, folder: Path, trainers: Sequence[type]) -> Swept:
    """Observes each trainer as it is, which must not be accused, and with its mirrors dropped, which must be found."""
    found, accused, missed, hidden, broken = 0, {}, [], {}, []
    known: dict[bytes, Observed] = {}
    for trainer in trainers:
        name = trainer.__name__
        as_it_is = observed(kind, folder, trainer, known)
        dropped = observed(kind, folder, mirrors_dropped(trainer), known)
        if as_it_is is None or dropped is None:
            broken.append(name)
            continue
        if as_it_is.harmful:
            accused[name] = as_it_is.harmful
        assert dropped.declared == as_it_is.declared
        close = all(dropped.rates[axis] >= CLOSE for axis in dropped.declared or ())
        if dropped.harmful or (dropped.told and close):
            found += 1
        elif dropped.declared:
            # Only a mirror that truly remains may excuse it, and only at the rate that it has.
            if HIDE_MIRRORS in name and all(dropped.rates[axis] >= 0.1 for axis in dropped.declared):
                hidden[name] = {axis: round(rate, 3) for axis, rate in dropped.rates.items()}
            else:
                missed.append(name)
    return Swept(len(trainers), len(known), found, accused, missed, hidden, broken)
