"""Claims about ``nnguard rule``."""

import json

from nnguard.findings import RULES


def test_every_rule_is_listed(nnguard):
    done = nnguard("rule")
    assert [line.split()[0] for line in done.out.splitlines()] == list(RULES)


def test_a_rule_is_explained_by_code_or_name_in_any_case(nnguard):
    pages = {nnguard("rule", spelt).out for spelt in ("NNG101", "nng101", "unseen-flip", "Unseen-Flip")}
    assert len(pages) == 1
    assert "How to mend it" in pages.pop()


def test_an_unknown_rule_is_one_line_and_exit_2(nnguard):
    done = nnguard("rule", "NNG999")
    assert (done.status, done.out, len(done.err.splitlines())) == (2, "", 1)


def test_rules_as_json(nnguard):
    data = json.loads(nnguard("rule", "--format", "json").out)
    assert [rule["code"] for rule in data["rules"]] == list(RULES)
    assert "page" not in data["rules"][0]
    assert "page" in json.loads(nnguard("rule", "NNG101", "--format", "json").out)["rules"][0]
