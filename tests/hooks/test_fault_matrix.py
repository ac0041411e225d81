"""A fault of ours at each guarded place, one at a time: nnU-Net trains and predicts the same, bit for bit."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch

import nnguard
from nnguard.hooks import patching
from tests.support.trainers import validating_predictor

IMAGE = np.random.default_rng(1).normal(size=(1, 1, 64, 64)).astype(np.float32)
PROPERTIES = {"spacing": (999.0, 1.0, 1.0)}

#: Every guarded place that training without workers passes through, and predicting.
TRAINING = (
    "nnUNetTrainer.__init__",
    "nnUNetTrainer.run_training",
    "nnUNetTrainer.on_train_start",
    "nnUNetTrainer.train_step",
    "nnUNetTrainer.save_checkpoint",
    "nnUNetTrainer.load_checkpoint",
    "nnUNetTrainer.perform_actual_validation",
    "nnunetv2.run.load_pretrained_weights.load_pretrained_weights",
    "torch.save",
)
PREDICTING = (
    "nnUNetPredictor.__init__",
    "nnUNetPredictor.manual_initialization",
    "nnUNetPredictor.initialize_from_trained_model_folder",
    "nnUNetPredictor.predict_single_npy_array",
    "nnUNetPredictor.predict_sliding_window_return_logits",
    "nnUNetPredictor._internal_maybe_mirror_and_predict",
    "torch.load",
)
PLACES = (*TRAINING, *PREDICTING)
FAULTS = (ValueError, RecursionError, MemoryError)


@pytest.fixture(scope="module")
def own(base):
    """nnU-Net's trainer, seeded, its blur's method pinned, with a validation of its own as many have."""
    from batchgeneratorsv2.transforms.noise.gaussian_blur import GaussianBlurTransform
    from nnunetv2.run import load_pretrained_weights, run_training  # noqa: F401 - to be patched when the guard is armed

    class nnUNetTrainer(base):
        @staticmethod
        def get_training_transforms(*arguments, **options):
            composed = base.get_training_transforms(*arguments, **options)
            for step in composed.transforms:
                inner = getattr(step, "transform", step)
                if isinstance(inner, GaussianBlurTransform):
                    inner.benchmark = False
            return composed

        def perform_actual_validation(self):
            self.set_deep_supervision_enabled(False)
            predictor = validating_predictor(self)
            self.validated = predictor.predict_sliding_window_return_logits(torch.from_numpy(IMAGE))
            self.set_deep_supervision_enabled(True)

    return nnUNetTrainer


@pytest.fixture
def journeys(new_trainer, own, model_folders, new_predictor):
    """Two functions: what comes of training, and what comes of predicting."""
    from nnunetv2.run import load_pretrained_weights

    def small(made):
        made.num_iterations_per_epoch = 1
        made.configuration_manager.configuration["batch_size"] = 2
        return made

    def train():
        random.seed(3), np.random.seed(3), torch.manual_seed(3)
        trained = small(new_trainer(own))
        trained.run_training()
        trained.perform_actual_validation()
        saved = str(Path(trained.output_folder) / "checkpoint_final.pth")
        resumed, tuned = small(new_trainer(own)), small(new_trainer(own))
        resumed.load_checkpoint(saved)
        tuned.initialize()
        load_pretrained_weights.load_pretrained_weights(tuned.network, saved)
        weights = [value for made in (resumed, tuned) for value in made.network.state_dict().values()]
        return [*weights, trained.validated]

    def predict():
        made = new_predictor()
        made.initialize_from_trained_model_folder(str(model_folders["sound"]), (0,), "checkpoint_final.pth")
        from_folder = made.predict_single_npy_array(IMAGE, dict(PROPERTIES))
        by_hand = new_predictor()
        by_hand.manual_initialization(
            made.network,
            made.plans_manager,
            made.configuration_manager,
            made.list_of_parameters,
            made.dataset_json,
            made.trainer_name,
            made.allowed_mirroring_axes,
        )
        return [torch.from_numpy(from_folder), by_hand.predict_sliding_window_return_logits(torch.from_numpy(IMAGE))]

    return {"train": train, "predict": predict}


def of(place):
    return "train" if place in TRAINING else "predict"


@pytest.fixture(scope="module")
def expected():
    """What comes of each journey without a guard; made by the first test that asks."""
    return {}


def assert_as_unguarded(journeys, name, came, expected):
    if name not in expected:
        nnguard.uninstall()
        expected[name] = [value.clone() for value in journeys[name]()]
    assert len(came) == len(expected[name])
    assert all(torch.equal(one, other) for one, other in zip(came, expected[name], strict=True))


def fail_at(place, when, fault):
    """Makes our side of one place raise; a class and its parent, of one name, are one place."""

    def fail(*_arguments):
        raise fault

    made = [patch for patch in patching.patches() if patch.place == place]
    assert made, f"{place} is not guarded"
    for patch in made:
        setattr(patch, when, fail)


@pytest.mark.slow
def test_the_matrix_names_every_guarded_place_of_the_journey(guard, new_trainer, own):
    guard("warn")
    new_trainer(own)
    guarded = {patch.place for patch in patching.patches()}
    other_ways_to_predict = {place for place in guarded if place.startswith("nnUNetPredictor.predict_")}
    starts_workers = {"NonDetMultiThreadedAugmenter._start", "MultiThreadedAugmenter._start"}
    # nnU-Net's command holds the same function by another name.
    twice = {"nnunetv2.run.run_training.load_pretrained_weights"}
    assert guarded - other_ways_to_predict - starts_workers - twice == set(PLACES) - other_ways_to_predict


@pytest.mark.slow
@pytest.mark.parametrize("name", ["train", "predict"])
def test_what_is_guarded_without_fault_is_as_unguarded(guard, journeys, expected, name):
    guard("exact")
    assert_as_unguarded(journeys, name, journeys[name](), expected)


@pytest.mark.slow
@pytest.mark.expects_internal_error
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("place", PLACES)
def test_a_fault_at_one_place_changes_no_bit_and_is_one_event(
    guard, new_trainer, own, journeys, expected, place, when, fault
):
    guard("warn")
    new_trainer(own)
    fail_at(place, when, fault("ours"))
    came = journeys[of(place)]()
    assert [(error.place, error.kind) for error in patching.swallowed] == [(f"{place} {when}", fault.__name__)]
    assert_as_unguarded(journeys, of(place), came, expected)


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("place", PLACES)
def test_an_interrupt_at_any_place_reaches_the_user(guard, new_trainer, own, journeys, place, when):
    guard("warn")
    new_trainer(own)
    fail_at(place, when, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt) as raised:
        journeys[of(place)]()
    assert raised.value.__context__ is None
