"""What the exit status of a command says. Every command imports this module, so it imports next to nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..findings import Finding, at_least

CLEAN, FOUND, FAILED = 0, 1, 2
#: What a shell reports for a process that a closed pipe ended: 128 + SIGPIPE.
PIPE_CLOSED = 141


def exit_status(findings: Iterable[Finding], fail_level: str, errors: Sequence[object] = ()) -> int:
    """2 if anything could not be read, else 1 for a finding at or above the level, else 0."""
    if errors:
        return FAILED
    return FOUND if any(at_least(finding.severity, fail_level) for finding in findings) else CLEAN
