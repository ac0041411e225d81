"""Intervals and sides of the threshold, under looks that may end the drawing."""

from __future__ import annotations

from collections import Counter

import pytest

from nnguard.flips import (
    ALPHA,
    FEWEST_DRAWS,
    LOOK_EVERY,
    MOST_DRAWS,
    TRAINED_RATIO,
    alpha_at,
    at_least,
    interval,
    side_of_ratio,
)
from nnguard.probe.orientation_probe import FEWEST_CLEAN, Tally, all_settled

LOOKS = range(FEWEST_DRAWS, MOST_DRAWS + 1, LOOK_EVERY)


def test_the_looks_together_spend_what_one_verdict_may():
    assert sum(map(alpha_at, LOOKS)) == pytest.approx(ALPHA)


@pytest.mark.parametrize(
    ("count", "draws", "low", "high"),
    # R: binom.test(count, draws)$conf.int
    [(0, 10, 0.0, 0.3084971), (3, 10, 0.06673951, 0.6524529), (10, 10, 0.6915029, 1.0), (32, 64, 0.3723, 0.6277)],
)
def test_the_interval_is_the_exact_one(count, draws, low, high):
    assert interval(count, draws) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))


def test_without_a_draw_nothing_is_known():
    assert interval(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize("rate", [0.01, 0.05, 0.3, 0.9])
@pytest.mark.parametrize("draws", [64, 96])
def test_the_interval_covers_every_rate_as_often_as_it_says(rate, draws):
    alpha = alpha_at(draws)
    mass = [at_least(count, draws, rate) - at_least(count + 1, draws, rate) for count in range(draws + 1)]
    covered = sum(part for count, part in enumerate(mass) if interval_holds(count, draws, alpha, rate))
    assert covered >= 1 - alpha


def interval_holds(count, draws, alpha, rate):
    low, high = interval(count, draws, alpha)
    return low <= rate <= high


def test_thousands_of_cases_are_counted_without_overflow():
    assert side_of_ratio(3000, 3000) == "above"
    assert side_of_ratio(10, 6000) == "below"


def test_a_later_look_needs_more():
    assert side_of_ratio(14, 64, alpha=ALPHA) == "above"
    assert side_of_ratio(14, 64, alpha=alpha_at(96)) == "unsettled"


@pytest.mark.parametrize("counts", [{(): 64}, {(): 16, (0,): 16, (1,): 16, (0, 1): 16}], ids=["none", "both"])
def test_ordinary_pipelines_are_settled_at_the_first_look(counts):
    tally = Tally(draws=64, clean=64, counts=Counter(counts))
    assert all_settled(tally, [(0,), (1,), (0, 1)])


def test_a_flip_at_the_threshold_is_not_settled_and_too_few_clean_draws_settle_nothing():
    assert not all_settled(Tally(draws=64, clean=64, counts=Counter({(): 58, (0,): 6})), [(0,)])
    assert round(TRAINED_RATIO * 58) == 6
    few = 2 * FEWEST_CLEAN - 1
    assert not all_settled(Tally(draws=64, clean=few, counts=Counter({(): few})), [(0,)])
