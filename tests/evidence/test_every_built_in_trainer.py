"""Every trainer that nnU-Net ships, in 2D, isotropic and anisotropic 3D, as it is and with its mirrors dropped."""

from __future__ import annotations

import importlib
import pkgutil

import pytest

from nnguard.evidence import observe
from nnguard.rules.mirroring import check_training
from trainers import trainer_class, trainer_on

#: These two ask for a GPU when they are constructed.
NEED_A_GPU = {"nnUNetTrainerBenchmark_5epochs", "nnUNetTrainerBenchmark_5epochs_noDataLoading"}

#: Trainers whose pipeline holds Rot90 and Transpose: on equal sides a quarter turn of a transposed patch is a
#: mirror, so dropping MirrorTransform leaves flips that are truly shown, about an eighth as often as the plain view.
HIDE_MIRRORS = "DA5"


def built_in_trainers():
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


def mirrors_dropped(trainer):
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


def observed(kind, folder, trainer):
    """(declared axes, harmful codes, single flips seen with their rate against the plain view)."""
    with trainer_on(kind, folder, trainer) as made:
        observation = observe(made)
        declared = made.inference_allowed_mirroring_axes
    mirroring = observation.record.mirroring
    assert mirroring.state == "observed", (trainer.__name__, mirroring.reasons)
    harmful = [f.code for f in check_training(observation.record, observation.training) if f.severity == "harmful"]
    rates = {flip.axes[0]: flip.rate / mirroring.plain_rate for flip in mirroring.flips if len(flip.axes) == 1}
    return declared, harmful, rates


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("kind", ["2d", "isotropic", "anisotropic"])
def test_no_built_in_trainer_is_accused_and_every_dropped_mirror_is_found(kind, tmp_path):
    trainers = built_in_trainers()
    assert len(trainers) >= 75
    accused, missed, hidden = {}, [], {}
    for trainer in trainers:
        declared, harmful, _ = observed(kind, tmp_path, trainer)
        if harmful:
            accused[trainer.__name__] = harmful
        declared_after, harmful_after, rates = observed(kind, tmp_path, mirrors_dropped(trainer))
        assert declared_after == declared
        if declared and not harmful_after:
            # Only a mirror that truly remains may excuse it, and only at the rate that it has.
            truly = HIDE_MIRRORS in trainer.__name__ and all(rates[axis] >= 0.1 for axis in declared)
            (hidden.__setitem__(trainer.__name__, rates) if truly else missed.append(trainer.__name__))
    print({name: {axis: round(rate, 3) for axis, rate in rates.items()} for name, rates in hidden.items()})
    assert accused == {}
    assert missed == []
