"""Calls into a user's transforms, which may raise anything."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

Result = TypeVar("Result")


class Failed(str):
    """Why a call did not give a result, in words."""


def attempt(call: Callable[..., Result], *arguments: Any) -> Result | Failed:
    """The call's result, or in words why there is none.

    A pipeline that cannot be fed is an answer ("unknown, because"), not a fault of nnguard, so it must not
    end in the guard's log of internal errors. ``KeyboardInterrupt`` and ``SystemExit`` pass.
    """
    try:
        return call(*arguments)
    except Exception as error:  # noqa: BLE001 - foreign code, and its failure is the answer
        text = " ".join(str(error).split())
        return Failed(f"{type(error).__name__}: {text[:200]}" if text else type(error).__name__)
