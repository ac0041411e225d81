"""Claims about a predictor that starts. Each rule fires, and has a twin that must not."""

import msgspec
import pytest

from nnguard.findings import ADVISORY, HARMFUL
from nnguard.record import Apart
from nnguard.rules.checks import check_prediction
from nnguard.rules.subjects import Prediction
from nnguard.rules.verdicts import narrowed_axes
from tests.support.records import (
    AXIS_0_AND_HALF_TURNS,
    AXIS_1_BY_ESTIMATE_RARE,
    EVERY_FLIP,
    NO_FLIP,
    record_of,
)

PATH = "/models/my results/fold_0/checkpoint_final.pth"


def judged(record, axes=(0, 1), **prediction):
    prediction.setdefault("checkpoint_axes", axes)
    return check_prediction(record, Prediction(subject=PATH, axes=axes, **prediction))


def codes(findings):
    return sorted(finding.code for finding in findings)


def test_a_predictor_that_uses_what_training_showed_is_silent():
    assert judged(record_of(EVERY_FLIP)) == []


def test_a_predictor_that_uses_an_unseen_flip_is_harmful():
    (finding,) = judged(record_of(NO_FLIP))
    assert (finding.code, finding.severity) == ("NNG101", HARMFUL)
    assert [flip["axes"] for flip in finding.evidence["flips"]] == [[0], [1], [0, 1]]
    assert "--disable_tta" in finding.remedy
    assert f"nnguard repair '{PATH}'" in finding.remedy


def test_a_network_that_was_taught_wrong_labels_is_told_whatever_its_predictor_does():
    record = record_of(EVERY_FLIP, apart=Apart(cases=30, compared=30))
    for use_mirroring in (True, False):
        (finding,) = [one for one in judged(record, use_mirroring=use_mirroring) if one.code == "NNG114"]
        assert finding.severity == HARMFUL
        assert "train again" in finding.remedy
    assert judged(record, validation=True) == []  # its own training has told already
    assert judged(record_of(EVERY_FLIP, apart=None)) == []


def test_without_mirroring_nothing_unseen_is_used():
    assert judged(record_of(NO_FLIP), use_mirroring=False) == []
    assert judged(record_of(NO_FLIP, effective=None, changed_by="repair"), axes=None) == []


def test_of_rare_and_unseen_flips_one_finding_tells_them_apart():
    (rare,) = judged(record_of(AXIS_0_AND_HALF_TURNS, clean=256))
    assert "too rarely to be learnt" in rare.message
    assert "never showed" not in rare.message
    (both,) = judged(record_of({(0,): 28, (0, 1): 2}))
    assert both.code == "NNG101"
    assert "axis 1 (x, usually left-right), which training never showed and axes 0 and 1 together" in both.message


def test_of_a_rare_axis_and_its_combination_one_finding_lists_both():
    (finding,) = judged(record_of(AXIS_0_AND_HALF_TURNS, clean=256))
    assert [flip["axes"] for flip in finding.evidence["flips"]] == [[1], [0, 1]]
    assert finding.evidence["safe_axes"] == [0]


def test_only_the_flips_in_use_are_judged():
    record = record_of(AXIS_0_AND_HALF_TURNS, clean=256, effective=(0,), changed_by="repair")
    assert judged(record, axes=(0,)) == []


def test_axes_that_exchange_labels_are_not_called_unseen():
    record = record_of(EVERY_FLIP, labels={(1,): "swapped", (0, 1): "mixed"}, permutation={1: 2, 2: 1})
    (finding,) = judged(record)
    assert (finding.code, finding.severity) == ("NNG106", HARMFUL)
    assert {entry["labels"] for entry in finding.evidence["permutations"]} == {"swapped", "mixed"}


def test_switching_mirroring_off_is_worth_a_look():
    (finding,) = judged(record_of(EVERY_FLIP), use_mirroring=False)
    assert (finding.code, finding.severity) == ("NNG102", ADVISORY)


def test_using_fewer_axes_than_the_checkpoint_allows_is_worth_a_look():
    assert codes(judged(record_of(EVERY_FLIP), axes=(0,), checkpoint_axes=(0, 1))) == ["NNG102"]


def test_a_trainer_that_withholds_mirroring_is_no_news_at_prediction():
    assert judged(record_of(EVERY_FLIP, declared=None), axes=None) == []


def test_rare_mirroring_left_out_is_no_news():
    record = record_of(AXIS_0_AND_HALF_TURNS, clean=256)
    assert judged(record, axes=(0,), checkpoint_axes=(0, 1)) == []


def test_axes_edited_by_somebody_else_are_told_and_lists_for_tuples_are_not():
    assert codes(judged(record_of(EVERY_FLIP), checkpoint_axes=(0,), axes=(0, 1))) == ["NNG109"]
    assert judged(record_of(EVERY_FLIP), checkpoint_axes=[1, 0]) == []


def test_axes_that_repair_changed_are_the_records_own():
    record = record_of(NO_FLIP, effective=None, changed_by="repair")
    assert judged(record, axes=None, checkpoint_axes=None) == []


def test_without_a_file_nothing_is_said_of_its_axes():
    assert judged(record_of(EVERY_FLIP, declared=None), checkpoint_axes=msgspec.UNSET) == []


@pytest.mark.parametrize("axes", [(), [], 2, (-1,), (0, 0), (0, 1, 2), "0", [0.5]])
def test_malformed_axes_are_found_before_the_first_patch(axes):
    assert "NNG105" in codes(judged(record_of(EVERY_FLIP, declared=axes), axes=axes))
    assert "NNG105" in codes(judged(None, axes=axes, spatial_dims=2))


def test_malformed_axes_that_are_not_used_are_no_finding():
    assert "NNG105" not in codes(judged(record_of(EVERY_FLIP), axes=(0, 0), use_mirroring=False))


def test_a_thousand_axes_are_malformed_and_not_counted_out():
    assert codes(judged(None, axes=tuple(range(1000)))) == ["NNG105", "NNG108"]
    hostile = record_of(EVERY_FLIP, effective=tuple(range(1000)), spatial_dims=1000)
    assert "NNG105" in codes(judged(hostile, axes=tuple(range(1000))))


def test_no_record_is_unverified_with_what_weaker_evidence_says():
    (finding,) = judged(None, no_record="trained without nnguard", weaker="debug.json lists no mirror")
    assert (finding.code, finding.severity) == ("NNG108", ADVISORY)
    assert "debug.json lists no mirror" in finding.seen
    assert "nnguard fliptest" in finding.remedy


@pytest.mark.parametrize("state", ["pending", "unknown"])
def test_pending_and_unknown_are_unverified_and_never_a_mismatch(state):
    assert codes(judged(record_of(NO_FLIP, state=state))) == ["NNG108"]


@pytest.mark.parametrize("state", ["pending", "unknown"])
def test_flips_that_were_shown_need_no_waiting_for_others(state):
    record = record_of(AXIS_0_AND_HALF_TURNS, clean=240, state=state)
    assert judged(record, axes=(0,), checkpoint_axes=(0, 1)) == []
    assert codes(judged(record, axes=(0, 1))) == ["NNG108"]
    assert codes(judged(record, axes=(0,), checkpoint_axes=(0, 1), use_mirroring=False)) == ["NNG108"]


def test_no_record_is_no_pass_even_without_mirroring():
    (finding,) = judged(None, use_mirroring=False)
    assert finding.code == "NNG108"
    assert "no untrained flip is used" in finding.effect


def test_an_owners_statement_is_advisory_and_named():
    (finding,) = [one for one in judged(record_of(stated=(0,))) if one.code == "NNG101"]
    assert finding.severity == ADVISORY
    assert "as the model's owner says" in finding.message
    assert judged(record_of(stated=(0, 1))) == []


def test_a_measurement_of_the_network_is_settled():
    (finding,) = judged(record_of(stated=(), state="measured"))
    assert (finding.code, finding.severity) == ("NNG101", HARMFUL)


def test_always_flipping_is_harmful_however_one_predicts():
    assert "NNG113" in codes(judged(record_of({(0,): 64}), use_mirroring=False))


def test_the_remedy_mends_the_place_that_the_axes_come_from():
    by_hand = judged(record_of(NO_FLIP, declared=None), axes=(0,), checkpoint_axes=None)
    (finding,) = [one for one in by_hand if one.code == "NNG101"]
    assert "predictor.allowed_mirroring_axes = None" in finding.remedy
    assert "nnguard repair" not in finding.remedy
    (finding,) = judged(record_of(NO_FLIP), validation=True, checkpoint_axes=msgspec.UNSET)
    assert "self.inference_allowed_mirroring_axes = None" in finding.remedy


def test_axes_are_named_for_people_through_the_transpose():
    (finding,) = judged(record_of(NO_FLIP, dims=3, transpose_forward=[2, 0, 1]), axes=(0,), checkpoint_axes=(0, 1))[:1]
    assert "axis 0 (x, usually left-right)" in finding.message


def test_correct_narrows_to_the_safe_axes():
    record = record_of(AXIS_0_AND_HALF_TURNS, clean=256)
    assert narrowed_axes(record, (0, 1)) == (0,)
    assert narrowed_axes(record, (1,)) is None
    assert narrowed_axes(record, None) is None


@pytest.mark.parametrize(
    ("axes", "narrowed"), [((), None), (1, (1,)), ((-1,), None), ((0, 0), (0,)), ((0, 1, 2), (0, 1))]
)
def test_correct_puts_malformed_axes_right_by_dropping(axes, narrowed):
    assert narrowed_axes(record_of(EVERY_FLIP), axes) == narrowed


@pytest.mark.parametrize("state", ["pending", "unknown", "declared"])
def test_only_a_settled_verdict_corrects(state):
    assert narrowed_axes(record_of(NO_FLIP, state=state), (0, 1)) == (0, 1)
    assert narrowed_axes(None, (0, 1)) == (0, 1)


def test_an_unverified_finding_tells_why_and_what_is_used():
    (finding,) = judged(record_of(NO_FLIP, state="unknown", reasons=["the loader is Mine"]))
    assert finding.seen == "the loader is Mine; predictor uses axes (0, 1), from the checkpoint"
    (finding,) = judged(record_of(NO_FLIP, state="pending"), use_mirroring=False)
    assert finding.seen.startswith("not settled when the record was written; predictor uses no mirroring")
    (finding,) = judged(None, axes=None)
    assert "trained without nnguard" in finding.seen
    assert "no untrained flip is used" in finding.effect
    (finding,) = judged(None, no_record="the record is broken")
    assert "the record is broken" in finding.seen
    assert "no untrained flip is used" not in finding.effect


def test_a_command_that_already_switches_mirroring_off_is_not_told_to_do_so_twice():
    (finding,) = judged(None, predict_command="nnUNetv2_predict -i a --disable_tta")
    assert finding.remedy.count("--disable_tta") == 1


def test_a_record_that_claims_a_thousand_effective_axes_is_not_counted_out():
    hostile = record_of(EVERY_FLIP, effective=tuple(range(1000)), spatial_dims=1000)
    assert codes(judged(hostile)) == ["NNG109"]


@pytest.mark.parametrize(("state", "kept"), [("observed", "(0,)"), ("pending", "None")])
def test_the_remedy_for_malformed_axes_keeps_what_is_known_to_be_safe(state, kept):
    found = judged(record_of(EVERY_FLIP, state=state), axes=(0, 0), checkpoint_axes=(0, 1))
    (finding,) = [one for one in found if one.code == "NNG105"]
    assert finding.remedy.endswith(f"predictor.allowed_mirroring_axes = {kept}")


def test_repair_is_told_to_people_with_the_axes_that_it_will_set():
    (finding,) = judged(record_of(AXIS_0_AND_HALF_TURNS, clean=256))
    assert "(mirroring axes (0,); a backup is kept)" in finding.remedy
    (finding,) = judged(record_of(NO_FLIP))
    assert "(mirroring axes None; a backup is kept)" in finding.remedy


def test_without_a_file_an_annotation_has_no_path_to_name():
    (finding,) = judged(None, checkpoint_axes=msgspec.UNSET)
    assert "nnguard repair CHECKPOINT --state" in finding.remedy
    (finding,) = judged(None)
    assert f"nnguard repair '{PATH}' --state" in finding.remedy


def malformed(record, **prediction):
    (finding,) = [one for one in judged(record, **prediction) if one.code == "NNG105"]
    return finding.remedy


def test_axes_by_hand_and_in_a_file_are_only_narrowed():
    by_hand = malformed(record_of(EVERY_FLIP), axes=(0, 2), checkpoint_axes=(0, 1))
    assert by_hand.endswith("predictor.allowed_mirroring_axes = (0,)")
    in_file = malformed(record_of(EVERY_FLIP, declared=(0, 2)), axes=(0, 2), checkpoint_axes=(0, 2))
    assert "(mirroring axes (0,); a backup is kept)" in in_file


# ---------------------------------------------------------------- estimates


def test_a_rare_flip_by_estimate_is_advisory_and_its_settled_twin_is_harmful():
    (estimate,) = judged(record_of(AXIS_1_BY_ESTIMATE_RARE, clean=256))
    assert (estimate.code, estimate.severity) == ("NNG101", ADVISORY)
    assert "(an estimate)" in estimate.message
    assert "NNGUARD=correct" not in estimate.remedy
    (settled,) = judged(record_of(AXIS_0_AND_HALF_TURNS, clean=256))
    assert (settled.code, settled.severity) == ("NNG101", HARMFUL)
    assert "NNGUARD=correct" in settled.remedy


def test_a_combination_that_a_few_draws_missed_is_an_estimate():
    missed = {(0,): 20, (1,): 20}
    (estimate,) = judged(record_of(missed, clean=64))
    assert (estimate.code, estimate.severity) == ("NNG101", ADVISORY)
    (settled,) = judged(record_of({(0,): 80, (1,): 80}, clean=256))
    assert (settled.code, settled.severity) == ("NNG101", HARMFUL)


def test_correct_takes_no_axis_away_by_an_estimate():
    assert narrowed_axes(record_of(AXIS_1_BY_ESTIMATE_RARE, clean=256), (0, 1)) == (0, 1)
    assert narrowed_axes(record_of(AXIS_0_AND_HALF_TURNS, clean=256), (0, 1)) == (0,)
    assert narrowed_axes(record_of({(0,): 20, (1,): 20}, clean=64), (0, 1)) == (0, 1)


def test_of_settled_flips_and_estimates_the_settled_ones_decide():
    record = record_of({(0,): 6}, clean=128)
    (finding,) = judged(record)
    assert (finding.code, finding.severity) == ("NNG101", HARMFUL)
    assert [flip["axes"] for flip in finding.evidence["flips"]] == [[0], [1], [0, 1]]
    assert narrowed_axes(record, (0, 1)) == (0,)


def test_a_flip_that_exchanges_labels_does_harm_on_either_side_of_the_threshold():
    record = record_of(AXIS_1_BY_ESTIMATE_RARE, clean=256, labels={(1,): "swapped", (0, 1): "swapped"})
    (finding,) = judged(record)
    assert (finding.code, finding.severity) == ("NNG106", HARMFUL)
    assert narrowed_axes(record, (0, 1)) == (0,)


# ---------------------------------------------------------------- thin flips

#: Axis 1 a quarter as often as the plain view, and enough draws to tell that from a tenth and from an ordinary mirror.
AXIS_1_THIN = {(0,): 205, (1,): 51, (0, 1): 51}


def test_a_flip_that_is_trained_and_seldom_shown_advises_and_narrows_nothing():
    record = record_of(AXIS_1_THIN, clean=512)
    (finding,) = judged(record)
    assert (finding.code, finding.severity) == ("NNG112", ADVISORY)
    assert [flip["axes"] for flip in finding.evidence["flips"]] == [[1]]
    assert "nnguard fliptest" in finding.remedy
    assert narrowed_axes(record, (0, 1)) == (0, 1)


@pytest.mark.parametrize(
    ("counts", "clean"),
    [
        (EVERY_FLIP, 64),
        ({(0,): 128, (1,): 128, (0, 1): 128}, 512),
        ({(0,): 180, (1,): 76, (0, 1): 76}, 512),  # three tenths and more
        ({(0,): 16, (1,): 5, (0, 1): 16}, 64),  # an ordinary mirror shows so few now and then
    ],
)
def test_an_ordinary_mirror_is_not_thin(counts, clean):
    assert judged(record_of(counts, clean=clean)) == []


def test_a_thin_flip_that_is_not_in_use_or_only_an_estimate_is_silent():
    assert codes(judged(record_of(AXIS_1_THIN, clean=512), axes=(0,), checkpoint_axes=(0, 1))) == ["NNG102"]
    near_the_threshold = {(0,): 230, (1,): 30, (0, 1): 30}
    assert judged(record_of(near_the_threshold, clean=512)) == []


def test_a_mixture_of_stretches_is_settled_by_their_intervals():
    """Two stretches of 64 draws each, weighted by their steps, are known better than 128 draws of the mixture."""
    drawn = record_of({(0,): 3, (1,): 3, (0, 1): 3}, clean=128)
    assert {finding.severity for finding in judged(drawn)} == {ADVISORY}
    known = [msgspec.structs.replace(flip, high=0.07) for flip in drawn.mirroring.flips]
    mixed = msgspec.structs.replace(drawn, mirroring=msgspec.structs.replace(drawn.mirroring, flips=known))
    assert {finding.severity for finding in judged(mixed)} == {HARMFUL}
