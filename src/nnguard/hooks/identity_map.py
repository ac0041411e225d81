"""Facts kept beside a live object, by its identity, and forgotten with it.

Not on the object: predictors and trainers are copied, pickled and compared by code that is not ours.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import Any, Generic, TypeVar

Fact = TypeVar("Fact")


class IdentityMap(Generic[Fact]):
    """A mapping from live objects to facts. Owners need no hash; a weak reference is enough."""

    __slots__ = ("kept",)

    def __init__(self) -> None:
        #: id -> (weak reference, fact); read directly where a microsecond counts
        self.kept: dict[int, tuple[weakref.ref[Any], Fact]] = {}

    def get(self, owner: Any) -> Fact | None:
        """The fact, or ``None`` where nothing was put beside ``owner``."""
        entry = self.kept.get(id(owner))
        return entry[1] if entry is not None and entry[0]() is owner else None

    def put(self, owner: Any, fact: Fact) -> Fact:
        """Keeps ``fact`` for as long as ``owner`` lives. Returns it."""
        key, kept = id(owner), self.kept

        def forget(reference: weakref.ref[Any]) -> None:
            entry = kept.get(key)
            if entry is not None and entry[0] is reference:
                del kept[key]

        kept[key] = (weakref.ref(owner, forget), fact)
        return fact

    def drop(self, owner: Any) -> None:
        """Forgets at once."""
        self.kept.pop(id(owner), None)

    def items(self) -> Iterator[tuple[Any, Fact]]:
        """The owners that still live, with their facts."""
        for reference, fact in list(self.kept.values()):
            owner = reference()
            if owner is not None:
                yield owner, fact
