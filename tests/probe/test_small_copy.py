"""Small copies of pipelines."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnguard.probe.small_copy import LONGEST, SHORTEST, shrink, size_map, small_sizes

sides = st.integers(8, 512)
patches = st.one_of(st.tuples(sides, sides), st.tuples(sides, sides, sides))


@given(patches)
def test_equal_sides_stay_equal_and_different_ones_keep_their_order(patch):
    small, _ = small_sizes(patch, patch)
    for first, second in zip(patch, small, strict=True):
        for other, shrunk in zip(patch, small, strict=True):
            assert (first < other) == (second < shrunk)


@given(patches)
def test_no_side_grows_or_falls_below_what_a_transform_can_take(patch):
    small, grown = small_sizes(patch, tuple(side + side // 3 for side in patch))
    for side, shrunk, initial in zip(patch, small, grown, strict=True):
        assert min(side, SHORTEST) <= shrunk <= max(side, LONGEST[len(patch)])
        assert initial >= shrunk


@pytest.mark.parametrize("patch", [(64, 64), (24, 24, 24), (20, 30)])
def test_a_small_patch_is_left_alone(patch):
    assert small_sizes(patch, patch) == (patch, patch)


class Holds:
    def __init__(self, **attributes):
        self.__dict__.update(attributes)


def test_every_form_in_which_a_size_is_held_is_shrunk():
    patch, initial = (20, 128, 128), (20, 180, 180)
    small, small_initial = small_sizes(patch, initial)
    thing = Holds(
        patch_size=list(patch),
        slices=patch[1:],
        array=np.array(initial),
        nested=[Holds(size=patch)],
        table={"size": patch},
        unrelated=(20, 128),
        axes=(0, 1, 2),
    )
    shrink(thing, size_map(patch, initial, small, small_initial))
    assert thing.patch_size == list(small)
    assert thing.slices == small[1:]
    assert isinstance(thing.array, np.ndarray)
    assert thing.array.tolist() == list(small_initial)
    assert thing.nested[0].size == small
    assert thing.table["size"] == small
    assert thing.unrelated == (20, 128)
    assert thing.axes == (0, 1, 2)
