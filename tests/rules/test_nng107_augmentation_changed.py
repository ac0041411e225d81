"""NNG107: what changed between the stretches of a training, and what only chance changed."""

import msgspec
import pytest

from nnguard.record import Environment, Segment
from nnguard.rules.nng107_augmentation_changed import check_resumed
from tests.support.records import EVERY_FLIP, NO_FLIP, record_of

MIRROR = {"class": "MirrorTransform", "module": "bg", "parameters": {"allowed_axes": [0, 1]}}
GAMMA = {"class": "Gamma", "module": "bg", "probability": 0.3, "code": "aa"}


def recorded(counts, trees, fingerprint, steps=0, python="3.11", clean=64, **options):
    made = record_of(
        counts, clean=clean, transforms=[{"class": "Compose", "module": "bg", "children": trees}], **options
    )
    segment = Segment(epoch=0, steps=steps, fingerprint=fingerprint, mirroring=made.mirroring)
    return msgspec.structs.replace(made, segments=[segment], environment=Environment(python=python))


BEFORE = recorded(EVERY_FLIP, [MIRROR, GAMMA], "a", steps=100)


def found(now, before=BEFORE):
    return check_resumed(before, now, "mine")


def test_a_mirror_that_was_taken_out_is_told_by_flips_and_by_name():
    [finding] = found(recorded(NO_FLIP, [GAMMA], "b"))
    assert (finding.code, finding.severity) == ("NNG107", "advisory")
    assert "axis 1 (x, usually left-right): 25 % before and 0 % now" in finding.seen
    assert "removed MirrorTransform" in finding.seen
    assert finding.evidence["steps_before"] == 100


def test_the_same_pipeline_is_nothing():
    assert found(recorded(EVERY_FLIP, [MIRROR, GAMMA], "a")) == []


def test_rates_that_differ_by_chance_are_nothing():
    assert found(recorded({(0,): 11, (1,): 20, (0, 1): 14}, [MIRROR, GAMMA], "a")) == []


def test_flips_that_changed_behind_an_equal_description_are_told():
    [finding] = found(recorded(NO_FLIP, [MIRROR, GAMMA], "a"))
    assert "transforms" in finding.evidence
    assert finding.evidence["transforms"] == []


@pytest.mark.parametrize(
    ("trees", "words"),
    [
        ([{**MIRROR, "parameters": {"allowed_axes": [0]}}, GAMMA], "MirrorTransform.allowed_axes: [0, 1], now [0]"),
        ([MIRROR, {**GAMMA, "probability": 0.1}], "Gamma.probability: 0.3, now 0.1"),
        ([MIRROR, {**GAMMA, "code": "bb"}], "Gamma's code was changed"),
        ([MIRROR, GAMMA, {"class": "Blur", "module": "bg"}], "added Blur"),
    ],
)
def test_what_changed_in_the_transforms_is_named(trees, words):
    [finding] = found(recorded(EVERY_FLIP, trees, "b"))
    assert words in finding.seen


def test_another_python_compiles_the_same_source_otherwise_and_that_is_no_change():
    assert found(recorded(EVERY_FLIP, [MIRROR, {**GAMMA, "code": "bb"}], "b", python="3.12")) == []


def test_a_parameter_that_only_one_version_of_a_library_has_is_no_change():
    newer = {**MIRROR, "parameters": {"allowed_axes": [0, 1], "new": 1}}
    assert found(recorded(EVERY_FLIP, [newer, GAMMA], "b")) == []


def test_what_was_never_observed_is_not_compared():
    pending = recorded(NO_FLIP, [MIRROR, GAMMA], "b", state="pending")
    assert found(pending) == []
    assert (
        found(recorded(NO_FLIP, [MIRROR, GAMMA], "b"), recorded(EVERY_FLIP, [MIRROR, GAMMA], "a", state="unknown"))
        == []
    )


def test_a_stretch_without_a_step_is_not_what_training_showed():
    empty = Segment(epoch=1, steps=0, fingerprint="b", mirroring=record_of(NO_FLIP).mirroring)
    before = msgspec.structs.replace(BEFORE, segments=[*BEFORE.segments, empty])
    assert found(recorded(EVERY_FLIP, [MIRROR, GAMMA], "a"), before) == []


def test_many_changes_are_counted_rather_than_listed():
    many = [{"class": f"New{number}", "module": "bg"} for number in range(20)]
    [finding] = found(recorded(EVERY_FLIP, [MIRROR, GAMMA, *many], "b"))
    assert "14 more changes" in finding.seen
    assert len(finding.evidence["transforms"]) == 20


@pytest.mark.parametrize("trees", [None, "text", [1, 2], [{"children": "too many to list"}], {"a": 1}])
def test_described_trees_may_be_anything(trees):
    assert found(msgspec.structs.replace(recorded(EVERY_FLIP, [], "b"), transforms=trees)) == []
