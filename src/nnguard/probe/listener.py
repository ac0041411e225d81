"""Observes the arguments of a module's calls during one train step, and never becomes part of a compiled graph.

``torch.compile(module)`` returns a new module around the old one. Hooks on that outer module run before the compiled
code and belong to no graph.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from ..foreign_calls import Failed, attempt

Hear = Callable[[tuple, dict], None]

#: Whether torch.compile is tracing. PyTorch 2.0 cannot tell, but it does not trace hooks.
is_compiling = torch.compiler.is_compiling if hasattr(torch, "compiler") else lambda: False


def why_not(module: Any) -> str | None:
    """Why a hook on ``module`` would change it; ``None`` if a hook is safe.

    A hook on a module that was compiled in place becomes part of the compiled graph. A scripted module takes no hook.
    """
    if not isinstance(module, torch.nn.Module):
        return "no module that could be listened to"
    # hasattr would also ask the wrapped module, because torch.compile's wrapper forwards attributes to it.
    if vars(module).get("_compiled_call_impl") is not None:
        return "compiled"
    if isinstance(module, torch.jit.ScriptModule):
        return "scripted"
    return None


class Listener:
    """Reports one module's calls, before its ``forward`` runs, until ``stop``.

    Args:
        hear: is called with the positional arguments and the keywords.
    """

    def __init__(self, hear: Hear) -> None:
        self._hook = _Hook(hear)
        self._handle: Any = None

    def start(self, module: torch.nn.Module) -> Failed | None:
        """Starts to listen. Returns the failure if the module refuses the hook."""
        self.stop()
        handle = attempt(lambda: module.register_forward_pre_hook(self._hook, with_kwargs=True))
        if isinstance(handle, Failed):
            return handle
        self._handle = handle
        return None

    def stop(self) -> None:
        """Removes the hook, so that the module is as it was."""
        if self._handle is not None:
            self._handle.remove()
            self._handle = None


class _Hook:
    """PyTorch calls this inside the user's train step, so no error here may reach the caller."""

    def __init__(self, hear: Hear) -> None:
        self.hear = hear

    def __call__(self, _module: Any, arguments: tuple, keywords: dict) -> None:
        # While a graph is traced or captured, this hook must do nothing, or it would become part of the graph.
        if is_compiling():
            return
        attempt(self._heard, arguments, keywords)

    def _heard(self, arguments: tuple, keywords: dict) -> None:
        if torch.cuda.is_available() and torch.cuda.is_current_stream_capturing():
            return
        with torch.no_grad():
            self.hear(arguments, keywords)

    # A module may be copied or pickled within a step (a teacher network, for example). The copy must not listen.

    def __deepcopy__(self, memo: dict) -> Any:
        return deaf

    def __reduce__(self) -> Any:
        return _deaf, ()


def deaf(*_heard: Any) -> None:
    """Ignores every call: it replaces the hook in copies of a module."""


def _deaf() -> Any:
    return deaf
