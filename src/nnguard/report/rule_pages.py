"""The page of each rule, which ``nnguard rule CODE`` prints, and the table of all rules for the documentation."""

from __future__ import annotations

from ..findings import RULES

#: Every page has these headings, in this order, below the rule's title and its sentence.
PARTS = ("Why it matters", "Bad", "Good", "How to mend it", "How to silence it")


def rule_page(code: str) -> str:
    """A rule explained, in Markdown.

    Raises:
        KeyError: there is no such rule.
    """
    rule = RULES[code]
    return f"# {rule.code} {rule.name} ({rule.severity})\n\n{rule.explanation}"


def rules_table() -> str:
    """All rules, one a row, in Markdown."""
    rows = [f"| {rule.code} | {rule.name} | {rule.severity} | {rule.summary} |" for rule in RULES.values()]
    return "\n".join(["| rule | name | severity | what it says |", "| --- | --- | --- | --- |", *rows])
