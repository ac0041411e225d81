"""Claims about versions, and about results that do not fit together."""

import pytest

from nnguard.findings import ADVISORY, NOTE, Finding
from nnguard.record import Environment
from nnguard.rules.nng401_metric_gap import check_gap
from nnguard.rules.nng402_stale_validation import check_stale
from nnguard.rules.nng501_versions_differ import check_versions
from nnguard.rules.subjects import Scores

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


def test_results_that_other_axes_made_are_stale():
    (finding,) = check_stale("model", (0, 1), None, ["fold_0/validation"], "Make them anew: validate fold_0.")
    assert (finding.code, finding.severity) == ("NNG402", ADVISORY)
    assert "validate fold_0" in finding.remedy


def test_results_that_the_same_axes_made_are_not_and_where_there_are_none_nothing_is():
    assert check_stale("model", (0, 1), [1, 0], ["fold_0/validation"], "x") == []
    assert check_stale("model", (0, 1), None, [], "") == []
