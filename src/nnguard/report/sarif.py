"""Findings as SARIF 2.1.0, for code scanning dashboards."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

from ..findings import ADVISORY, HARMFUL, NOTE, RULES, Finding, Rule, worst_first
from .escape import escaped, escaped_lines
from .json import plain_data
from .pages import rule_page

#: Where viewers find the format's definition; nothing here fetches it.
SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"

LEVELS = {HARMFUL: "error", ADVISORY: "warning", NOTE: "note"}


def sarif_log(findings: Iterable[Finding], version: str, errors: Sequence[str] = ()) -> dict[str, Any]:
    """A SARIF log of one run.

    Args:
        findings: each becomes a result, located in the file that its subject names.
        version: nnguard's.
        errors: what could not be read: notifications of a run that did not succeed.
    """
    findings = worst_first(findings)
    codes = sorted({finding.code for finding in findings})
    return {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {"name": "nnguard", "version": version, "rules": [rule_data(RULES[c]) for c in codes]}
                },
                "results": [result(finding, codes.index(finding.code)) for finding in findings],
                "invocations": [
                    {
                        "executionSuccessful": not errors,
                        "toolExecutionNotifications": [
                            {"level": "error", "message": {"text": escaped(error)}} for error in errors
                        ],
                    }
                ],
                "columnKind": "unicodeCodePoints",
            }
        ],
    }


def rule_data(rule: Rule) -> dict[str, Any]:
    """A rule of the catalogue with its page."""
    page = rule_page(rule.code)
    return {
        "id": rule.code,
        "name": "".join(part.capitalize() for part in rule.name.split("-")),
        "shortDescription": {"text": rule.summary},
        "help": {"text": page, "markdown": page},
        "defaultConfiguration": {"level": LEVELS[rule.severity]},
    }


def result(finding: Finding, rule_index: int) -> dict[str, Any]:
    """One finding."""
    text = "\n".join(
        part
        for part in (
            escaped(finding.message),
            escaped(finding.seen),
            escaped(finding.effect),
            escaped_lines(finding.remedy),
        )
        if part
    )
    identity = "\n".join((finding.code, finding.subject, finding.setting))
    return {
        "ruleId": finding.code,
        "ruleIndex": rule_index,
        "level": LEVELS[finding.severity],
        "message": {"text": text},
        "locations": [location(finding.subject)],
        "partialFingerprints": {"nnguard/v1": hashlib.sha256(identity.encode("utf-8", "replace")).hexdigest()},
        "properties": {"severity": finding.severity, "evidence": plain_data(finding.evidence)},
    }


def location(subject: str) -> dict[str, Any]:
    """Where a finding is: a file, or what a person calls the training."""
    if "/" not in subject and "\\" not in subject:
        return {"logicalLocations": [{"fullyQualifiedName": escaped(subject), "kind": "module"}]}
    return {"physicalLocation": {"artifactLocation": {"uri": uri_of(subject)}}}


def uri_of(path: str) -> str:
    """A relative path stays relative, for a dashboard looks for it in the repository."""
    if "://" in path:
        return quote(path, safe="/:?&=#%+~@")
    pure = PurePath(path)
    encoded = quote(pure.as_posix().encode("utf-8", "surrogateescape"))
    return f"file://{encoded}" if pure.is_absolute() else encoded
