"""Claims about folds that are predicted together."""

import copy

from nnguard.findings import ADVISORY, HARMFUL, NOTE
from nnguard.rules.nng301_folds_differ import check_ensemble
from nnguard.rules.subjects import Member
from tests.support.checkpoints import DATASET, PLANS
from tests.support.records import (
    AXIS_0_AND_HALF_TURNS,
    AXIS_1_BY_ESTIMATE_RARE,
    EVERY_FLIP,
    NO_FLIP,
    record_of,
)


def member(fold, counts=EVERY_FLIP, **changes):
    fields = {
        "record": record_of(counts) if counts is not None else None,
        "axes": (0, 1),
        "trainer": "nnUNetTrainer",
        "configuration": "2d",
        "plans": PLANS,
        "dataset": DATASET,
        "epoch": 1000,
    }
    return Member(fold=fold, **{**fields, **changes})


def codes(members, **options):
    return [(finding.code, finding.severity) for finding in check_ensemble("model", members, **options)]


def test_folds_of_one_training_are_silent():
    assert codes([member(fold) for fold in range(5)]) == []
    assert codes([member(0)]) == []
    assert codes([member(fold, counts=None) for fold in range(2)]) == []


def test_a_sound_fold_in_front_does_not_hide_an_unsound_one():
    assert codes([member(0), member(1, NO_FLIP)]) == [("NNG301", HARMFUL)]
    assert codes([member(0, NO_FLIP), member(1)]) == [("NNG301", HARMFUL)]


def test_a_fold_that_is_unsound_by_estimate_is_worth_a_look():
    estimate = record_of(AXIS_1_BY_ESTIMATE_RARE, clean=256)
    assert codes([member(0), member(1, record=estimate)]) == [("NNG301", ADVISORY)]
    settled = record_of(AXIS_0_AND_HALF_TURNS, clean=256)
    assert codes([member(0), member(1, record=settled)]) == [("NNG301", HARMFUL)]


def test_different_folds_under_axes_that_are_safe_for_all_are_worth_a_look():
    assert codes([member(0), member(1, NO_FLIP)], use_mirroring=False) == [("NNG301", ADVISORY)]
    assert codes([member(0, axes=None), member(1, NO_FLIP, axes=None)]) == [("NNG301", ADVISORY)]


def test_folds_that_declare_different_axes_are_worth_a_look():
    assert codes([member(0), member(1, axes=(0,))]) == [("NNG301", ADVISORY)]
    assert codes([member(0), member(1, axes=[1, 0])]) == []


def test_an_owners_word_about_a_fold_is_not_harmful():
    assert codes([member(0), member(1, record=record_of(stated=()))]) == [("NNG301", ADVISORY)]


def test_what_is_pending_or_unknown_is_not_compared():
    assert codes([member(0), member(1, record=record_of(NO_FLIP, state="pending"))]) == []


def test_folds_of_other_trainers_or_configurations_are_told():
    assert codes([member(0), member(1, trainer="nnUNetTrainerDA5")]) == [("NNG301", ADVISORY)]
    assert codes([member(0), member(1, trainer=None)]) == []


def test_folds_with_other_plans_are_told_as_far_as_inference_reads_them():
    other = copy.deepcopy(PLANS)
    other["configurations"]["2d"]["batch_size"] = 1
    assert codes([member(0), member(1, plans=other)]) == []
    other["configurations"]["2d"]["spacing"] = [2.0, 2.0]
    assert codes([member(0), member(1, plans=other)]) == [("NNG301", ADVISORY)]


def test_folds_whose_plans_differ_in_what_nothing_reads_are_a_note():
    other = copy.deepcopy(PLANS)
    other["foreground_intensity_properties_per_channel"]["0"]["mean"] = 7.0
    assert codes([member(0), member(1, plans=other)]) == [("NNG301", NOTE)]


def test_what_differs_in_several_ways_is_one_finding_as_grave_as_the_gravest():
    (finding,) = check_ensemble(
        "model", [member(0), member(1, NO_FLIP, trainer="Mine", epoch=3), Member(fold=2, missing="x")]
    )
    assert finding.severity == HARMFUL
    for words in ("mirror differently", "different trainers", "not all there", "different epochs"):
        assert words in finding.message


def test_a_missing_fold_is_told():
    assert codes([member(0), Member(fold=3, missing="no checkpoint_final.pth")]) == [("NNG301", ADVISORY)]


def test_folds_at_other_epochs_are_told_except_for_the_best_ones():
    folds = [member(0), member(1, epoch=412)]
    assert codes(folds) == [("NNG301", ADVISORY)]
    assert codes(folds, checkpoint_name="checkpoint_best.pth") == []


def test_malformed_axes_are_another_rules_business():
    assert codes([member(fold, axes=()) for fold in range(2)]) == []


def test_folds_whose_plans_are_not_known_are_not_compared():
    assert codes([member(0, plans=None), member(1)]) == []
    assert codes([member(0), member(1, plans=None)]) == []


def test_the_finding_names_each_folds_mirroring_and_the_axes_in_use():
    (finding,) = check_ensemble("model", [member(0), member(1, NO_FLIP)])
    assert "fold 0 trained with mirroring along (0, 1)" in finding.seen
    assert "fold 1 trained with mirroring along None" in finding.seen
    assert "in views that training did not show to fold 1" in finding.effect
    (finding,) = check_ensemble("model", [member(0), member(1, NO_FLIP)], use_mirroring=False)
    assert finding.effect == "all of them are used with mirroring axes None."


def remedy(members, **options):
    (finding,) = check_ensemble("model", members, **options)
    return finding.remedy


def test_the_folds_to_use_are_those_that_are_there():
    gone = Member(fold=1, missing="no checkpoint_final.pth")
    assert remedy([member(0), gone, member(2)]).endswith("predict with those that are there: -f 0 2")
    assert "-f" not in remedy([gone])


def test_of_folds_at_other_epochs_the_longest_trained_are_the_ones_to_use():
    folds = [member(0, epoch=412), Member(fold=1, missing="gone"), member(2), member(3, epoch=None), member(4)]
    assert remedy(folds).endswith("those that were trained longest: -f 2 4")


def test_a_fold_that_is_not_there_is_never_the_example():
    other = copy.deepcopy(PLANS)
    other["configurations"]["2d"]["spacing"] = [2.0, 2.0]
    for apart in ({"trainer": "nnUNetTrainerDA5"}, {"plans": other}, {"axes": (0,)}):
        assert "for example -f 3" in remedy([member(3), member(4, **apart)])
