"""Calls a user's code and reads its objects' attributes, without any risk from what they raise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from .error_location import place_of
from .errors import NNGuardError

Result = TypeVar("Result")


def attributes_of(thing: Any) -> dict[str, Any]:
    """An object's own ``__dict__`` (not a copy); empty if it has none.

    Properties and ``__getattr__`` of its class are ignored, because they may do anything.
    """
    held = getattr(thing, "__dict__", None)
    return held if isinstance(held, dict) else {}


class Failed(str):
    """The reason why a call gave no result. ``place`` is the line in the user's or nnU-Net's code, or empty."""

    place: str = ""


def attempt(call: Callable[..., Result], *arguments: Any) -> Result | Failed:
    """The call's result, or the reason why there is none.

    A pipeline that rejects its input is a result ("unknown", with a reason), not an error of nnguard, so it must not
    be logged as an internal error. ``KeyboardInterrupt`` and ``SystemExit`` pass.
    """
    try:
        return call(*arguments)
    except NNGuardError as error:
        return Failed(str(error))
    except Exception as error:  # noqa: BLE001 - foreign code may raise anything, and its failure is the answer
        text = " ".join(str(error).split())
        failed = Failed(f"{type(error).__name__}: {text[:200]}" if text else type(error).__name__)
        failed.place = place_of(error)
        return failed
