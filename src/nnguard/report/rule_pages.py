"""The page of each rule, which ``nnguard rule CODE`` prints, and the documentation's table of all rules."""

from __future__ import annotations

from ..findings import RULES

HEAD = (
    "# The rules",
    "",
    "`nnguard rule CODE` explains one of them: why it matters, a bad and a good example, how to mend it",
    "and how to silence it.",
    "",
    "| rule | name | severity | what it says |",
    "| --- | --- | --- | --- |",
)
#: Every page has these headings, in this order, below the rule's title and its sentence.
PARTS = ("Why it matters", "Bad", "Good", "How to mend it", "How to silence it")


def rule_page(code: str) -> str:
    """A rule explained, in Markdown.

    Raises:
        KeyError: there is no such rule.
    """
    rule = RULES[code]
    return f"# {rule.code} {rule.name} ({rule.severity})\n\n{rule.explanation}"


def rules_document() -> str:
    """All rules, one a row, as the documentation shows them (``docs/rules.md``)."""
    rows = [f"| {rule.code} | {rule.name} | {rule.severity} | {rule.summary} |" for rule in RULES.values()]
    return "\n".join([*HEAD, *rows, ""])
