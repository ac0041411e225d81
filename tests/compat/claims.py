"""What a step of the journey claims, and how it says that a claim does not hold."""

from __future__ import annotations

import re

from tests.support.commands import Ran


class Wrong(Exception):
    """Something was not as it must be."""


def must(holds: bool, otherwise: str) -> None:
    if not holds:
        raise Wrong(otherwise)


def succeeded(ran: Ran) -> Ran:
    must(ran.status == 0, tail(ran))
    return ran


def silent(ran: Ran) -> Ran:
    told = re.findall(r".*(?:NNG\d{3}|ConsistencyWarning|internal error).*", succeeded(ran).output)
    must(not told, f"not silent: {told[:1]}")
    return ran


def tail(ran: Ran) -> str:
    """The last lines of what a command printed, on one line."""
    return f"exit {ran.status}: {' / '.join(ran.output.strip().splitlines()[-3:])}"
