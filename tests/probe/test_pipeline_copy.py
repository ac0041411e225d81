"""Copies of pipelines, and the randomness that is put back."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from nnguard.probe.pipeline_copy import (
    Identity,
    copied,
    generators_in,
    one_thread,
    seed_everything,
    untouched_randomness,
    with_identities,
)
from tests.support.pipelines import FlipBoth, OwnGenerator, composed, mirror


class Holds:
    def __init__(self, **attributes):
        self.__dict__.update(attributes)

    def __call__(self, **data):
        return data


class ANetwork(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(2))

    def __deepcopy__(self, memo):
        raise AssertionError("networks are shared, not copied")


class ATrainer:
    def __init__(self):
        self.network = ANetwork()

    def run_training(self):
        pass

    def __deepcopy__(self, memo):
        raise AssertionError("trainers are shared, not copied")


def test_networks_and_trainers_are_shared_and_the_rest_is_copied():
    trainer = ATrainer()
    original = Holds(trainer=trainer, inner=[Holds(network=trainer.network)], axes=[0, 1])
    copy = copied(original)
    assert copy.trainer is trainer
    assert copy.inner[0].network is trainer.network
    assert copy.axes == [0, 1]
    assert copy.axes is not original.axes


def test_torch_generators_are_copied_with_their_state():
    original = Holds(generator=torch.Generator().manual_seed(5))
    copy = copied(original)
    assert copy.generator is not original.generator
    assert torch.rand(1, generator=copy.generator).item() == torch.rand(1, generator=original.generator).item()


def test_a_generator_in_a_closure_is_put_back():
    generator = random.Random(4)
    state = generator.getstate()

    def flips(**data):
        generator.random()
        return data

    with untouched_randomness(flips):
        flips()
        assert generator.getstate() != state
    assert generator.getstate() == state


def test_a_generator_of_the_class_is_put_back():
    class Shared:
        generator = np.random.default_rng(2)

        def __call__(self, **data):
            self.generator.random()
            return data

    state = Shared.generator.bit_generator.state
    with untouched_randomness(Shared()):
        Shared()()
    assert Shared.generator.bit_generator.state == state


def test_states_are_put_back_after_an_error_too():
    before = random.getstate()

    def draws_and_fails():
        with untouched_randomness():
            random.random()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        draws_and_fails()
    assert random.getstate() == before


def test_seeding_repeats_own_generators_as_well():
    copy = copied(composed((8, 8), FlipBoth((0,), draw=OwnGenerator())))
    generators = generators_in(copy)
    assert len(generators) == 1
    draws = []
    for _ in range(2):
        with untouched_randomness():
            seed_everything(3, generators)
            draws.append((random.random(), np.random.random(), torch.rand(1).item(), generators[0].random()))
    assert draws[0] == draws[1]


def test_generators_of_different_libraries_draw_different_numbers():
    """numpy's legacy generator and PyTorch's are the same algorithm: from one seed they would flip together."""
    held = [np.random.RandomState(), random.Random(), torch.Generator()]
    coins = []
    with untouched_randomness():
        for seed in range(400):
            seed_everything(seed, held)
            numbers = (
                random.random(),
                np.random.rand(),
                torch.rand(1).item(),
                held[0].rand(),
                held[1].random(),
                torch.rand(1, generator=held[2]).item(),
            )
            coins.append([number < 0.5 for number in numbers])
    agreement = np.corrcoef(np.array(coins, dtype=float).T)
    np.fill_diagonal(agreement, 0)
    assert np.abs(agreement).max() < 0.2


def test_identities_stand_where_transforms_stood():
    pipeline = composed((8, 8), mirror(0), Holds(transform=mirror(1), others=(mirror(0), len), table={"x": mirror(0)}))
    replaced = with_identities(pipeline, lambda thing: type(thing).__name__ == "MirrorTransform")
    steps = replaced.transforms
    assert [type(step).__name__ for step in steps] == ["CropToPatch", "Identity", "Holds"]
    assert isinstance(steps[2].transform, Identity)
    assert isinstance(steps[2].others[0], Identity)
    assert steps[2].others[1] is len
    assert isinstance(steps[2].table["x"], Identity)


def test_threads_are_given_back():
    before = torch.get_num_threads()
    with one_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before
