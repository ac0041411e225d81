"""Claims that hold for every record and every set of axes."""

from hypothesis import given
from hypothesis import strategies as st

from nnguard.findings import HARMFUL
from nnguard.flips import flips_of
from nnguard.record import Record
from nnguard.rules.checks import check_prediction, check_training
from nnguard.rules.subjects import Prediction, Training
from nnguard.rules.verdicts import evidence_of, narrowed_axes, settled_against, unsettled_flips, unsound_flips
from tests.support.records import record_of

LABELS = st.sampled_from(["kept", "kept", "kept", "swapped", "mixed", "unknown"])


@st.composite
def records(draw, state="observed"):
    dims = draw(st.sampled_from([2, 3]))
    flips = flips_of(range(dims))
    counts = {flip: draw(st.sampled_from([0, 1, 3, 20, 40])) for flip in flips}
    labels = {flip: draw(LABELS) for flip in flips if counts[flip]}
    plain = draw(st.integers(1, 60))
    declared = draw(st.one_of(st.none(), axes_of(dims)))
    return record_of(
        counts,
        declared=declared,
        clean=plain + sum(counts.values()),
        dims=dims,
        labels=labels,
        state=state,
        permutation={1: 2},
    )


def axes_of(dims):
    return st.lists(st.integers(0, dims - 1), unique=True, min_size=1).map(tuple)


anything = st.one_of(
    st.none(),
    st.integers(-3, 5),
    st.text(max_size=3),
    st.lists(st.one_of(st.integers(-2, 9), st.none(), st.booleans(), st.floats()), max_size=5).map(tuple),
)


@given(records(), st.data())
def test_safe_axes_are_never_wider_than_asked(record, data):
    asked = data.draw(axes_of(record.spatial_dims))
    assert set(narrowed_axes(record, asked) or ()) <= set(asked)


@given(records(), st.data())
def test_every_flip_of_what_correct_leaves_keeps_labels_and_is_trained_as_far_as_that_is_settled(record, data):
    left = narrowed_axes(record, data.draw(axes_of(record.spatial_dims))) or ()
    for flip in flips_of(left):
        assert evidence_of(record)[flip].verdict == "trained" or unsettled_flips(record, [flip])
        assert evidence_of(record)[flip].labels not in ("swapped", "mixed")


@given(records(), st.data())
def test_correct_takes_an_axis_away_only_where_settled_evidence_requires_it(record, data):
    asked = data.draw(axes_of(record.spatial_dims))
    left = narrowed_axes(record, asked) or ()
    for axis in set(asked) - set(left):
        assert settled_against(record, tuple(sorted((*left, axis))))


@given(records(), anything)
def test_what_correct_leaves_is_never_harmful(record, axes):
    narrowed = narrowed_axes(record, axes)
    found = check_prediction(record, Prediction(subject="x", axes=narrowed))
    assert [finding for finding in found if finding.severity == HARMFUL] == []


@given(records(), st.data())
def test_mirroring_is_harmful_only_where_a_settled_flip_is_against_it(record, data):
    asked = data.draw(axes_of(record.spatial_dims))
    found = check_prediction(record, Prediction(subject="x", axes=asked))
    harmful = {finding.code for finding in found if finding.severity == HARMFUL}
    assert bool(harmful - {"NNG113"}) == bool(settled_against(record, asked))


@given(records(), anything)
def test_any_value_gets_an_answer_and_the_record_survives_its_json(record, axes):
    found = check_prediction(record, Prediction(subject="x", axes=axes, checkpoint_axes=axes))
    again = check_prediction(
        Record.from_json(record.to_json()), Prediction(subject="x", axes=axes, checkpoint_axes=axes)
    )
    assert [(one.code, one.severity) for one in found] == [(one.code, one.severity) for one in again]


@given(records(), st.sampled_from(["pending", "unknown", "declared"]), anything)
def test_without_a_settled_verdict_mirroring_is_never_harmful(record, state, axes):
    import msgspec

    record = msgspec.structs.replace(record, mirroring=msgspec.structs.replace(record.mirroring, state=state))
    found = check_prediction(record, Prediction(subject="x", axes=axes, checkpoint_axes=axes))
    found += check_training(record, Training(subject="x"))
    assert {finding.code for finding in found if finding.severity == HARMFUL} <= {"NNG105"}


@given(records(), st.data())
def test_each_unsound_flip_belongs_to_one_rule(record, data):
    asked = data.draw(axes_of(record.spatial_dims))
    found = check_prediction(record, Prediction(subject="x", axes=asked))
    told = [
        tuple(flip["axes"])
        for finding in found
        if finding.code in ("NNG101", "NNG106")
        for flip in finding.evidence["flips"]
    ]
    assert sorted(told) == sorted(flip for flips in unsound_flips(record, asked).values() for flip in flips)
