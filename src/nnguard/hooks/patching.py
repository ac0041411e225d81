"""The only module that uses wrapt: it makes, contains, lists and undoes every patch.

A guarded call runs the guard before, then the original exactly once and outside every ``try``, then the guard after.
The caller gets exactly what the original returns or raises. An accidental error of the guard never reaches the caller:
it is stored in ``swallowed`` and logged once per place.
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

#: The guard raises these on purpose, so they reach the caller.
DELIBERATE = (NNGuardError, ConsistencyWarning)

Before = Callable[[Any, tuple, dict], "tuple[tuple, dict] | None"]
After = Callable[[Any, Any, tuple, dict], None]


class Guard(msgspec.Struct, frozen=True):
    """What nnguard does around one target.

    Args:
        before: gets ``(instance, args, kwargs)`` and may return other ``(args, kwargs)`` for the original.
        after: gets ``(instance, result, args, kwargs)``; it runs after the original has returned.
        every_level: usually, if a method calls ``super()``, only the most derived method is guarded. A guard that is
            cheap and harmless to repeat can skip the search for it and run at every level.
    """

    before: Before | None = None
    after: After | None = None
    every_level: bool = False


class Patch:
    """One replaced attribute. Each call reads ``before`` and ``after`` again, so that tests can make them fail."""

    def __init__(self, owner: Any, name: str, guard: Guard, kind: type | None = None):
        self.owner = owner
        self.name = name
        self.place = f"{owner.__name__}.{name}"
        self.before = guard.before
        self.after = guard.after
        self.every_level = guard.every_level
        #: a patch of a mixin's method applies only to objects of this class
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
        # A counter of calls would need a `try` around the original, so this looks at the classes instead.
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
        """Restores the original. If other code has replaced the attribute since, the patch only becomes inactive."""
        self.active = False
        if vars(self.owner).get(self.name) is self.replacement:
            setattr(self.owner, self.name, self.original)


class ObjectPatch(Patch):
    """A patch of a callable that one object holds in place of a method.

    It refers to the object weakly and does not keep the original callable, which is often bound to the object. A strong
    reference would keep the object alive forever.
    """

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
    """A guarded method bound to its object. It is pickled and copied in the same way as a plain bound method."""

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        if self._self_instance is None:
            return pkgutil.resolve_name, (f"{self.__module__}:{self.__qualname__}",)
        return getattr, (self._self_instance, self.__name__)

    def __copy__(self) -> Any:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        if self._self_instance is None:
            return self
        return getattr(copy.deepcopy(self._self_instance, memo), self.__name__)


class GuardedFunction(wrapt.FunctionWrapper):
    """A guarded function. It is copied and pickled by name, like a plain function."""

    __bound_function_wrapper__ = _BoundGuardedFunction
    _self_patch: Patch

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return pkgutil.resolve_name, (f"{self.__module__}:{self.__qualname__}",)

    def __copy__(self) -> Any:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return self


class GuardedAttribute(GuardedFunction):
    """A guarded callable that an object holds. A copy of the object gets the callable without the guard."""

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return _as_it_was, (self.__wrapped__,)

    def __copy__(self) -> Any:
        return self.__wrapped__

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return copy.deepcopy(self.__wrapped__, memo)


def _as_it_was(function: Any) -> Any:
    return function


def is_ours(attribute: Any) -> bool:
    """Whether an attribute is an active patch. ``isinstance`` cannot tell, because a wrapt proxy fakes its class."""
    return type(attribute) in (GuardedFunction, GuardedAttribute) and attribute._self_patch.active


class Coverage(msgspec.Struct):
    """What is patched of one class or module. ``inactive`` says why nothing is patched."""

    name: str
    patched: list[str] = []
    missing: list[str] = []
    inactive: str | None = None


_patches: list[Patch] = []


def patches() -> list[Patch]:
    """The active patches, oldest first."""
    return list(_patches)


def no_class(module: ModuleType, name: str) -> Coverage:
    """The coverage of an nnU-Net module that lacks the class to patch; ``name`` may end in the reason."""
    return Coverage(name.partition(":")[0], inactive=f"{module.__name__} has no class {name}")


def patch_all_or_nothing(
    owner: Any, required: Mapping[str, Guard], optional: Mapping[str, Guard] | None = None
) -> Coverage:
    """Patches a class or module. If it lacks a required target, nothing is patched.

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
    """Patches the guarded methods of ``base`` that ``kind`` and its parents define themselves.

    This happens when an object of ``kind`` is made, because only then are its classes known. It also finds methods
    that other libraries have replaced since the last time.
    """
    for owner in kind.__mro__[:-1]:
        for name, guard in guards.items():
            if name in vars(owner) and name != "__init__" and patchable(owner, name):
                patch(owner, name, guard, None if issubclass(owner, base) else base)


def patch(owner: Any, name: str, guard: Guard, kind: type | None = None) -> None:
    """Patches ``owner``'s own attribute ``name`` once. If ``kind`` is given, only its objects are guarded."""
    if not is_ours(vars(owner)[name]):
        made = Patch(owner, name, guard, kind)
        setattr(owner, name, made.replacement)
        _patches.append(made)


def patch_on_object(instance: Any, name: str, guard: Guard) -> None:
    """Patches, once, a callable that an object holds in place of a method. Does nothing if there is none."""
    held = getattr(instance, "__dict__", {}).get(name)
    if callable(held) and not is_ours(held):
        _patches.append(ObjectPatch(instance, name, guard))


def patchable(owner: Any, name: str) -> bool:
    """Whether ``owner`` itself defines ``name`` as a plain function, whether it is patched or not."""
    attribute = vars(owner).get(name)
    return callable(attribute) and not isinstance(attribute, (type, staticmethod, classmethod))


def calls_under_way(instance: Any, names: Container[str]) -> int:
    """How many guarded calls of these methods of ``instance`` are on this thread's stack.

    A stored count would be wrong after an original has raised.
    """
    number, frame = 0, cast("FrameType | None", sys._getframe(1))
    while frame is not None:
        if frame.f_code is Patch._call.__code__:
            called = frame.f_locals
            number += called["instance"] is instance and called["self"].name in names
        frame = frame.f_back
    return number


def unpatch_all() -> None:
    """Restores the originals, last patch first. Attributes that other code has replaced since stay as they are."""
    while _patches:
        _patches.pop().undo()


def _home(owner: Any, name: str) -> Any:
    if not isinstance(owner, type):
        return owner if patchable(owner, name) else None
    return next((parent for parent in owner.__mro__ if parent is not object and patchable(parent, name)), None)


class Swallowed(msgspec.Struct):
    """A contained error of nnguard, as text only, because an exception would keep frames, and so weights, alive."""

    place: str
    kind: str
    traceback: str
    count: int = 1

    def __repr__(self) -> str:
        return f"<Swallowed {self.kind} at {self.place}, {self.count}x>\n{self.traceback}"


#: One entry for each place and kind of error, with its count. Tests check it.
swallowed: list[Swallowed] = []


def contained(place: str, function: Callable[..., Any], *args: Any) -> Any:
    """Calls a part of the guard whose failure must have no effect.

    Returns:
        What ``function`` returns; ``None`` if it failed.
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
    except Exception:  # too little stack or memory to report an error must not disturb a training
        return


def _log(place: str, kind: str, text: str) -> None:
    try:
        from ..report.log import get_logger

        get_logger().error("internal error, nnguard goes on without this", place=place, error=kind, exception=text)
    except Exception as failed:  # structlog may be missing or of another version, and handlers are foreign code
        say(f"internal error, nnguard goes on without this: {place}: {kind} (its log fails: {type(failed).__name__})")


def when_imported(module: str, hook: Callable[[ModuleType], None]) -> None:
    """Calls ``hook`` with the module when it is imported, or now if it is already. An error never fails the import."""
    wrapt.register_post_import_hook(lambda loaded: _call_contained(module, hook, loaded), module)


def _call_contained(module: str, hook: Callable[[ModuleType], None], loaded: ModuleType) -> None:
    try:
        hook(loaded)
    except Exception as error:
        _swallow(f"import of {module}", error)
