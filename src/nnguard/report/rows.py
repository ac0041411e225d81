"""One line a model: what ``audit`` shows in its table and on its page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from ..findings import SEVERITIES, UNVERIFIED, Finding, worst_first

UNREADABLE = "unreadable"
CLEAN = "clean"
#: Gravest first: what cannot be read may be anything.
ORDER = (UNREADABLE, *reversed(SEVERITIES), CLEAN)


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A model (or whatever else was checked).

    Args:
        subject: its path.
        verdict: ``unreadable``, its gravest finding's severity, or ``clean``.
        grade: what the verdict rests on: ``record``, ``debug.json``, ``nothing``, ...
        findings: worst first.
        error: why it cannot be read.
        facts: further columns, for example ``{"trainer": ..., "axes": ...}``.
    """

    subject: str
    verdict: str
    grade: str = ""
    findings: Sequence[Finding] = ()
    error: str = ""
    facts: Mapping[str, str] = {}

    @property
    def codes(self) -> str:
        return ", ".join(dict.fromkeys(finding.code for finding in self.findings))

    @property
    def headline(self) -> str:
        """The gravest thing about it, in a sentence."""
        return self.error or (self.findings[0].message if self.findings else "")


def row(
    subject: str,
    findings: Iterable[Finding] = (),
    *,
    error: str = "",
    grade: str = "",
    facts: Mapping[str, str] | None = None,
) -> Row:
    """Makes a row, its verdict and, where it is not given, its grade."""
    ordered = worst_first(findings)
    verdict = UNREADABLE if error else ordered[0].severity if ordered else CLEAN
    return Row(
        subject=subject,
        verdict=verdict,
        grade=grade or ("" if error else grade_of(ordered)),
        findings=ordered,
        error=error,
        facts=facts or {},
    )


def grade_of(findings: Sequence[Finding]) -> str:
    """The weakest evidence that any finding rests on: without NNG108 there is a record."""
    grades = [str(finding.evidence["grade"]) for finding in findings if finding.evidence.get("grade")]
    if grades:
        return grades[0]
    return "nothing" if any(finding.code == UNVERIFIED for finding in findings) else "record"


def gravest_first(rows: Iterable[Row]) -> list[Row]:
    """For people: what needs a hand comes first."""
    return sorted(rows, key=lambda one: (ORDER.index(one.verdict), one.subject))


def counts(rows: Iterable[Row]) -> dict[str, int]:
    """How many of each verdict, gravest first; the ones that do not occur are left out."""
    rows = list(rows)
    found = {verdict: sum(one.verdict == verdict for one in rows) for verdict in ORDER}
    return {verdict: number for verdict, number in found.items() if number}
