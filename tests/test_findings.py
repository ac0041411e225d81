"""Claims about findings: what one holds stays as it was made."""

import copy
import pickle
import subprocess
import sys
from functools import partial

import pytest

from nnguard.findings import ADVISORY, HARMFUL, Finding


def made(**changes):
    fields = {"code": "NNG101", "subject": "a model", "message": "Wrong.", "seen": "x", "evidence": {"axes": [1]}}
    return Finding(**{**fields, **changes})


@pytest.mark.parametrize("name", Finding.__slots__)
def test_no_attribute_can_be_set_or_deleted_after_a_finding_is_made(name):
    finding = made()
    with pytest.raises(AttributeError, match="does not change"):
        setattr(finding, name, "other")
    with pytest.raises(AttributeError, match="does not change"):
        delattr(finding, name)
    assert finding == made()


def test_a_new_attribute_is_refused_too():
    with pytest.raises(AttributeError):
        made().note = "other"


def test_replacing_makes_another_finding_and_leaves_the_first_as_it_was():
    finding = made()
    other = finding.replace(seen="y", severity=ADVISORY)
    assert (other.seen, other.severity, other.message, other.evidence) == ("y", ADVISORY, "Wrong.", {"axes": [1]})
    assert finding == made() != other


def pickled(finding, protocol):
    return pickle.loads(pickle.dumps(finding, protocol))


COPIES = [copy.copy, copy.deepcopy, *(partial(pickled, protocol=protocol) for protocol in range(6))]


@pytest.mark.parametrize("copied", COPIES)
def test_a_finding_can_be_copied_and_pickled(copied):
    finding = made(severity=ADVISORY, setting="(0, 1)")
    assert copied(finding) == finding
    assert copied(finding) is not finding


def test_a_copy_has_evidence_of_its_own():
    finding = made()
    copy.deepcopy(finding).evidence["axes"].append(2)
    assert finding.evidence == {"axes": [1]}


def test_findings_are_equal_by_value_alone():
    assert made() == made(severity=HARMFUL)
    assert made() != made(message="Right.")
    assert made() != "NNG101"


def test_a_finding_of_no_rule_is_refused():
    with pytest.raises(ValueError, match="no such rule: NNG999"):
        made(code="NNG999")


def test_the_module_imports_nothing_that_a_bare_interpreter_lacks():
    code = "import sys; before = set(sys.modules); import nnguard.findings; print(sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    named = {name.partition(".")[0] for name in eval(done.stdout)}
    assert named <= {"_nnguard_start", "nnguard", "__future__"}, named
