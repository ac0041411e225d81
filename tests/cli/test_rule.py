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


def test_a_rule_that_went_names_the_one_that_took_its_place_and_shows_its_page(nnguard):
    first, _, rest = nnguard("rule", "nng110").out.partition("\n")
    assert first == "NNG110 went: NNG108 unverified took its place."
    assert rest == nnguard("rule", "NNG108").out


def test_a_rule_that_went_without_an_heir_is_one_line(nnguard):
    done = nnguard("rule", "NNG111")
    assert (done.status, len(done.out.splitlines())) == (0, 1)
    assert "NNG111 went" in done.out


def test_a_family_is_listed(nnguard):
    assert [line.split()[0] for line in nnguard("rule", "NNG4*").out.splitlines()] == ["NNG401", "NNG402"]
