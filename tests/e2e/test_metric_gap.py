"""NNG401 on models that nnU-Net's own commands trained and validated."""

from __future__ import annotations

import pytest

import nnguard


def found(model):
    return {finding.code: finding for finding in nnguard.check_model(model.folder)}


def test_the_trap_of_issue_2552_is_a_gap_that_nng101_explains(issue_2552):
    findings = found(issue_2552)
    gap = findings["NNG401"]
    assert gap.severity == "advisory"
    assert gap.evidence["gap"] > 0.2
    assert gap.evidence["explained_by"] == ["NNG101"]
    assert f"nnguard fliptest {issue_2552.folder}" in gap.remedy


@pytest.mark.parametrize("model", ["corrected", "default"])
def test_a_sound_model_has_no_gap_worth_a_word(model, request):
    assert "NNG401" not in found(request.getfixturevalue(model))
