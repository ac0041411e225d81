"""The one door to wrapt: every patch is made, contained, counted and undone here.

A guarded call is: guarded before, the original exactly once and outside every ``try``, guarded after. What the
original returns or raises reaches its caller unchanged. What the guard raises by accident reaches nobody: it is
noted in ``swallowed`` and logged once per place.
"""

from __future__ import annotations

import copy
import pkgutil
import sys
import traceback
import weakref
from collections.abc import Callable, Container, Mapping
from types import FrameType, ModuleType
from typing import Any, cast

import msgspec
import wrapt

from _nnguard_start import say

from ..errors import ConsistencyWarning, NNGuardError

#: What the guard raises on purpose; it passes.
DELIBERATE = (NNGuardError, ConsistencyWarning)

Before = Callable[[Any, tuple, dict], "tuple[tuple, dict] | None"]
After = Callable[[Any, Any, tuple, dict], None]


class Guard(msgspec.Struct, frozen=True):
    """What happens around one target.

    Args:
        before: ``(instance, args, kwargs)``; may return other ``(args, kwargs)`` for the original.
        after: ``(instance, result, args, kwargs)``; runs when the original has returned.
        every_level: a method that calls ``super()`` is guarded once, around the most derived one; a guard that
            is cheap and harmless to repeat skips the search for it.
    """

    before: Before | None = None
    after: After | None = None
    every_level: bool = False


class Patch:
    """One replaced attribute. ``before`` and ``after`` are read at each call, so that tests can make them fail."""

    def __init__(self, owner: Any, name: str, guard: Guard, kind: type | None = None):
        self.owner = owner
        self.name = name
        self.place = f"{owner.__name__}.{name}"
        self.before = guard.before
        self.after = guard.after
        self.every_level = guard.every_level
        #: a mixin's method is patched for this class's objects only
        self.kind = kind
        self.active = True
        self.original = vars(owner)[name]
        self.replacement = GuardedFunction(self.original, self._call)
        self.replacement._self_patch = self

    def _call(self, wrapped: Any, instance: Any, args: tuple, kwargs: dict) -> Any:
        if not self.active or not (self.every_level or self._is_outermost(instance)):
            return wrapped(*args, **kwargs)
        if self.kind is not None and not isinstance(instance, self.kind):
            return wrapped(*args, **kwargs)
        if self.before is not None:
            try:
                handed_on = self.before(instance, args, kwargs)
                if handed_on is not None:
                    args, kwargs = handed_on
            except DELIBERATE:
                raise
            except Exception as error:
                _swallow(f"{self.place} before", error)
        result = wrapped(*args, **kwargs)
        if self.after is not None:
            try:
                self.after(instance, result, args, kwargs)
            except DELIBERATE:
                raise
            except Exception as error:
                _swallow(f"{self.place} after", error)
        return result

    def _is_outermost(self, instance: Any) -> bool:
        # By looking, not by counting calls: a counter would need a `try` around the original to be put back.
        if instance is None:
            return True
        if is_ours(getattr(instance, "__dict__", {}).get(self.name)):
            return False
        for owner in type(instance).__mro__:
            provided = vars(owner).get(self.name)
            if provided is not None:
                return provided is self.replacement or not is_ours(provided)
        return True

    def undo(self) -> None:
        """Puts the original back, unless somebody else has replaced it since; then only falls silent."""
        self.active = False
        if vars(self.owner).get(self.name) is self.replacement:
            setattr(self.owner, self.name, self.original)


class ObjectPatch(Patch):
    """What one object holds in place of a method. Knows the object weakly, and holds nothing of its own: what people
    put there is often bound to the object, which would never be let go."""

    def __init__(self, instance: Any, name: str, guard: Guard):
        self.reference = weakref.ref(instance)
        self.owner, self.name, self.place = None, name, f"{type(instance).__name__}.{name} on the object"
        self.before, self.after, self.every_level, self.kind = guard.before, guard.after, True, None
        self.active = True
        replacement = GuardedAttribute(vars(instance)[name], self._called)
        replacement._self_patch = self
        vars(instance)[name] = replacement

    def _called(self, wrapped: Any, _bound_to: Any, args: tuple, kwargs: dict) -> Any:
        return self._call(wrapped, self.reference(), args, kwargs)

    def undo(self) -> None:
        self.active = False
        instance = self.reference()
        held = vars(instance).get(self.name) if instance is not None else None
        if type(held) is GuardedAttribute and held._self_patch is self:
            vars(instance)[self.name] = held.__wrapped__


class _BoundGuardedFunction(wrapt.BoundFunctionWrapper):
    """A guarded method bound to its object; pickled and copied as Python does with a plain bound method."""

    def __reduce_ex__(self, protocol):
        if self._self_instance is None:
            return pkgutil.resolve_name, (f"{self.__module__}:{self.__qualname__}",)
        return getattr, (self._self_instance, self.__name__)

    def __copy__(self):
        return self

    def __deepcopy__(self, memo):
        if self._self_instance is None:
            return self
        return getattr(copy.deepcopy(self._self_instance, memo), self.__name__)


class GuardedFunction(wrapt.FunctionWrapper):
    """A guarded function; functions are copied and pickled by name."""

    __bound_function_wrapper__ = _BoundGuardedFunction
    _self_patch: Patch

    def __reduce_ex__(self, protocol):
        return pkgutil.resolve_name, (f"{self.__module__}:{self.__qualname__}",)

    def __copy__(self):
        return self

    def __deepcopy__(self, memo):
        return self


class GuardedAttribute(GuardedFunction):
    """A guarded callable that an object holds; a copy of the object takes it along unguarded."""

    def __reduce_ex__(self, protocol):
        return _as_it_was, (self.__wrapped__,)

    def __copy__(self):
        return self.__wrapped__

    def __deepcopy__(self, memo):
        return copy.deepcopy(self.__wrapped__, memo)


def _as_it_was(function: Any) -> Any:
    return function


def is_ours(attribute: Any) -> bool:
    """Whether an attribute is a live patch. ``type``, for a proxy lies about its class."""
    return type(attribute) in (GuardedFunction, GuardedAttribute) and attribute._self_patch.active


class Coverage(msgspec.Struct):
    """What of one class or module is patched. ``inactive`` says why nothing is."""

    name: str
    patched: list[str] = []
    missing: list[str] = []
    inactive: str | None = None


_patches: list[Patch] = []


def patches() -> list[Patch]:
    """The live patches, in the order in which they were made."""
    return list(_patches)


def no_class(module: ModuleType, name: str) -> Coverage:
    """Of a module of nnU-Net's that lacks the class which was to be patched; ``name`` may end in the reason."""
    return Coverage(name.partition(":")[0], inactive=f"{module.__name__} has no class {name}")


def patch_all_or_nothing(
    owner: Any, required: Mapping[str, Guard], optional: Mapping[str, Guard] | None = None
) -> Coverage:
    """Patches a class or module, or, where it lacks a required target, leaves all of it alone.

    A method is patched on the class that defines it, which in a fork may be a parent of ``owner``.
    """
    guards = {**(optional or {}), **required}
    homes = {name: home for name in guards if (home := _home(owner, name)) is not None}
    coverage = Coverage(owner.__name__, missing=sorted(set(guards) - set(homes)))
    lacking = [name for name in required if name not in homes]
    if lacking:
        coverage.inactive = f"{owner.__module__} has a {owner.__name__} without {', '.join(lacking)}"
        return coverage
    for name, guard in guards.items():
        if name in homes:
            patch(homes[name], name, guard)
            coverage.patched.append(name)
    return coverage


def patch_overrides(kind: type, base: type, guards: Mapping[str, Guard]) -> None:
    """Patches what ``kind`` and its parents define themselves of the guarded methods of ``base``.

    Called when an object of ``kind`` is made: only then are its classes known, and what other libraries have
    put in place of a patched method since is found too.
    """
    for owner in kind.__mro__[:-1]:
        for name, guard in guards.items():
            if name in vars(owner) and name != "__init__" and patchable(owner, name):
                patch(owner, name, guard, None if issubclass(owner, base) else base)


def patch(owner: Any, name: str, guard: Guard, kind: type | None = None) -> None:
    """Patches ``owner``'s own attribute ``name``, once; for the objects of ``kind`` only, where it is given."""
    if not is_ours(vars(owner)[name]):
        made = Patch(owner, name, guard, kind)
        setattr(owner, name, made.replacement)
        _patches.append(made)


def patch_on_object(instance: Any, name: str, guard: Guard) -> None:
    """Patches what an object itself holds in place of a method, once; nothing where it holds none."""
    held = getattr(instance, "__dict__", {}).get(name)
    if callable(held) and not is_ours(held):
        _patches.append(ObjectPatch(instance, name, guard))


def patchable(owner: Any, name: str) -> bool:
    """Whether ``owner`` itself defines ``name`` as a plain function, patched by us or by others, or not."""
    attribute = vars(owner).get(name)
    return callable(attribute) and not isinstance(attribute, (type, staticmethod, classmethod))


def calls_under_way(instance: Any, names: Container[str]) -> int:
    """How many guarded calls of these methods of ``instance`` this thread is inside of.

    The stack is read because a count kept beside the object would be wrong after an original has raised.
    """
    number, frame = 0, cast("FrameType | None", sys._getframe(1))
    while frame is not None:
        if frame.f_code is Patch._call.__code__:
            called = frame.f_locals
            number += called["instance"] is instance and called["self"].name in names
        frame = frame.f_back
    return number


def unpatch_all() -> None:
    """Restores the originals, last patch first; what others have put there since is left alone."""
    while _patches:
        _patches.pop().undo()


def _home(owner: Any, name: str) -> Any:
    if not isinstance(owner, type):
        return owner if patchable(owner, name) else None
    return next((parent for parent in owner.__mro__ if parent is not object and patchable(parent, name)), None)


class Swallowed(msgspec.Struct):
    """An error of ours that nobody saw. Text only: an exception would keep frames, and so weights, alive."""

    place: str
    kind: str
    traceback: str
    count: int = 1

    def __repr__(self) -> str:
        return f"<Swallowed {self.kind} at {self.place}, {self.count}x>\n{self.traceback}"


#: One entry for each place and kind of error, with its count. Tests read it.
swallowed: list[Swallowed] = []


def contained(place: str, function: Callable[..., Any], *args: Any) -> Any:
    """Calls a piece of the guard where a failure must cost nothing.

    Returns:
        What ``function`` returns; ``None`` where it failed.
    """
    try:
        return function(*args)
    except DELIBERATE:
        raise
    except Exception as error:
        _swallow(place, error)
        return None


def _swallow(place: str, error: Exception) -> None:
    try:
        kind = type(error).__name__
        for known in swallowed:
            if known.place == place and known.kind == kind:
                known.count += 1
                return
        text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
        swallowed.append(Swallowed(place, kind, text))
        _log(place, kind, text)
    except Exception:  # no stack or memory left to tell it with is no reason to disturb a training
        return


def _log(place: str, kind: str, text: str) -> None:
    try:
        from ..report.log import get_logger

        get_logger().error("internal error, nnguard goes on without this", place=place, error=kind, exception=text)
    except Exception as failed:  # structlog may be missing or another one, and handlers are other people's code
        say(f"internal error, nnguard goes on without this: {place}: {kind} (its log fails: {type(failed).__name__})")


def when_imported(module: str, hook: Callable[[ModuleType], None]) -> None:
    """Calls ``hook`` with the module once it is imported, at once where it is already. Never fails the import."""
    wrapt.register_post_import_hook(lambda loaded: _call_contained(module, hook, loaded), module)


def _call_contained(module: str, hook: Callable[[ModuleType], None], loaded: ModuleType) -> None:
    try:
        hook(loaded)
    except Exception as error:
        _swallow(f"import of {module}", error)
