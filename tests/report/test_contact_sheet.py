"""Claims about the contact sheet: a PNG of a bearable size, slices that show labels, colours for every reader."""

import sys

import numpy as np
import pytest

from nnguard.errors import NNGuardError
from nnguard.report import contact_sheet
from nnguard.report.contact_sheet import COLOURS, Shown, write_contact_sheet


def shown(shape, place, title="not flipped"):
    """A patch with one labelled voxel block at ``place``."""
    labels = np.zeros(shape, dtype=np.int16)
    labels[tuple(slice(start, start + 3) for start in place)] = 1
    return Shown(title=title, image=labels * 100.0, labels=labels)


@pytest.mark.parametrize(("shape", "place"), [((32, 40), (4, 30)), ((16, 32, 40), (2, 25, 30))])
def test_a_sheet_of_seventeen_pictures_is_one_png(tmp_path, shape, place):
    from matplotlib.image import imread

    names = [f"axis {axis} (y, usually front-back)" for axis in range(len(shape))]
    target = tmp_path / "sheet.png"
    write_contact_sheet(target, "a training", [shown(shape, place)] * 17, names, {1: "left", 2: "right"})
    height, width = imread(target).shape[:2]
    assert 1200 < width < 2000
    assert 600 < height < 3000


@pytest.mark.parametrize("part", [0, 1])
def test_a_slice_of_three_dimensions_is_one_with_labels(part):
    image, labels = contact_sheet._slices(shown((16, 32, 40), (2, 25, 30)), part, 3, {1: "left"})
    assert (labels == 1).any()
    assert image.shape == labels.shape == ((32, 40), (16, 40))[part]
    assert np.array_equal(image, labels * 100.0)


def test_without_labels_it_is_the_middle_one():
    empty = Shown(title="", image=np.arange(16.0)[:, None, None] * np.ones((16, 4, 4)), labels=np.zeros((16, 4, 4)))
    image, _ = contact_sheet._slices(empty, 0, 3, {1: "left"})
    assert (image == 8).all()


#: Okabe and Ito's palette as published, by name.
PALETTE = {
    "black": "#000000",
    "orange": "#E69F00",
    "sky blue": "#56B4E9",
    "bluish green": "#009E73",
    "yellow": "#F0E442",
    "blue": "#0072B2",
    "vermilion": "#D55E00",
    "reddish purple": "#CC79A7",
}


def test_colours_are_those_that_colour_blind_readers_tell_apart():
    assert set(COLOURS) | {"#000000"} == set(PALETTE.values())
    assert len(set(COLOURS)) == len(COLOURS)


def test_neighbouring_labels_have_different_colours():
    assert all(contact_sheet.colour_of(label) != contact_sheet.colour_of(label + 1) for label in range(1, 120))


def test_without_matplotlib_a_picture_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    picture = Shown(title="", image=np.zeros((4, 4)), labels=np.zeros((4, 4)))
    with pytest.raises(NNGuardError, match="pip install matplotlib") as caught:
        write_contact_sheet(tmp_path / "a.png", "", [picture], ("y", "x"), {})
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())
