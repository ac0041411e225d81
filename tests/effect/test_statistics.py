"""Claims about what a few cases say of a flip."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnguard.effect.statistics import (
    HARM,
    CaseScores,
    dice_by_label,
    estimate,
    gain_of_tta,
    judge_flip,
    judge_tta,
    worst_label,
)
from nnguard.rules.measurement import FEWEST_CASES


def cases(agreement, flipped=None, plain=None, tta=None):
    def scores(values, position):
        return {} if values is None else {1: values[position]}

    return [
        CaseScores(
            agreement={(0,): {1: agreed}},
            flipped={} if flipped is None else {(0,): {1: flipped[position]}},
            plain=scores(plain, position),
            tta=scores(tta, position),
        )
        for position, agreed in enumerate(agreement)
    ]


def test_a_label_that_neither_side_has_is_no_disagreement():
    first, second = np.array([[1, 1, 0, 0]]), np.array([[1, 0, 0, 0]])
    assert dice_by_label(first, second, [1, 2]) == {1: pytest.approx(2 / 3), 2: None}


def test_voxels_with_the_ignore_label_do_not_count():
    first, second = np.array([[1, 1, 0, 0]]), np.array([[1, 9, 0, 0]])
    assert dice_by_label(first, second, [1], second != 9) == {1: 1.0}


def test_a_flip_that_loses_dice_is_harmful_and_one_that_loses_none_is_safe():
    plain = [0.95, 0.90, 0.97, 0.94, 0.92]
    assert judge_flip((0,), cases([0.9] * 5, flipped=[0.02, 0.01, 0.03, 0.1, 0.0], plain=plain)) == "harmful"
    assert judge_flip((0,), cases([0.9] * 5, flipped=[0.94, 0.91, 0.96, 0.94, 0.90], plain=plain)) == "safe"


@pytest.mark.parametrize("flipped", [0.0, 0.9])
def test_four_cases_settle_nothing_and_five_do(flipped):
    def judged(number):
        return judge_flip((0,), cases([0.9] * number, flipped=[flipped] * number, plain=[0.9] * number))

    assert judged(FEWEST_CASES - 1) == "unsettled"
    assert judged(FEWEST_CASES) != "unsettled"


def test_a_loss_in_some_cases_that_leaves_the_mean_open_is_unsettled():
    assert judge_flip((0,), cases([0.9] * 6, flipped=[0.9] * 5 + [0.3], plain=[0.9] * 6)) == "unsettled"


def test_a_network_with_nothing_to_lose_proves_nothing():
    assert judge_flip((0,), cases([0.9] * 6, flipped=[0.15] * 6, plain=[0.15] * 6)) == "unsettled"
    assert judge_flip((0,), cases([0.9] * 6, flipped=[0.45] * 6, plain=[0.45] * 6)) == "safe"


def test_the_reference_outweighs_agreement():
    assert judge_flip((0,), cases([0.5] * 5, flipped=[0.9] * 5, plain=[0.9] * 5)) == "safe"


def of_many_labels(agreement, plain=None, flipped=None):
    """Six cases, each with these scores for label -> Dice."""
    case = {"agreement": {(0,): agreement}, "plain": plain or {}, "flipped": {(0,): flipped or {}}}
    return [CaseScores(**case) for _ in range(6)]


def test_two_labels_of_forty_that_are_exchanged_do_not_hide_in_the_mean():
    plain = dict.fromkeys(range(1, 41), 0.95)
    exchanged = {**plain, 7: 0.0, 8: 0.0}
    assert sum(plain.values()) / 40 - sum(exchanged.values()) / 40 < HARM
    assert judge_flip((0,), of_many_labels(plain, plain, exchanged)) == "harmful"
    assert judge_flip((0,), of_many_labels(exchanged)) == "unsettled"
    assert judge_flip((0,), of_many_labels(plain, plain, plain)) == "safe"
    assert worst_label((0,), of_many_labels(plain, plain, exchanged)) == (7, pytest.approx(0.95))


def test_without_a_reference_agreement_shows_safety_and_never_harm():
    assert judge_flip((0,), cases([0.97, 0.98, 0.99, 0.97, 0.96])) == "safe"
    assert judge_flip((0,), cases([0.03, 0.05, 0.04, 0.02, 0.03])) == "unsettled"
    assert judge_flip((0,), cases([0.90, 0.92, 0.91, 0.93, 0.94])) == "unsettled"
    assert judge_flip((0,), cases([0.99, 0.98, 0.2, 0.99, 0.99])) == "unsettled"
    assert judge_flip((0,), cases([None, None])) == "unsettled"


@given(st.lists(st.one_of(st.none(), st.floats(0, 1)), min_size=1, max_size=12))
def test_no_agreement_whatever_condemns_a_flip_without_a_reference(agreement):
    assert judge_flip((0,), cases(agreement)) != "harmful"
    assert judge_tta(cases(agreement)) == "unsettled"


def always_mirrored(labels):
    """A network that was always shown its images mirrored, as measured (docs/fliptest.md): what it answers to a
    mirrored image, turned back, is right, and has nothing in common with its plain answer."""
    plain, flipped, tta = ([value] * 8 for value in (0.02, 0.98, 0.43))
    return cases([0.03] * 8, **({"flipped": flipped, "plain": plain, "tta": tta} if labels else {}))


@pytest.mark.parametrize("labels", [True, False])
def test_a_network_that_was_always_shown_mirrored_images_is_not_condemned_for_disagreeing(labels):
    assert judge_flip((0,), always_mirrored(labels)) == "unsettled"
    assert judge_tta(always_mirrored(labels)) == "unsettled"
    if labels:
        assert gain_of_tta(always_mirrored(labels)).mean == pytest.approx(0.41)


def test_its_twin_that_loses_by_as_little_agreement_is_condemned_by_its_labels_alone():
    lost = {"flipped": [0.02] * 8, "plain": [0.98] * 8, "tta": [0.43] * 8}
    assert judge_flip((0,), cases([0.03] * 8, **lost)) == judge_tta(cases([0.03] * 8, **lost)) == "harmful"
    assert judge_flip((0,), cases([0.03] * 8)) == "unsettled"


def test_what_agrees_at_a_loses_no_more_than_one_minus_a_against_references_of_its_size():
    """The bound by which agreement stands for a loss of ``HARM``, over random answers and references."""
    generator = np.random.default_rng(1)
    for _ in range(3000):
        # Voxels by where they lie: in the plain answer, in the flipped one, in the reference.
        inside = {key: int(generator.integers(0, 60)) for key in product((False, True), repeat=3)}

        def size(*parts, inside=inside):
            return sum(count for key, count in inside.items() if all(key[part] for part in parts))

        def dice(first, second):
            return 2 * size(first, second) / (size(first) + size(second))

        if not all(map(size, range(3))):
            continue
        loss, most = dice(0, 2) - dice(1, 2), 1 - dice(0, 1)
        assert loss <= 2 * most + 1e-9
        if size(0) == size(2):
            assert loss <= most + 1e-9


def test_mirroring_as_a_whole_is_judged_like_a_flip():
    assert judge_tta(cases([0.9] * 5, plain=[0.9] * 5, tta=[0.4] * 5)) == "harmful"
    assert judge_tta(cases([0.9] * 5, plain=[0.9] * 5, tta=[0.91] * 5)) == "safe"
    assert judge_tta(cases([0.9] * 5)) == "unsettled"


def test_an_interval_repeats_and_holds_its_mean_and_one_case_has_none():
    several = estimate([0.1, 0.5, 0.9, None])
    assert several == estimate([0.1, 0.5, 0.9])
    assert several.cases == 3
    assert several.low < several.mean < several.high
    assert (estimate([0.4]).low, estimate([0.4]).high) == (None, None)


def test_what_mirroring_costs_is_a_negative_gain():
    assert gain_of_tta(cases([1.0] * 2, plain=[0.9, 0.9], tta=[0.4, 0.4])).mean == pytest.approx(-0.5)
