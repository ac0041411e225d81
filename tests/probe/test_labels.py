"""Whether labels mean the same after a flip."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from batchgeneratorsv2.transforms.utils.seg_to_regions import ConvertSegmentationToRegionsTransform
from hypothesis import given, settings
from hypothesis import strategies as st

from nnguard.flips import flips_of
from nnguard.probe.labels import label_behaviour, placed_labels
from nnguard.probe.pipeline import Stage
from nnguard.probe.samples import Form
from tests.support.pipelines import CUBE, SQUARE, SwapLabels, case, composed, mirror, nnunet


def behaviour(pipeline, *, patch=SQUARE, flips=None, strangers=True, **changes):
    made = case(patch, **changes)
    form = Form(patch=made.patch, initial=made.initial, channels=max(made.channels, made.dims), tensors=True)
    stages = [Stage(transform=pipeline, unit="sample", where="loader.transforms")]
    return label_behaviour(stages, made, form, flips or flips_of(range(made.dims)), strangers)


def test_a_mirror_keeps_labels():
    found = behaviour(composed(SQUARE, mirror(0, 1)))
    assert {flip: seen.labels for flip, seen in found.items()} == {(0,): "kept", (1,): "kept", (0, 1): "kept"}
    assert all(seen.permutation is None for seen in found.values())


def test_a_mirror_that_exchanges_left_and_right_is_told_with_its_permutation():
    found = behaviour(composed(SQUARE, SwapLabels(1, {1: 2, 2: 1}), mirror(0)))
    assert (found[(1,)].labels, found[(1,)].permutation) == ("swapped", {1: 2, 2: 1})
    assert found[(0,)].labels == "kept"
    assert found[(0, 1)].labels == "swapped"


def test_forty_seven_labels_are_remapped_exactly():
    pairs = {left: left + 23 for left in range(1, 24)} | {left + 23: left for left in range(1, 24)}
    found = behaviour(composed(CUBE, SwapLabels(2, pairs)), patch=CUBE, labels=tuple(range(48)), flips=[(2,)])
    assert (found[(2,)].labels, found[(2,)].permutation) == ("swapped", pairs)


def test_labels_exchanged_only_now_and_then_are_mixed():
    found = behaviour(composed(SQUARE, SwapLabels(1, {1: 2, 2: 1}, swap=0.5)), flips=[(1,)])
    assert found[(1,)].labels == "mixed"


def test_what_plain_draws_do_to_labels_is_no_exchange():
    class MergeLabels:
        def __call__(self, **data):
            segmentation = data["segmentation"].clone()
            segmentation[segmentation == 2] = 1
            return {**data, "segmentation": segmentation}

    found = behaviour(composed(SQUARE, mirror(1), MergeLabels()), flips=[(1,)])
    assert (found[(1,)].labels, found[(1,)].permutation) == ("kept", None)


def test_a_flip_that_is_not_shown_says_nothing_of_labels():
    assert behaviour(composed(SQUARE, mirror(0)))[(1,)].labels == "unknown"


class SwapRegions:
    """Mirrors, and exchanges two region channels, after conversion."""

    def __init__(self, exchange=True):
        self.exchange = exchange

    def __call__(self, **data):
        if torch.rand(1).item() < 0.5:
            flipped = torch.flip(data["segmentation"], [2])
            if self.exchange and len(flipped) == 2:
                flipped = flipped[[1, 0]]
            return {**data, "image": torch.flip(data["image"], [2]), "segmentation": flipped}
        return data


@pytest.mark.parametrize(("exchange", "expected"), [(True, "swapped"), (False, "kept")])
def test_region_channels_exchanged_after_conversion_are_told(exchange, expected):
    regions = ((1,), (2,))
    pipeline = composed(SQUARE, ConvertSegmentationToRegionsTransform(regions), SwapRegions(exchange))
    found = behaviour(pipeline, regions=regions, flips=[(1,)])
    assert found[(1,)].labels == expected
    assert found[(1,)].permutation == ({1: 2, 2: 1} if exchange else None)


def test_labels_exchanged_before_conversion_to_regions_are_told_by_label():
    regions = ((1, 2), (2,))
    pipeline = composed(SQUARE, SwapLabels(1, {1: 2, 2: 1}), ConvertSegmentationToRegionsTransform(regions))
    found = behaviour(pipeline, regions=regions, flips=[(1,)])
    assert (found[(1,)].labels, found[(1,)].permutation) == ("swapped", {1: 2, 2: 1})


def test_nnunets_own_pipeline_keeps_labels_in_cascades_and_with_an_ignore_label():
    pipeline = nnunet(SQUARE, (0, 1), is_cascaded=True, foreground_labels=[1, 2])
    found = behaviour(pipeline, segmentations=2, labels=(0, 1, 2, 3), strangers=False)
    assert {seen.labels for seen in found.values()} == {"kept"}


@given(
    labels=st.sets(st.integers(0, 300), min_size=1, max_size=60),
    patch=st.sampled_from([(64, 64), (48, 80), (32, 32, 32), (10, 32, 32)]),
)
@settings(max_examples=30, deadline=None)
def test_every_label_has_a_place_within_the_patch(labels, patch):
    grown = tuple(side + 7 for side in patch)
    placed = placed_labels(grown, patch, sorted(labels))
    assert placed.shape == grown
    starts = [(full - side) // 2 for full, side in zip(grown, patch, strict=True)]
    inner = placed[tuple(slice(start, start + side) for start, side in zip(starts, patch, strict=True))]
    assert set(np.unique(inner)) == labels
