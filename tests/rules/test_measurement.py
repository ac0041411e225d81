"""Claims about what was measured on a trained network: each rule fires, and has a twin that must not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnguard.findings import ADVISORY, HARMFUL
from nnguard.flips import flips_of
from nnguard.rules import nng116_unread_flip
from nnguard.rules.checks import check_prediction
from nnguard.rules.measurement import FEWEST_CASES, measurement_of, safe_by_both
from nnguard.rules.subjects import MeasuredFlip, Measurement, Prediction
from nnguard.rules.verdicts import narrowed_axes
from tests.support.records import (
    AXIS_0_AND_HALF_TURNS,
    AXIS_1_BY_ESTIMATE_RARE,
    EVERY_FLIP,
    NO_FLIP,
    record_of,
)

PATH = "/models/fold_0/checkpoint_final.pth"
FILE = "/models/nnguard-fliptest.json"
VERDICTS = ("safe", "harmful", "unsettled")


def narrowed(record, prediction, axes):
    return narrowed_axes(record, axes, prediction.measured, prediction.spatial_dims)


def measurement(verdicts, dims=2, *, cases=8, labels=True, **changes):
    """What a fliptest showed: flip -> verdict; ``labels``: whether references were given."""
    dice = {"safe": 0.96, "harmful": 0.03, "unsettled": 0.9}
    flips = [
        MeasuredFlip(
            axes=flip,
            verdict=verdicts.get(flip, "unsettled"),
            agreement=dice[verdicts.get(flip, "unsettled")],
            dice=dice[verdicts.get(flip, "unsettled")] if labels else None,
        )
        for flip in flips_of(range(dims))
    ]
    fields = {"cases": cases, "flips": flips, "safe_axes": (), "plain_dice": 0.97 if labels else None}
    return Measurement(**{**fields, **changes})


SAFE = dict.fromkeys(flips_of((0, 1)), "safe")
AXIS_0 = {(0,): "safe", (1,): "harmful", (0, 1): "harmful"}
OPEN = {}


def judged(record, verdicts, axes=(0, 1), *, use_mirroring=True, **made):
    measured = measurement(verdicts, **made)
    prediction = Prediction(
        subject=PATH,
        axes=axes,
        checkpoint_axes=axes,
        use_mirroring=use_mirroring,
        spatial_dims=2,
        measured=measured,
        measured_file=FILE,
    )
    return check_prediction(record, prediction)


def codes(findings):
    return sorted(finding.code for finding in findings)


# ---------------------------------------------------------------- NNG116


@pytest.mark.parametrize(
    "record",
    [None, record_of(EVERY_FLIP), record_of(NO_FLIP, state="unknown")],
    ids=["no record", "observed", "unknown"],
)
def test_a_flip_in_use_that_was_measured_to_harm_is_harmful(record):
    (finding,) = [one for one in judged(record, AXIS_0) if one.code == "NNG116"]
    assert finding.severity == HARMFUL
    assert [flip["axes"] for flip in finding.evidence["flips"]] == [(1,), (0, 1)]
    assert "measured with nnguard fliptest on 8 cases: plain Dice 0.97" in finding.seen


@pytest.mark.parametrize("record", [None, record_of(EVERY_FLIP)], ids=["no record", "observed"])
def test_flips_that_were_measured_to_be_safe_are_silent(record):
    assert judged(record, SAFE) == []


def test_a_harmful_flip_that_is_not_in_use_is_silent():
    assert judged(None, AXIS_0, axes=(0,)) == []
    assert judged(None, AXIS_0, use_mirroring=False) == []
    assert judged(None, AXIS_0, axes=None) == []


@pytest.mark.parametrize(("shown", "code"), [(NO_FLIP, "NNG101"), (AXIS_0_AND_HALF_TURNS, "NNG101")])
def test_what_training_is_known_to_have_left_out_has_its_own_rule_and_no_second_one(shown, code):
    record = record_of(shown, declared=(1,), clean=256)
    assert codes(judged(record, dict.fromkeys(flips_of((0, 1)), "harmful"), axes=(1,))) == [code]
    assert codes(judged(record, SAFE, axes=(1,))) == [code]


def test_what_was_measured_outweighs_a_statement():
    assert "NNG116" in codes(judged(record_of(stated=(0, 1)), AXIS_0))
    assert judged(record_of(stated=(0, 1)), SAFE) == []


def test_the_remedy_keeps_the_axes_that_both_allow_and_names_the_file():
    (finding,) = judged(None, AXIS_0)
    assert f"nnguard repair {PATH} --from-fliptest {FILE}" in finding.remedy
    assert "mirroring axes (0,)" in finding.remedy
    (finding,) = judged(record_of(EVERY_FLIP), {(0,): "harmful", (1,): "safe", (0, 1): "harmful"})
    assert "mirroring axes (1,)" in finding.remedy


@pytest.mark.parametrize(
    ("tta_dice", "tta_axes", "said"), [(0.5, (0, 1), "costs 0.47 Dice"), (0.5, (0,), "averaged in"), (0.98, (0, 1), "")]
)
def test_the_cost_is_told_where_this_very_mirroring_was_measured(tta_dice, tta_axes, said):
    (finding,) = judged(None, AXIS_0, tta_dice=tta_dice, tta_axes=tta_axes)
    assert said in finding.effect
    assert ("costs" in finding.effect) == said.startswith("costs")


# ---------------------------------------------------------------- NNG108, what stayed open


@pytest.mark.parametrize(
    ("made", "why"),
    [
        ({"cases": FEWEST_CASES - 1}, f"{FEWEST_CASES - 1} of the {FEWEST_CASES} cases that a verdict takes"),
        ({"labels": False}, "low agreement does not tell which of two answers is wrong"),
        ({}, "its interval lies on both sides"),
    ],
)
def test_what_stayed_open_is_unverified_and_says_why(made, why):
    (finding,) = judged(None, OPEN, **made)
    assert (finding.code, finding.severity) == ("NNG108", ADVISORY)
    assert why in finding.message
    assert "--disable_tta" in finding.remedy


def test_what_was_observed_needs_no_measurement_to_be_settled():
    assert judged(record_of(EVERY_FLIP), OPEN) == []


def test_flips_that_stayed_open_and_are_not_in_use_are_silent():
    assert judged(None, {(0,): "safe"}, axes=(0,)) == []


def test_without_labels_nothing_is_condemned_however_little_agrees():
    """A network that always saw its images mirrored agrees with itself at .03, and mirroring gains it .41 Dice."""
    findings = judged(None, OPEN, labels=False)
    assert codes(findings) == ["NNG108"]
    assert judged(record_of(EVERY_FLIP), OPEN, labels=False) == []


# ---------------------------------------------------------------- which measurement


def test_what_lies_beside_the_checkpoint_comes_before_what_its_record_keeps():
    import msgspec

    kept, beside = measurement(SAFE), measurement(AXIS_0)
    record = record_of(EVERY_FLIP, measured={"fliptest": msgspec.to_builtins(kept)})
    assert measurement_of(record, Prediction(subject=PATH)) == kept
    assert measurement_of(record, Prediction(subject=PATH, measured=beside)) == beside
    assert measurement_of(None, Prediction(subject=PATH)) is None
    assert (
        measurement_of(record_of(EVERY_FLIP, measured={"fliptest": {"cases": "x"}}), Prediction(subject=PATH)) is None
    )


def test_without_a_measurement_there_is_nothing_to_say():
    assert nng116_unread_flip.check_prediction(record_of(NO_FLIP), Prediction(subject=PATH, axes=(0, 1))) == []


# ---------------------------------------------------------------- narrowing


def test_axes_are_narrowed_to_what_both_allow():
    beside = Prediction(subject=PATH, spatial_dims=2, measured=measurement(AXIS_0))
    assert narrowed(None, beside, (0, 1)) == (0,)
    assert narrowed(record_of(EVERY_FLIP), beside, (0, 1)) == (0,)
    assert narrowed(record_of(NO_FLIP), beside, (0, 1)) is None
    assert narrowed(None, beside, (1,)) is None
    assert narrowed(None, beside, (1, 7, -1)) is None


def test_without_a_measurement_narrowing_is_by_the_record_alone():
    nothing = Prediction(subject=PATH, spatial_dims=2)
    assert narrowed(None, nothing, (0, 1)) == (0, 1)
    assert narrowed(record_of(NO_FLIP), nothing, (0, 1)) is None


@st.composite
def measured(draw, dims=2):
    return measurement({flip: draw(st.sampled_from(VERDICTS)) for flip in flips_of(range(dims))}, dims)


SHOWN = st.sampled_from([None, EVERY_FLIP, NO_FLIP, AXIS_0_AND_HALF_TURNS, AXIS_1_BY_ESTIMATE_RARE])


@given(measured(3), st.lists(st.integers(0, 2), unique=True).map(tuple))
def test_narrowing_never_adds_an_axis_and_leaves_only_safe_flips(found, axes):
    safe = safe_by_both(None, found.flips, axes)
    assert set(safe) <= set(axes)
    assert {found.verdict(flip) for flip in flips_of(safe)} <= {"safe"}
    for axis in set(axes) - set(safe):
        wider = flips_of(sorted((*safe, axis)))
        assert any(found.verdict(flip) != "safe" for flip in wider)


@given(measured(), SHOWN)
def test_what_narrowing_leaves_is_not_harmful(found, shown):
    record = None if shown is None else record_of(shown, clean=256)
    beside = Prediction(subject=PATH, spatial_dims=2, measured=found)
    left = narrowed(record, beside, (0, 1))
    findings = check_prediction(record, Prediction(subject=PATH, axes=left, spatial_dims=2, measured=found))
    assert HARMFUL not in {finding.severity for finding in findings}


def test_a_flip_that_a_measurement_left_open_is_not_taken_away():
    beside = Prediction(subject=PATH, spatial_dims=2, measured=measurement({(0,): "safe", (1,): "harmful"}))
    assert narrowed(None, beside, (0, 1)) == (0,)
    beside = Prediction(subject=PATH, spatial_dims=2, measured=measurement({(0,): "safe"}))
    assert narrowed(None, beside, (0, 1)) == (0, 1)
    assert narrowed(record_of(NO_FLIP), beside, (0, 1)) is None


def test_of_a_flip_that_is_rare_by_estimate_a_measurement_decides():
    estimate = record_of(AXIS_1_BY_ESTIMATE_RARE, clean=256)
    (finding,) = judged(estimate, AXIS_0)
    assert (finding.code, finding.severity) == ("NNG116", HARMFUL)
    (finding,) = judged(estimate, SAFE)
    assert (finding.code, finding.severity) == ("NNG101", ADVISORY)
    assert safe_by_both(estimate, measurement(SAFE).flips, (0, 1)) == (0, 1)


@given(measured(), SHOWN, st.sampled_from([None, (0,), (1,), (0, 1)]))
def test_each_flip_in_use_belongs_to_one_rule_at_most(found, shown, axes):
    record = None if shown is None else record_of(shown, clean=256)
    findings = check_prediction(record, Prediction(subject=PATH, axes=axes, spatial_dims=2, measured=found))
    told = [
        tuple(flip["axes"])
        for finding in findings
        if finding.code in ("NNG101", "NNG108", "NNG116")
        for flip in finding.evidence["flips"]
    ]
    assert len(told) == len(set(told))
    assert set(told) <= set(flips_of(axes or ()))
    harmful = {flip for flip in flips_of(axes or ()) if found.verdict(flip) == "harmful"}
    assert harmful <= set(told)


def test_a_thin_flip_that_was_measured_needs_no_advice():
    thin = record_of({(0,): 205, (1,): 51, (0, 1): 51}, clean=512)
    assert judged(thin, SAFE) == []
    assert codes(judged(thin, OPEN)) == ["NNG112"]
    assert codes(judged(thin, AXIS_0)) == ["NNG116"]


@pytest.mark.parametrize(
    ("verdicts", "safe"),
    [
        (("safe", "safe", "safe"), (0, 1)),
        (("safe", "safe", "unsettled"), (1,)),
        (("harmful", "harmful", "safe"), ()),
    ],
)
def test_safe_axes_need_every_flip_of_theirs_and_ties_go_to_what_agrees_best(verdicts, safe):
    flips = [
        MeasuredFlip(axes=axes, verdict=verdict, agreement=agreement)
        for axes, verdict, agreement in zip([(0,), (1,), (0, 1)], verdicts, [0.9, 0.95, 0.9], strict=True)
    ]
    assert safe_by_both(None, flips, (0, 1)) == safe
