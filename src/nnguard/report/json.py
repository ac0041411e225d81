"""Results as JSON. The shapes are the contract of ``docs/output.schema.json``."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..findings import Finding, worst_first

SCHEMA_VERSION = 1

#: Nothing of ours is half as deep; what a file holds may be.
DEEPEST = 100


def findings_document(
    findings: Iterable[Finding], checked: Sequence[Any] = (), skipped: Sequence[Any] = (), errors: Sequence[Any] = ()
) -> dict[str, Any]:
    """What ``check``, ``audit`` and ``preflight`` print.

    Args:
        findings: printed worst first.
        checked: what was looked at, as paths.
        skipped: what was not, and why.
        errors: what could not be read, and why.
    """
    return {
        "schema_version": SCHEMA_VERSION,
        "findings": [finding.to_dict() for finding in worst_first(findings)],
        "checked": list(checked),
        "skipped": list(skipped),
        "errors": list(errors),
    }


def json_text(document: Mapping[str, Any]) -> str:
    """A document as indented JSON in ASCII: whatever a file contained, a terminal shows it as ``\\u202e``."""
    return json.dumps(plain_data(document), indent=2, ensure_ascii=True, allow_nan=False)


def plain_data(value: Any, depth: int = 0) -> Any:
    """Anything as data that every JSON reader takes: no NaN, no infinity, text for keys and for what is unknown."""
    if depth > DEEPEST:
        return "(nested too deeply)"
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain_data(entry, depth + 1) for key, entry in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain_data(entry, depth + 1) for entry in value]
    return str(value)
