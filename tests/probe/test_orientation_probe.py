"""The orientation probe on live pipelines, nnU-Net's and others."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from batchgeneratorsv2.transforms.intensity.inversion import InvertImageTransform
from batchgeneratorsv2.transforms.spatial.rot90 import Rot90Transform
from batchgeneratorsv2.transforms.spatial.transpose import TransposeAxesTransform
from batchgeneratorsv2.transforms.utils.random import OneOfTransform, RandomTransform

from nnguard.flips import ENOUGH_TO_MISS, settled
from nnguard.probe import orientation_probe as probing
from nnguard.probe.orientation_probe import FEWEST_DRAWS, probe
from nnguard.probe.pipeline import Stage
from tests.support.pipelines import (
    CUBE,
    OBLONG,
    SQUARE,
    CropToPatch,
    FlipBoth,
    FlipImageOnly,
    OwnGenerator,
    case,
    composed,
    mirror,
    nnunet,
    tally,
    verdicts,
)

TRAINED_2D = {(0,): "trained", (1,): "trained", (0, 1): "trained"}


def test_every_flip_of_the_default_pipeline_is_trained():
    assert verdicts(tally(nnunet(SQUARE, (0, 1)), (0, 1)), 2) == TRAINED_2D
    seen = tally(nnunet(CUBE, (0, 1, 2)), (0, 1, 2), patch=CUBE)
    assert set(verdicts(seen, 3).values()) == {"trained"}
    assert len(verdicts(seen, 3)) == 7


def test_no_flip_of_the_pipeline_of_issue_2552_is_seen():
    assert verdicts(tally(nnunet(SQUARE, None, degrees=3), (0, 1)), 2) == {}


@pytest.mark.parametrize("draw", [np.random.rand, random.random])
def test_coins_of_different_libraries_are_drawn_apart(draw):
    """From one seed numpy and PyTorch draw the same numbers: flips by the one and by the other would come together."""
    seen = tally(composed(SQUARE, FlipBoth((0,), draw=draw), mirror(1)), (0, 1))
    assert verdicts(seen, 2) == TRAINED_2D


def test_half_turns_of_stock_rotation_are_rare_and_no_flip_of_one_axis():
    assert verdicts(tally(nnunet(SQUARE, None, degrees=180), (0, 1)), 2) == {(0, 1): "rare"}


def test_rare_second_axis_is_told_from_a_mirrored_one():
    seen = tally(nnunet(SQUARE, (0,), degrees=180), (0, 1))
    assert verdicts(seen, 2) == {(0,): "trained", (1,): "rare", (0, 1): "rare"}


@pytest.mark.parametrize("axes", [(0,), (1,), (0, 1)])
def test_da5_with_its_gradients_and_gammas_shows_its_mirrors_alone(axes):
    seen = tally(nnunet(OBLONG, axes, "DA5", degrees=15), axes, patch=OBLONG)
    assert {flip for flip in verdicts(seen, 2) if len(flip) == 1} == {(axis,) for axis in axes}
    assert seen.apart == 0


def test_da5_without_mirrors_invents_none_on_an_oblong_patch():
    assert verdicts(tally(nnunet(OBLONG, None, "DA5", degrees=15), (0, 1), patch=OBLONG), 2) == {}


def test_a_quarter_turn_of_a_transpose_is_a_hidden_mirror_and_is_seen():
    turns = [
        RandomTransform(Rot90Transform(1, (0, 1, 2, 3), {0, 1}), 0.5),
        RandomTransform(TransposeAxesTransform({0, 1}), 0.5),
    ]
    hidden = verdicts(tally(composed(SQUARE, *turns), (0, 1)), 2)
    assert {(0,), (1,)} <= set(hidden)
    assert verdicts(tally(composed(SQUARE, turns[0]), (0, 1)), 2).keys() == {(0, 1)}
    assert verdicts(tally(composed(SQUARE, turns[1]), (0, 1)), 2) == {}


@pytest.mark.parametrize(
    "draw",
    [
        pytest.param(random.random, id="python"),
        pytest.param(np.random.random, id="numpy"),
        pytest.param(lambda: torch.rand(1).item(), id="torch"),
        pytest.param(OwnGenerator(), id="a generator of its own"),
    ],
)
def test_an_own_class_that_flips_is_seen_whatever_it_draws_from(draw):
    assert verdicts(tally(composed(SQUARE, FlipBoth((1,), draw=draw)), (1,)), 2) == {(1,): "trained"}


def test_a_mirror_that_is_named_and_never_applied_is_not_seen():
    class MirrorEverything:
        def __call__(self, **data):
            return data

    assert verdicts(tally(composed(SQUARE, MirrorEverything(), RandomTransform(mirror(0), 0.0))), 2) == {}


def test_inverted_intensities_flip_nothing():
    class InvertOwn:
        def __call__(self, **data):
            data["image"] = -data["image"]
            return data

    for inverting in (InvertImageTransform(1, True, 1), InvertOwn()):
        seen = tally(composed(SQUARE, inverting), (0, 1))
        assert (verdicts(seen, 2), seen.apart) == ({}, 0)


def test_an_image_flipped_without_its_segmentation_is_apart_and_its_twin_is_not():
    apart = tally(composed(SQUARE, FlipImageOnly((0,))))
    assert apart.apart > apart.compared / 4
    together = tally(composed(SQUARE, FlipBoth((0,))))
    assert (together.apart, together.compared > 32) == (0, True)


def test_always_flipping_leaves_no_plain_view_after_enough_draws():
    seen = tally(composed(SQUARE, FlipBoth((0,), p=1.0)), (0,))
    assert seen.counts[()] == 0
    assert seen.clean >= ENOUGH_TO_MISS
    assert verdicts(seen, 2) == {(0,): "trained"}


def test_one_axis_at_a_time_never_shows_both():
    seen = tally(composed(SQUARE, OneOfTransform([mirror(0), mirror(1)])), (0, 1))
    assert verdicts(seen, 2) == {(0,): "trained", (1,): "trained"}
    assert seen.clean >= ENOUGH_TO_MISS


def test_removing_intensity_transforms_keeps_what_a_one_of_chooses():
    # The mirror is one of two: were the other left out, it would be chosen always.
    seen = tally(composed(SQUARE, OneOfTransform([mirror(0), InvertImageTransform(1, True, 1)])), (0,))
    assert 0.1 < seen.counts[(0,)] / seen.clean < 0.4


def test_a_verdict_repeats():
    pipeline = nnunet(SQUARE, (0,), degrees=180)
    assert tally(pipeline, (0,)).counts == tally(pipeline, (0,)).counts


def test_probing_leaves_every_random_state_as_it_was():
    own = OwnGenerator()
    pipeline = composed(SQUARE, FlipBoth((0,), draw=own), mirror(1))
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    state = own.generator.bit_generator.state
    tally(pipeline, (0, 1))
    assert (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()) == before
    assert own.generator.bit_generator.state == state


MODULE_GENERATOR = np.random.default_rng(11)


def test_a_generator_of_the_module_is_put_back():
    state = MODULE_GENERATOR.bit_generator.state
    seen = tally(composed(SQUARE, FlipBoth((0,), draw=lambda: float(MODULE_GENERATOR.random()))), (0,))
    assert verdicts(seen, 2) == {(0,): "trained"}
    assert MODULE_GENERATOR.bit_generator.state == state


def test_probing_does_not_change_the_pipeline():
    pipeline = nnunet((128, 128), (0, 1))
    before = repr(pipeline)
    tally(pipeline, (0, 1), patch=(128, 128))
    assert repr(pipeline) == before


def test_a_large_patch_is_probed_small_and_an_unshrinkable_one_in_full():
    large = (160, 160)
    assert tally(nnunet(large, (0, 1)), patch=large).form.patch == (64, 64)

    def crop_to_160(**data):
        return CropToPatch(large)(**data)

    assert tally(crop_to_160, patch=large).form.patch == large


def test_transforms_that_count_channels_get_exactly_theirs():
    class OneChannelOnly:
        def __call__(self, **data):
            assert data["image"].shape[0] == 1
            return data

    seen = tally(composed(SQUARE, OneChannelOnly(), mirror(0)), (0,))
    assert (seen.form.channels, verdicts(seen, 2)) == (1, {(0,): "trained"})


def test_a_pipeline_that_cannot_be_fed_says_why():
    def broken(**data):
        raise ValueError("needs the bounding boxes")

    seen = tally(broken)
    assert seen.failed == "the pipeline cannot be fed a made case (ValueError: needs the bounding boxes)"


def test_a_pipeline_that_cannot_be_copied_says_why():
    import threading

    class Locked:
        def __init__(self):
            self.lock = threading.Lock()

        def __call__(self, **data):
            return data

    assert "cannot be copied (TypeError" in tally(Locked()).failed


def test_a_failing_draw_now_and_then_is_unclean_not_fatal():
    class SometimesRaises:
        def __call__(self, **data):
            if torch.rand(1).item() < 0.05:
                raise IndexError("empty")
            return data

    seen = tally(composed(SQUARE, SometimesRaises(), mirror(0)), (0,))
    assert seen.failed is None
    assert verdicts(seen, 2) == {(0,): "trained"}
    assert any("IndexError" in why for why in seen.unclean)


def test_draws_that_fail_when_they_would_flip_make_the_pipeline_unreadable():
    class RaisesInsteadOfFlipping:
        def __call__(self, **data):
            if torch.rand(1).item() < 0.5:
                raise ValueError("negative strides")
            return data

    assert (
        "draws failed (a draw failed: ValueError: negative strides)"
        in tally(composed(SQUARE, RaisesInsteadOfFlipping()), (0,)).failed
    )


def test_the_clock_never_stops_the_first_draws(monkeypatch):
    monkeypatch.setattr(probing, "CLOCK", 0.0)
    assert tally(nnunet(SQUARE, (0,), degrees=180), (0, 1)).draws >= FEWEST_DRAWS


def test_a_batch_pipeline_of_the_old_library_is_fed_arrays():
    from batchgenerators.transforms.abstract_transforms import Compose
    from batchgenerators.transforms.spatial_transforms import MirrorTransform
    from batchgenerators.transforms.utility_transforms import NumpyToTensor, RemoveLabelTransform, RenameTransform

    pipeline = Compose(
        [
            MirrorTransform((0,)),
            RemoveLabelTransform(-1, 0),
            RenameTransform("seg", "target", True),
            NumpyToTensor(["data", "target"], "float"),
        ]
    )
    made = case(initial=SQUARE)
    seen = probe([Stage(transform=pipeline, unit="batch", where="augmenter.transform")], made, (0,))
    assert verdicts(seen, 2) == {(0,): "trained"}
    assert seen.form.tensors is False


def test_a_batch_pipeline_between_the_libraries_is_fed_arrays_under_the_new_name():
    from batchgenerators.transforms.abstract_transforms import Compose
    from batchgenerators.transforms.spatial_transforms import MirrorTransform
    from batchgenerators.transforms.utility_transforms import RenameTransform

    # DA5 in nnU-Net 2.5 and 2.6
    pipeline = Compose(
        [RenameTransform("target", "seg", True), MirrorTransform((0,)), RenameTransform("seg", "target")]
    )
    made = case(initial=SQUARE)
    seen = probe([Stage(transform=pipeline, unit="batch", where="augmenter.transform")], made, (0, 1))
    assert verdicts(seen, 2) == {(0,): "trained"}
    assert (seen.form.tensors, seen.form.key, seen.apart) == (False, "target", 0)


def test_both_stages_count_and_their_flips_compose():
    from batchgenerators.transforms.spatial_transforms import MirrorTransform

    stages = [
        Stage(transform=composed(SQUARE, mirror(0)), unit="sample", where="loader.transforms"),
        Stage(transform=MirrorTransform((1,), label_key="seg"), unit="batch", where="augmenter.transform"),
    ]
    assert verdicts(probe(stages, case(), (0, 1)), 2) == TRAINED_2D


def test_without_a_stage_only_the_plain_view_is_seen():
    seen = probe([], case(initial=SQUARE), (0, 1))
    assert (verdicts(seen, 2), seen.counts[()]) == ({}, seen.draws)


def test_an_unseen_combination_of_trained_axes_waits_for_more_draws():
    from collections import Counter

    counts = Counter({(): 20, (0,): 20, (1,): 20})
    assert not settled((0, 1), counts, 60)
    assert settled((0, 1), counts, ENOUGH_TO_MISS)
    assert settled((0, 1), counts + Counter({(0, 1): 1}), 61)
    assert not settled((), Counter({(0,): 60}), 60)
