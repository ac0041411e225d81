"""Claims about what a few cases say of a flip."""

import numpy as np
import pytest

from nnguard.evidence.agreement import CaseScores, dice_by_label, estimate, gain_of_tta, judge_flip, safe_axes_by


def cases(agreement, flipped=None, plain=None, tta=None):
    def scores(values, position):
        return {} if values is None else {1: values[position]}

    return [
        CaseScores(
            name=str(position),
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
    plain = [0.95, 0.90, 0.97]
    assert judge_flip((0,), cases([0.9] * 3, flipped=[0.02, 0.01, 0.03], plain=plain)) == "harmful"
    assert judge_flip((0,), cases([0.9] * 3, flipped=[0.94, 0.91, 0.96], plain=plain)) == "safe"


def test_the_reference_outweighs_agreement():
    assert judge_flip((0,), cases([0.5] * 3, flipped=[0.9] * 3, plain=[0.9] * 3)) == "safe"


def test_without_a_reference_agreement_decides_and_the_middle_stays_open():
    assert judge_flip((0,), cases([0.97, 0.98, 0.99])) == "safe"
    assert judge_flip((0,), cases([0.03, 0.05, 0.04])) == "harmful"
    assert judge_flip((0,), cases([0.99, 0.98, 0.2])) == "unsettled"
    assert judge_flip((0,), cases([None, None])) == "unsettled"


def test_a_network_unsure_of_itself_is_not_called_harmful():
    """The default trainer on the demo's discs, measured: trained flips agree at 0.50 to 0.58."""
    assert judge_flip((0,), cases([0.50, 0.52, 0.58])) == "unsettled"


def test_an_interval_repeats_and_holds_its_mean_and_one_case_has_none():
    several = estimate([0.1, 0.5, 0.9, None])
    assert several == estimate([0.1, 0.5, 0.9])
    assert several.low < several.mean < several.high
    assert (estimate([0.4]).low, estimate([0.4]).high) == (None, None)


def test_what_mirroring_costs_is_a_negative_gain():
    assert gain_of_tta(cases([1.0] * 2, plain=[0.9, 0.9], tta=[0.4, 0.4])).mean == pytest.approx(-0.5)


def test_safe_axes_need_every_flip_of_theirs():
    agreement = {(0,): 0.9, (1,): 0.95, (0, 1): 0.9}
    assert safe_axes_by({(0,): "safe", (1,): "safe", (0, 1): "safe"}, 2, agreement) == (0, 1)
    assert safe_axes_by({(0,): "safe", (1,): "safe", (0, 1): "unsettled"}, 2, agreement) == (1,)
    assert safe_axes_by({(0,): "harmful", (1,): "harmful", (0, 1): "safe"}, 2, agreement) == ()
