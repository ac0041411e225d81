"""Claims about versions, and about results that do not fit together."""

import pytest

from nnguard.findings import ADVISORY, NOTE, Finding
from nnguard.record import Environment
from nnguard.rules.metrics import check_gap, check_stale
from nnguard.rules.subjects import Scores
from nnguard.rules.versions import check_versions
from records import NO_FLIP, record_of

HERE = Environment(nnunetv2="2.8.1", batchgenerators="0.25.1", batchgeneratorsv2="0.3.6", torch="2.15.0+cpu")


@pytest.mark.parametrize(
    ("package", "version"),
    [("nnunetv2", "2.5.1"), ("batchgenerators", "0.25"), ("batchgeneratorsv2", "0.2"), ("torch", "2.5.1")],
)
def test_another_version_is_a_note(package, version):
    trained = Environment(**{package: version})
    (finding,) = check_versions("model", trained, HERE)
    assert (finding.code, finding.severity) == ("NNG501", NOTE)
    assert f"{package}=={version}" in finding.remedy


def test_several_other_versions_are_one_note():
    (finding,) = check_versions("model", Environment(nnunetv2="2.5.1", torch="2.5.1"), HERE)
    assert "another version of nnunetv2 and torch" in finding.message
    assert "nnunetv2==2.5.1 torch==2.5.1" in finding.remedy


def test_the_same_versions_are_silent_and_so_is_another_build():
    assert check_versions("model", HERE, HERE) == []
    assert check_versions("model", Environment(torch="2.15.0+cu130"), HERE) == []


def test_a_version_that_is_not_known_is_no_difference():
    assert check_versions("model", Environment(), HERE) == []
    assert check_versions("model", HERE, Environment()) == []


def test_a_gap_as_the_trap_makes_it_is_worth_a_look():
    (finding,) = check_gap("fold_0", Scores(pseudo=0.94, validation=0.467))
    assert (finding.code, finding.severity) == ("NNG401", ADVISORY)


@pytest.mark.parametrize(
    ("pseudo", "validation"),
    [(0.84, 0.70), (0.94, 0.92), (0.5, 0.9), (None, 0.1), (0.9, None), (float("nan"), 0.1), (0.9, float("nan"))],
)
def test_a_usual_gap_or_an_unknown_one_is_silent(pseudo, validation):
    assert check_gap("fold_0", Scores(pseudo=pseudo, validation=validation)) == []


def test_a_gap_names_the_findings_that_explain_it():
    others = [Finding("NNG101", "fold_0", "x."), Finding("NNG501", "fold_0", "y.")]
    (finding,) = check_gap("fold_0", Scores(pseudo=0.94, validation=0.467), others)
    assert finding.evidence["explained_by"] == ["NNG101"]
    assert "NNG101 explains it" in finding.seen


def test_a_validation_that_belongs_to_other_axes_explains_the_gap():
    (finding,) = check_gap("fold_0", Scores(pseudo=0.94, validation=0.467), [Finding("NNG402", "fold_0", "x.")])
    assert finding.remedy.startswith("See to NNG402 first, then validate again.\n")


def five_labels(**gaps):
    """Five labels with a gap of 0.03 each, save those that are given."""
    labels = {"liver": 0.03, "spleen": 0.03, "left": 0.03, "right": 0.03, "aorta": 0.03, **gaps}
    pseudo = dict.fromkeys(labels, 0.95)
    validation = {label: 0.95 - gap for label, gap in labels.items()}
    return Scores(
        pseudo=0.95, validation=sum(validation.values()) / 5, pseudo_labels=pseudo, validation_labels=validation
    )


def test_one_label_far_outside_the_others_is_worth_a_look():
    (finding,) = check_gap("fold_0", five_labels(left=0.3))
    assert finding.severity == ADVISORY
    assert finding.message == "Pseudo Dice and validation Dice are of left 0.95 and 0.65."
    assert [label["label"] for label in finding.evidence["labels"] if label["far_outside"]] == ["left"]
    assert "other labels 0.03" in finding.seen


def test_labels_that_all_have_a_usual_gap_are_silent():
    assert check_gap("fold_0", five_labels(left=0.18, right=0.12)) == []


def test_among_labels_of_wide_gaps_none_is_outside():
    wide = dict.fromkeys(("liver", "spleen", "aorta"), 0.19)
    assert check_gap("fold_0", five_labels(**wide, right=0.1, left=0.25)) == []


def test_a_pair_of_labels_that_mirroring_harms_is_seen_though_every_fold_has_it():
    trapped = five_labels(left=0.45, right=0.47)
    (finding,) = check_gap("fold_0", trapped, siblings=[trapped] * 4)
    assert [label["label"] for label in finding.evidence["labels"] if label["far_outside"]] == ["left", "right"]


def test_a_label_that_is_hard_in_every_fold_is_silent():
    hard = five_labels(left=0.3)
    assert check_gap("fold_0", hard, siblings=[hard] * 4) == []


def test_the_one_fold_that_differs_from_the_others_is_not():
    (finding,) = check_gap("fold_0", five_labels(left=0.3), siblings=[five_labels()] * 4)
    assert "the same label in other folds 0.03" in finding.seen


def one_label(gap, **more):
    return Scores(pseudo_labels={"left": 0.9}, validation_labels={"left": 0.9 - gap}, **more)


def test_one_label_in_one_fold_alone_has_only_a_bound_of_its_own():
    assert check_gap("fold_0", one_label(0.39)) == []
    (finding,) = check_gap("fold_0", one_label(0.41))
    assert finding.evidence["labels"][0]["far_outside"]


def test_small_objects_in_few_images_are_no_gap_where_their_voxels_fit():
    scattered = one_label(0.5, pooled_labels={"left": 0.85})
    assert check_gap("fold_0", scattered) == []


def test_the_next_step_is_a_fliptest_of_the_model():
    for others in ([], [Finding("NNG101", "fold_0", "x.")]):
        (finding,) = check_gap("fold_0", Scores(pseudo=0.94, validation=0.467), others, model="'a b'")
        assert "nnguard fliptest 'a b' -i IMAGES" in finding.remedy


def test_what_is_not_known_is_named_where_nothing_explains_the_gap():
    scores = Scores(pseudo=0.94, validation=0.467)
    (finding,) = check_gap("fold_0", scores, [Finding("NNG108", "fold_0", "x.")])
    assert "what training mirrored is not known (NNG108)" in finding.seen
    (finding,) = check_gap("fold_0", scores, [Finding("NNG108", "fold_0", "x."), Finding("NNG101", "fold_0", "x.")])
    assert "NNG108" not in finding.seen


def test_many_labels_are_counted_and_four_are_named():
    gaps = {f"label {number}": 0.5 for number in range(30)}
    scores = Scores(
        pseudo_labels=dict.fromkeys(gaps, 0.9), validation_labels={label: 0.9 - gap for label, gap in gaps.items()}
    )
    (finding,) = check_gap("fold_0", scores)
    assert "and of 26 labels more" in finding.message
    assert len(finding.evidence["labels"]) == 30


def test_results_from_before_a_repair_are_stale():
    record = record_of(NO_FLIP, declared=(0, 1), effective=None, changed_by="repair")
    (finding,) = check_stale("model", record, None, ["fold_0/validation"], ["nnUNetv2_train 2 2d 0 --val"])
    assert (finding.code, finding.severity) == ("NNG402", ADVISORY)
    assert "nnUNetv2_train 2 2d 0 --val" in finding.remedy


def test_results_of_a_training_that_was_corrected_from_its_start_are_not():
    record = record_of(NO_FLIP, declared=(0, 1), effective=None, changed_by="correct")
    assert check_stale("model", record, None, ["fold_0/validation"]) == []


def test_an_edit_by_somebody_else_makes_results_stale():
    assert [one.code for one in check_stale("model", record_of(NO_FLIP), None, ["fold_0/validation"])] == ["NNG402"]
    assert check_stale("model", record_of(NO_FLIP), [1, 0], ["fold_0/validation"]) == []


def test_where_there_are_no_results_nothing_is_stale():
    record = record_of(NO_FLIP, declared=(0, 1), effective=None, changed_by="repair")
    assert check_stale("model", record, None, []) == []


def test_what_validation_used_may_be_known_better():
    assert check_stale("model", record_of(NO_FLIP), (0, 1), ["x"], validated_with=None) != []


def test_what_a_fliptest_has_told_is_not_measured_again():
    (finding,) = check_gap("fold_0", Scores(pseudo=0.94, validation=0.467), fliptest="plain Dice 0.96")
    assert finding.remedy == "What mirroring costs has been measured already (plain Dice 0.96)."
