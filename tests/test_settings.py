"""Claims about what ``NNGUARD`` may say of rules."""

import pytest

from nnguard.errors import ConfigurationError
from nnguard.findings import HEIRS, RULES, codes_named
from nnguard.settings import Policy


@pytest.mark.parametrize("word", ["NNG101", "nng101", "unseen-flip", "Unseen-Flip"])
def test_a_rule_is_meant_by_its_code_or_its_name(word):
    assert Policy.parse(f"strict,{word}=warn").overrides == {"NNG101": "warn"}


def test_a_family_means_each_of_its_rules():
    assert Policy.parse("strict,NNG4*=ignore").overrides == {"NNG401": "ignore", "NNG402": "ignore"}
    assert Policy.parse("strict,NNG4*=ignore,NNG401=warn").overrides == {"NNG401": "warn", "NNG402": "ignore"}


def test_a_rule_that_went_means_the_one_that_took_its_place():
    for gone, heir in HEIRS.items():
        assert gone not in RULES
        assert Policy.parse(f"strict,{gone}=warn").overrides == ({heir: "warn"} if heir else {})
    assert set(filter(None, HEIRS.values())) <= set(RULES)


@pytest.mark.parametrize("word", ["", "*", "NNG9*", "NNG999", "NNG10", "flip"])
def test_what_names_no_rule_is_refused_with_what_would(word):
    assert codes_named(word) is None
    with pytest.raises(ConfigurationError, match=r"unknown rule .*a code .*a name .*a family"):
        Policy.parse(f"strict,{word}=warn")
