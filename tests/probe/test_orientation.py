"""Reading back which flip a coded volume has been given."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from nnguard.flips import flips_of
from nnguard.probe.orientation import (
    channel_weights,
    coded_segmentation,
    image_flip,
    nearest_flip,
    read_orientation,
    textured_image,
)

FIRST = 1000
SHAPES = [(64, 64), (48, 80), (24, 24, 24), (10, 32, 28)]
EVERY_FLIP = [(shape, flip) for shape in SHAPES for flip in [(), *flips_of(range(len(shape)))]]


def flipped(shape, flip, channels=None):
    """Codes and texture of ``shape``, mirrored along ``flip``."""
    segmentation = coded_segmentation(shape, FIRST)
    image = torch.from_numpy(textured_image(shape, channels or len(shape)))
    dims = [axis + 1 for axis in flip]
    return np.flip(segmentation, flip) if flip else segmentation, torch.flip(image, dims) if flip else image


def turned(shape, degrees, flip=()):
    """A square volume mirrored and then turned in its last plane, image and segmentation alike."""
    segmentation, image = flipped(shape, flip)
    plane = (-2, -1)
    segmentation = ndimage.rotate(segmentation, degrees, axes=plane, reshape=False, order=0, cval=-1)
    image = ndimage.rotate(image.numpy(), degrees, axes=plane, reshape=False, order=1)
    return segmentation, torch.from_numpy(image)


@pytest.mark.parametrize(("shape", "flip"), EVERY_FLIP)
def test_every_flip_is_read_back_exactly(shape, flip):
    seen = read_orientation(*flipped(shape, flip), FIRST)
    assert (seen.flip, seen.apart) == (flip, ())
    assert seen.turn == pytest.approx(0.0, abs=1e-3)


@given(degrees=st.floats(-35, 35), flip=st.sampled_from([(), *flips_of((0, 1))]))
@settings(max_examples=40, deadline=None)
def test_a_slight_turn_is_no_flip_and_hides_none(degrees, flip):
    seen = read_orientation(*turned((64, 64), degrees, flip), FIRST)
    assert seen.flip == flip
    assert seen.turn == pytest.approx(abs(degrees), abs=4)


def test_half_turn_is_the_flip_of_both_axes_and_of_neither_alone():
    assert read_orientation(*turned((64, 64), 180), FIRST).flip == (0, 1)


@pytest.mark.parametrize("degrees", [45, 60, 90, 120, 135, -90])
def test_a_quarter_turn_says_nothing_about_flips(degrees):
    assert read_orientation(*turned((64, 64), degrees), FIRST).flip is None


def test_a_transpose_alone_is_no_flip_but_with_a_quarter_turn_it_is_one():
    segmentation, image = flipped((64, 64), ())
    assert read_orientation(segmentation.T, image.permute(0, 2, 1), FIRST).flip is None
    hidden = read_orientation(np.rot90(segmentation.T), torch.rot90(image.permute(0, 2, 1), 1, (1, 2)), FIRST)
    assert hidden.flip in ((0,), (1,))


@pytest.mark.parametrize(("shape", "flip"), EVERY_FLIP)
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_an_image_flipped_without_its_segmentation_is_apart(shape, flip, channels):
    segmentation, _ = flipped(shape, ())
    _, image = flipped(shape, flip, channels)
    assert read_orientation(segmentation, image, FIRST).apart in ((flip,) if channels >= len(shape) else (flip, None))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda image: -image, id="inversion"),
        pytest.param(lambda image: torch.stack([image[0], -image[1]]), id="inversion of one channel"),
        pytest.param(lambda image: (image - image.min()) ** 3, id="gamma"),
        pytest.param(lambda image: image + torch.linspace(-40, 40, 64), id="a steep additive gradient"),
        pytest.param(lambda image: image * torch.linspace(4, 0.25, 64), id="a multiplicative gradient"),
        pytest.param(lambda image: image + 0.05 * torch.randn(image.shape), id="noise"),
    ],
)
def test_intensities_invent_no_flip(change):
    segmentation, image = flipped((64, 64), ())
    assert read_orientation(segmentation, change(image), FIRST).apart in ((), None)


def test_a_wiped_image_says_nothing_rather_than_something():
    segmentation, image = flipped((64, 64), (0,))
    assert read_orientation(segmentation, torch.zeros_like(image), FIRST).apart is None
    assert read_orientation(segmentation, torch.full_like(image, float("nan")), FIRST).apart is None


def test_codes_that_were_overwritten_leave_the_draw_unclean():
    seen = read_orientation(np.zeros((64, 64)), None, FIRST)
    assert seen.flip is None
    assert "codes did not survive" in seen.why


def test_a_patch_cut_from_one_octant_is_unclean():
    corner = coded_segmentation((64, 64), FIRST)[:20, :20]
    assert read_orientation(corner, None, FIRST).flip is None


def test_the_image_alone_tells_its_flip_where_it_has_a_channel_for_each_axis():
    _, image = flipped((24, 24, 24), (0, 2))
    found = image_flip(image)
    assert found is not None
    assert found[0] == (0, 2)
    assert image_flip(image[:2]) is None


def test_degenerate_slopes_are_no_orientation():
    assert nearest_flip(np.zeros((2, 2))) is None
    assert nearest_flip(np.array([[1.0, 0.0], [1.0, 0.01]])) is None


@given(st.integers(1, 6), st.sampled_from([2, 3]))
def test_every_axis_is_coded_by_some_channel(channels, dims):
    assert (channel_weights(channels, dims).sum(axis=0) >= 1).all()
