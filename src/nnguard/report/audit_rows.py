"""What ``nnguard check`` reports about one of many models: a table row, a part of the page, an entry of the JSON."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from ..findings import SEVERITIES, Finding

UNREADABLE = "unreadable"
CLEAN = "clean"
#: Worst first. An unreadable model may be anything, so it comes before all others.
ORDER = (UNREADABLE, *reversed(SEVERITIES), CLEAN)


class ModelReport(msgspec.Struct, frozen=True, kw_only=True):
    """One ensemble (a model folder's folds, or its ``fold_all``) or one single checkpoint.

    Args:
        subject: its path, for people.
        findings: worst first.
        checked: checkpoints that were read.
        errors: what could not be read, one line each.
        skipped: why there was nothing to check; ``""`` if there was something.
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
        """``unreadable``, the severity of its worst finding, or ``clean``."""
        return UNREADABLE if self.errors else self.findings[0].severity if self.findings else CLEAN

    @property
    def codes(self) -> str:
        return ", ".join(dict.fromkeys(finding.code for finding in self.findings))

    @property
    def headline(self) -> str:
        """Its errors, else the message of its worst finding."""
        return "; ".join(self.errors) or (self.findings[0].message if self.findings else "")

    def to_dict(self) -> dict[str, Any]:
        """Its entry in the JSON document."""
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
    """The rows in the order for people: the worst verdict first."""
    return sorted(rows, key=lambda one: (ORDER.index(one.verdict), one.subject))


def counts(rows: Iterable[ModelReport]) -> dict[str, int]:
    """How many rows have each verdict, worst first. Verdicts that do not occur are left out."""
    verdicts = [one.verdict for one in rows]
    return {verdict: verdicts.count(verdict) for verdict in ORDER if verdict in verdicts}
