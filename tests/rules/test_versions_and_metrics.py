"""Claims about versions, and about results that do not fit together."""

import pytest

from nnguard.findings import ADVISORY, NOTE, Finding
from nnguard.record import Environment
from nnguard.rules.metrics import check_gap, check_stale
from nnguard.rules.versions import check_versions
from records import NO_FLIP, record_of

HERE = Environment(nnunetv2="2.8.1", batchgenerators="0.25.1", batchgeneratorsv2="0.3.6", torch="2.15.0+cpu")


@pytest.mark.parametrize(
    ("package", "version", "code"),
    [
        ("nnunetv2", "2.5.1", "NNG501"),
        ("batchgenerators", "0.25", "NNG502"),
        ("batchgeneratorsv2", "0.2", "NNG502"),
        ("torch", "2.5.1", "NNG503"),
    ],
)
def test_another_version_is_a_note_of_its_rule(package, version, code):
    trained = Environment(**{package: version})
    (finding,) = check_versions("model", trained, HERE)
    assert (finding.code, finding.severity) == (code, NOTE)
    assert f"{package}=={version}" in finding.remedy


def test_the_same_versions_are_silent_and_so_is_another_build():
    assert check_versions("model", HERE, HERE) == []
    assert check_versions("model", Environment(torch="2.15.0+cu130"), HERE) == []


def test_a_version_that_is_not_known_is_no_difference():
    assert check_versions("model", Environment(), HERE) == []
    assert check_versions("model", HERE, Environment()) == []


def test_a_gap_as_the_trap_makes_it_is_worth_a_look():
    (finding,) = check_gap("fold_0", 0.94, 0.467)
    assert (finding.code, finding.severity) == ("NNG401", ADVISORY)


@pytest.mark.parametrize(
    ("pseudo", "validation"),
    [(0.84, 0.70), (0.94, 0.92), (0.5, 0.9), (None, 0.1), (0.9, None), (float("nan"), 0.1), (0.9, float("nan"))],
)
def test_a_usual_gap_or_an_unknown_one_is_silent(pseudo, validation):
    assert check_gap("fold_0", pseudo, validation) == []


def test_a_gap_names_the_findings_that_explain_it():
    others = [Finding("NNG101", "fold_0", "x."), Finding("NNG503", "fold_0", "y.")]
    (finding,) = check_gap("fold_0", 0.94, 0.467, others)
    assert finding.evidence["explained_by"] == ["NNG101"]
    assert "NNG101 explains it" in finding.seen


def test_a_validation_that_belongs_to_other_axes_explains_the_gap():
    (finding,) = check_gap("fold_0", 0.94, 0.467, [Finding("NNG402", "fold_0", "x.")])
    assert finding.remedy == "See to NNG402 first, then validate again."


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
