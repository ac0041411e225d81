"""Findings as GitHub workflow commands, which show them at the top of a run."""

from __future__ import annotations

from collections.abc import Iterable

from ..findings import ADVISORY, HARMFUL, NOTE, Finding, worst_first
from .escape import escaped, escaped_lines

LEVELS = {HARMFUL: "error", ADVISORY: "warning", NOTE: "notice"}


def workflow_commands(findings: Iterable[Finding], errors: Iterable[str] = ()) -> str:
    """One command a line; ``errors`` (what could not be read) are errors of the run.

    A finding's text may quote a file, so that a line break in it must not start a command of its own.
    """
    lines = [workflow_command(finding) for finding in worst_first(findings)]
    lines += [f"::error title={_property('nnguard: unreadable')}::{_data(escaped(error))}" for error in errors]
    return "\n".join(lines)


def workflow_command(finding: Finding) -> str:
    """``::error title=NNG101 unseen-flip::...``"""
    body = "\n".join(
        part
        for part in (
            f"{escaped(finding.subject)}: {escaped(finding.message)}",
            escaped(finding.seen),
            escaped(finding.effect),
            escaped_lines(finding.remedy),
        )
        if part
    )
    return f"::{LEVELS[finding.severity]} title={_property(f'{finding.code} {finding.name}')}::{_data(body)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
