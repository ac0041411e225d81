"""Calls and looks into a user's transforms, which may raise anything."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from .error_location import place_of
from .errors import NNGuardError

Result = TypeVar("Result")


def attributes_of(thing: Any) -> dict[str, Any]:
    """What an object itself holds, and no property or ``__getattr__`` of its class, which may do anything; the
    dictionary is its own."""
    held = getattr(thing, "__dict__", None)
    return held if isinstance(held, dict) else {}


class Failed(str):
    """Why a call did not give a result, in words; ``place`` is where in the user's or nnU-Net's code, or empty."""

    place: str = ""


def attempt(call: Callable[..., Result], *arguments: Any) -> Result | Failed:
    """The call's result, or in words why there is none.

    A pipeline that cannot be fed is an answer ("unknown, because"), not a fault of nnguard, so it must not
    end in the guard's log of internal errors. ``KeyboardInterrupt`` and ``SystemExit`` pass.
    """
    try:
        return call(*arguments)
    except NNGuardError as error:
        return Failed(str(error))
    except Exception as error:  # noqa: BLE001 - foreign code, and its failure is the answer
        text = " ".join(str(error).split())
        failed = Failed(f"{type(error).__name__}: {text[:200]}" if text else type(error).__name__)
        failed.place = place_of(error)
        return failed
