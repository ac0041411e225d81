"""The page of each rule: ``nnguard rule CODE`` prints it, the documentation links to it."""

from __future__ import annotations

from importlib.resources import files

from ..findings import RULES

#: Every page has these headings, in this order, below the rule's title and its sentence.
PARTS = ("Why it matters", "Bad", "Good", "How to mend it", "How to silence it")


def rule_page(code: str) -> str:
    """A rule explained, in Markdown.

    Raises:
        KeyError: there is no such rule.
    """
    rule = RULES[code]
    return (files(__package__) / "pages" / f"{rule.code}.md").read_text(encoding="utf-8")
