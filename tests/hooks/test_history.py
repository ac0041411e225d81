"""Segments of a training: merged where they augment alike, mixed by their optimiser steps."""

import pytest

from nnguard.hooks.history import merged, mixture
from nnguard.record import Mirroring, Segment
from records import EVERY_FLIP, NO_FLIP, record_of

MIRRORED = record_of(EVERY_FLIP).mirroring
PLAIN = record_of(NO_FLIP).mirroring
UNKNOWN = Mirroring(state="unknown", reasons=["nobody looked"])
PENDING = Mirroring(state="pending", reasons=["own train step"])


def segment(mirroring, steps, fingerprint="a", epoch=0):
    return Segment(epoch=epoch, steps=steps, fingerprint=fingerprint, mirroring=mirroring)


def test_equal_neighbours_are_merged_and_keep_all_steps():
    [one] = merged([segment(MIRRORED, 5), segment(MIRRORED, 7, epoch=3)])
    assert (one.epoch, one.steps) == (0, 12)


def test_another_pipeline_between_them_keeps_them_apart():
    segments = [segment(MIRRORED, 5), segment(PLAIN, 7, "b"), segment(MIRRORED, 5)]
    assert merged(segments) == segments


def test_a_stretch_without_a_step_changes_nothing():
    assert mixture([segment(PLAIN, 100), segment(MIRRORED, 0, "b")]) == PLAIN


def test_a_training_that_starts_is_what_it_is_about_to_show():
    assert mixture([segment(MIRRORED, 0)]) == MIRRORED


@pytest.mark.parametrize(("sound_steps", "verdict"), [(1000, "trained"), (5, "rare"), (0, "unseen")])
def test_rates_are_weighted_by_steps(sound_steps, verdict):
    mixed = mixture([segment(PLAIN, 100), segment(MIRRORED, sound_steps, "b")])
    assert mixed.flip((0,)).verdict == verdict
    assert (mixed.safe_axes == (0, 1)) == (verdict == "trained")


@pytest.mark.parametrize(("unseen_steps", "state"), [(10, "observed"), (20, "unknown")])
def test_more_than_a_tenth_of_the_steps_unseen_makes_all_of_it_unknown(unseen_steps, state):
    mixed = mixture([segment(UNKNOWN, unseen_steps, None), segment(MIRRORED, 100)])
    assert mixed.state == state
    assert (mixed.safe_axes is None) == (state == "unknown")


def test_steps_that_are_still_pending_leave_the_whole_pending():
    assert mixture([segment(MIRRORED, 10), segment(PENDING, 100, "b")]).state == "pending"


def test_a_flip_that_keeps_labels_in_one_stretch_and_swaps_them_in_another_is_mixed():
    swapped = record_of(EVERY_FLIP, labels={(0,): "swapped"}).mirroring
    mixed = mixture([segment(MIRRORED, 10), segment(swapped, 10, "b")])
    assert mixed.flip((0,)).labels == "mixed"
    assert 0 not in mixed.safe_axes
