"""Listening to what a module is called with, for the length of one train step, and never inside what is compiled.

What ``torch.compile`` puts around a module is a module of its own: its hooks run before everything that was compiled,
and belong to no graph.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from ..foreign_calls import Failed, attempt

Hear = Callable[[tuple, dict], None]

#: Whether torch.compile is tracing; torch 2.0 cannot tell, and its hooks are not traced.
is_compiling = torch.compiler.is_compiling if hasattr(torch, "compiler") else lambda: False


def why_not(module: Any) -> str | None:
    """Why this cannot be listened to without changing it; ``None`` where it can.

    A hook on a module that was compiled in place becomes part of what is compiled, and a scripted one has no room.
    """
    if not isinstance(module, torch.nn.Module):
        return "no module that could be listened to"
    # The class's own, which a wrapper would answer for what it wraps.
    if vars(module).get("_compiled_call_impl") is not None:
        return "compiled"
    if isinstance(module, torch.jit.ScriptModule):
        return "scripted"
    return None


class Listener:
    """Hears one module's calls, before its ``forward`` runs, until ``stop``.

    Args:
        hear: gets positional arguments and keywords.
    """

    def __init__(self, hear: Hear) -> None:
        self._hook = _Hook(hear)
        self._handle: Any = None

    def start(self, module: torch.nn.Module) -> Failed | None:
        """Listens from now on; says why not, where the module refuses."""
        self.stop()
        handle = attempt(lambda: module.register_forward_pre_hook(self._hook, with_kwargs=True))
        if isinstance(handle, Failed):
            return handle
        self._handle = handle
        return None

    def stop(self) -> None:
        """Leaves the module as it was."""
        if self._handle is not None:
            self._handle.remove()
            self._handle = None


class _Hook:
    """What torch calls inside the user's step: whatever goes wrong here must not reach it."""

    def __init__(self, hear: Hear) -> None:
        self.hear = hear

    def __call__(self, _module: Any, arguments: tuple, keywords: dict) -> None:
        # Traced into somebody's graph, or recorded into one, this must be nothing at all.
        if is_compiling():
            return
        attempt(self._heard, arguments, keywords)

    def _heard(self, arguments: tuple, keywords: dict) -> None:
        if torch.cuda.is_available() and torch.cuda.is_current_stream_capturing():
            return
        with torch.no_grad():
            self.hear(arguments, keywords)

    # A module that is copied or pickled within a step (a teacher, say) takes no listener along.

    def __deepcopy__(self, memo: dict) -> Any:
        return deaf

    def __reduce__(self) -> Any:
        return _deaf, ()


def deaf(*_heard: Any) -> None:
    """Hears nothing."""


def _deaf() -> Any:
    return deaf
