"""What an audit says of one model: a line of its table, a part of its page, an entry of its JSON."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from ..findings import SEVERITIES, Finding

UNREADABLE = "unreadable"
CLEAN = "clean"
#: Gravest first: what cannot be read may be anything.
ORDER = (UNREADABLE, *reversed(SEVERITIES), CLEAN)


class ModelReport(msgspec.Struct, frozen=True, kw_only=True):
    """One ensemble: a model folder's folds, or its ``fold_all``; or a checkpoint by itself.

    Args:
        subject: its path, for people.
        findings: worst first.
        checked: checkpoints that were read.
        errors: what could not be, one line each.
        skipped: why there was nothing to check; ``""`` if there was.
        grade: the weakest evidence that the verdict rests on: ``record``, ``debug.json``, ``nothing``, ...
        facts: trainer, configuration, folds and declared axes of the first readable fold, for people.
    """

    subject: str
    findings: list[Finding] = []
    checked: list[str] = []
    errors: list[str] = []
    skipped: str = ""
    grade: str = ""
    facts: dict[str, str] = {}

    @property
    def verdict(self) -> str:
        """``unreadable``, its gravest finding's severity, or ``clean``."""
        return UNREADABLE if self.errors else self.findings[0].severity if self.findings else CLEAN

    @property
    def codes(self) -> str:
        return ", ".join(dict.fromkeys(finding.code for finding in self.findings))

    @property
    def headline(self) -> str:
        """The gravest thing about it, in a sentence."""
        return "; ".join(self.errors) or (self.findings[0].message if self.findings else "")

    def to_dict(self) -> dict[str, Any]:
        """Its entry in the JSON of an audit."""
        return {
            "model": self.subject,
            "verdict": self.verdict,
            "rules": list(dict.fromkeys(finding.code for finding in self.findings)),
            "evidence": self.grade,
            "axes": self.facts.get("axes"),
            "folds": self.facts.get("folds"),
            "what": self.headline,
            "remedy": self.findings[0].remedy if self.findings else "",
        }


def gravest_first(rows: Iterable[ModelReport]) -> list[ModelReport]:
    """For people: what needs a hand comes first."""
    return sorted(rows, key=lambda one: (ORDER.index(one.verdict), one.subject))


def counts(rows: Iterable[ModelReport]) -> dict[str, int]:
    """How many of each verdict, gravest first; the ones that do not occur are left out."""
    verdicts = [one.verdict for one in rows]
    return {verdict: verdicts.count(verdict) for verdict in ORDER if verdict in verdicts}
