"""Turns the values of a checkpoint into plain data that is safe to keep, print and encode."""

from __future__ import annotations

from typing import Any

from ..errors import CheckpointError
from .globals import DType, Global, Opaque

#: nnU-Net's plans nest about 8 deep. Code that walks the result recursively must not reach its recursion limit.
MAX_DEPTH = 100
ATOMS = frozenset({str, int, float, bool, type(None)})


class Budget:
    """How many values may still be copied, because shared references can expand to exponentially many."""

    __slots__ = ("left",)

    def __init__(self, values: int) -> None:
        self.left = values


def plain(value: Any, budget: Budget, depth: int = 0) -> Any:
    """A copy without shared parts. An ``OrderedDict`` becomes a dict; a global or a dtype becomes an ``Opaque``.

    Raises:
        CheckpointError: the value is nested too deep (or contains itself), or would expand beyond ``budget``.
    """
    kind = type(value)
    if kind in ATOMS:
        return value
    if depth > MAX_DEPTH:
        raise CheckpointError(f"its values are nested more than {MAX_DEPTH} deep, or in themselves")
    if isinstance(value, (dict, list, tuple)):
        budget.left -= 1 + len(value)
        if budget.left < 0:
            raise CheckpointError("its values refer to each other so that they would expand without end")
    if isinstance(value, dict):
        return {key: plain(item, budget, depth + 1) for key, item in value.items()}
    if kind is list and ATOMS.issuperset(map(type, value)):
        return value.copy()  # a curve of a long training
    if kind is list or kind is tuple:
        return kind(plain(item, budget, depth + 1) for item in value)
    if kind is Global:
        return Opaque(value.name)
    if kind is DType:
        return Opaque("numpy.dtype", (value.code,))
    return value
