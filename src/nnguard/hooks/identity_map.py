"""Facts about live objects, stored by the object's identity and forgotten when the object dies.

They are not stored as attributes, because foreign code copies, pickles and compares predictors and trainers.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import Any, Generic, TypeVar

Fact = TypeVar("Fact")


class IdentityMap(Generic[Fact]):
    """A mapping from live objects to facts. The objects need no hash, but must allow weak references."""

    __slots__ = ("kept",)

    def __init__(self) -> None:
        #: id -> (weak reference, fact); callers for whom a microsecond matters read it directly
        self.kept: dict[int, tuple[weakref.ref[Any], Fact]] = {}

    def get(self, owner: Any) -> Fact | None:
        """The fact about ``owner``, or ``None`` if there is none."""
        entry = self.kept.get(id(owner))
        return entry[1] if entry is not None and entry[0]() is owner else None

    def put(self, owner: Any, fact: Fact) -> Fact:
        """Stores ``fact`` for as long as ``owner`` lives, and returns it."""
        key, kept = id(owner), self.kept

        def forget(reference: weakref.ref[Any]) -> None:
            entry = kept.get(key)
            if entry is not None and entry[0] is reference:
                del kept[key]

        kept[key] = (weakref.ref(owner, forget), fact)
        return fact

    def drop(self, owner: Any) -> None:
        """Forgets the fact about ``owner`` now."""
        self.kept.pop(id(owner), None)

    def items(self) -> Iterator[tuple[Any, Fact]]:
        """The owners that are still alive, with their facts."""
        for reference, fact in list(self.kept.values()):
            owner = reference()
            if owner is not None:
                yield owner, fact
