"""Claims about flips and rates in words."""

import pytest

from nnguard.flips import flips_of
from nnguard.rules.words import flip_name, flip_names, joined, percent, rates, training_showed
from tests.support.records import AXIS_0_AND_HALF_TURNS, NO_FLIP, record_of


@pytest.mark.parametrize(
    ("rate", "words"), [(0, "0 %"), (0.0001, "< 1 %"), (0.01, "1 %"), (0.125, "12 %"), (0.9999, "100 %"), (1, "100 %")]
)
def test_a_share_that_is_not_nothing_is_not_written_as_nothing(rate, words):
    assert percent(rate) == words


def test_lists_read_as_people_write_them():
    assert joined(["a"]) == "a"
    assert joined(["a", "b", "c"]) == "a, b and c"


def test_a_flip_is_named_by_its_axes():
    assert flip_name(()) == "the plain view"
    assert flip_name((0, 2)) == "axes 0 and 2 together"
    assert flip_name((1,), 2, [0, 1, 2]) == "axis 1 (x, usually left-right)"


def test_all_flips_of_some_axes_are_one_short_phrase():
    record = record_of(NO_FLIP, dims=3)
    assert flip_names(flips_of((0, 1, 2)), record) == (
        "axis 0 (z, usually head-foot), axis 1 (y, usually front-back) and axis 2 (x, usually left-right), "
        "alone and together"
    )
    assert flip_names([(0,), (0, 1)], record) == "axis 0 (z, usually head-foot) and axes 0 and 1 together"


def test_what_was_seen_has_its_rate_and_what_was_not_is_said_once():
    record = record_of({(0,): 32})
    assert rates(record, flips_of((0, 1))) == (
        "the plain view 50 %, axis 0 (y, usually front-back) 50 %, "
        "never axis 1 (x, usually left-right) and axes 0 and 1 together"
    )


def test_the_number_of_draws_and_the_grade_are_named():
    assert "256 clean draws (observed while training)" in training_showed(
        record_of(AXIS_0_AND_HALF_TURNS, clean=256), [(0,)]
    )
    assert "stated by the model's owner" in training_showed(record_of(stated=(0,)), [(0,)])
    assert "measured on the trained network" in training_showed(record_of(stated=(0,), state="measured"), [(0,)])
