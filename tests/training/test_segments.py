"""Segments of a training: merged where they augment alike, mixed by their optimiser steps."""

import pytest
from msgspec.structs import replace

from nnguard.record import Mirroring, Segment
from nnguard.training.segments import MOST_SEGMENTS, bounded, earlier, merged, mixture
from tests.support.records import EVERY_FLIP, NO_FLIP, record_of

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


def stated(axes, state="declared"):
    return Mirroring(state=state, reasons=["stated by the model's owner"], safe_axes=axes)


def test_what_an_owner_stated_of_the_first_stretch_counts_as_stated():
    mixed = mixture([segment(stated((0, 1)), 100, None), segment(MIRRORED, 100)])
    assert (mixed.state, mixed.safe_axes) == ("declared", (0, 1))
    assert mixed.reasons == ["stated by the model's owner"]


def test_a_stated_stretch_and_an_observed_one_that_disagree_are_weighted_by_steps():
    mixed = mixture([segment(stated((0, 1)), 1, None), segment(PLAIN, 100)])
    assert (mixed.state, mixed.safe_axes) == ("observed", ())
    assert mixture([segment(stated((1,)), 100, None), segment(PLAIN, 100)]).safe_axes == (1,)
    assert mixture([segment(stated(()), 100, None), segment(MIRRORED, 5)]).safe_axes == ()


def test_a_measured_stretch_stays_measured_and_a_declared_one_is_weaker():
    assert mixture([segment(stated((0,), "measured"), 100, None), segment(MIRRORED, 100)]).state == "measured"
    both = [segment(stated((0,), "measured"), 100, None), segment(stated((0,)), 100, None), segment(MIRRORED, 9)]
    assert mixture(both).state == "declared"


def test_a_statement_about_the_whole_replaces_what_the_segments_say():
    annotated = replace(record_of(EVERY_FLIP), mirroring=stated((0,)), segments=[segment(UNKNOWN, 70, None)])
    [one] = earlier(annotated, None, 500)
    assert (one.steps, one.mirroring.state) == (70, "declared")


def test_without_a_record_the_steps_until_the_checkpoint_are_unknown():
    [one] = earlier(None, "trained without nnguard", 500)
    assert (one.steps, one.mirroring.state) == (500, "unknown")
    assert "trained without nnguard" in one.mirroring.reasons[0]


def test_recorded_segments_go_on_as_they_were():
    segments = [segment(PLAIN, 5), segment(MIRRORED, 7, "b")]
    assert earlier(replace(record_of(EVERY_FLIP), segments=segments), None, 500) == segments


def test_a_training_that_is_changed_at_every_resume_keeps_few_segments_and_all_steps():
    segments = [segment(MIRRORED if n % 4 else PLAIN, 10, str(n), epoch=n) for n in range(100)]
    few = bounded(segments)
    assert len(few) == MOST_SEGMENTS
    assert sum(one.steps for one in few) == 1000
    assert (few[0].epoch, few[-1]) == (0, segments[-1])
    whole, kept = mixture(segments), mixture(few)
    assert kept.flip((0,)).rate == pytest.approx(whole.flip((0,)).rate)
    assert kept.safe_axes == whole.safe_axes
    assert bounded(segments[:MOST_SEGMENTS]) == segments[:MOST_SEGMENTS]


def test_what_nobody_saw_is_not_mixed_into_what_was_seen():
    segments = [segment(UNKNOWN, 5, None), *(segment(MIRRORED if n % 2 else PLAIN, 10, str(n)) for n in range(20))]
    few = bounded(segments)
    assert (few[0], len(few)) == (segments[0], MOST_SEGMENTS)
