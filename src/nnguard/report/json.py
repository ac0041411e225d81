"""Results as JSON. ``docs/output.schema.json`` fixes their structure."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..findings import Finding, worst_first

SCHEMA_VERSION = 1

#: nnguard's own documents are less than half as deep, but values from a file may be deeper.
DEEPEST = 100


def findings_document(
    findings: Iterable[Finding], checked: Sequence[Any] = (), skipped: Sequence[Any] = (), errors: Sequence[Any] = ()
) -> dict[str, Any]:
    """The document that ``check`` and ``preflight`` print.

    Args:
        findings: in any order; the document has the worst first.
        checked: what was checked, as paths.
        skipped: what was not checked, and why.
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
    """A document as indented JSON in ASCII, so that a terminal shows characters from a file as, say, ``\\u202e``."""
    return json.dumps(plain_data(document), indent=2, ensure_ascii=True, allow_nan=False)


def plain_data(value: Any, depth: int = 0) -> Any:
    """Any value as data that every JSON reader accepts: NaN and infinity become ``None``, other objects become text."""
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
