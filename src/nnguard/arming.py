"""Arms the guard: a trigger that waits until nnU-Net is looked for, and only then loads the hooks.

Standard library only, and little of it: this runs at the start of every interpreter that has ``NNGUARD``
set, also of the many that never import nnU-Net.
"""

from __future__ import annotations

import sys

from _nnguard_start import contained, say

from .errors import ConfigurationError
from .settings import DEFAULT_MODE, ENVIRONMENT_VARIABLE, OFF, Policy, Settings

TYPE_CHECKING = False  # type checkers take it for typing's, which a bare interpreter has not imported
if TYPE_CHECKING:
    from typing import Any

    from .guard_status import Status

HOST = "nnunetv2"


class _Arming:
    """What this process knows about itself. One instance, ``_arming``."""

    #: the policy in force; None while the guard is not armed, or while ``error`` is set
    policy: Policy | None = None
    #: the ConfigurationError that the first trainer or predictor raises
    error: ConfigurationError | None = None
    #: why the hooks could not be loaded
    failure: str | None = None
    #: who chose the mode, for ``status``
    source: str | None = None


class _Trigger:
    """Sits on ``sys.meta_path`` until nnU-Net is looked for, then steps aside and lets the hooks take over."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name == HOST:
            _remove_trigger()
            _take_over()


_arming = _Arming()
_trigger = _Trigger()


def arm() -> None:
    """Arms the guard as ``NNGUARD`` says. Does nothing where it is armed already; never raises.

    A value that cannot be read arms the guard too: a user who typed ``stict`` wanted to be guarded, so the
    first trainer or predictor refuses to go on.
    """
    if armed():
        return
    settings = Settings.from_environment()
    try:
        policy = settings.policy()
    except ConfigurationError as error:
        _arming.error = error
        say(error)
    else:
        if policy is None:
            return
        _arming.policy = policy
    _arming.source = _source_of(settings)
    _set_going()


def install(mode: str | None = None) -> None:
    """Arms the guard, or changes its mode.

    Args:
        mode: as ``NNGUARD`` would say it, for example ``"strict,NNG102=raise"``; it wins over the
            environment. ``None`` reads the environment again.

    Raises:
        ConfigurationError: ``mode`` (or ``NNGUARD``) cannot be read; nothing was changed.
    """
    settings = Settings.from_environment()
    policy = settings.policy() if mode is None else Policy.parse(mode)
    if policy is None:
        uninstall()
        return
    _arming.policy = policy
    _arming.error = None
    _arming.source = _source_of(settings) if mode is None else "install"
    _set_going()
    hooks = _hooks()
    if hooks is not None:
        hooks.predictor.forget_verdicts()  # they were another mode's


def uninstall() -> None:
    """Disarms the guard and puts every original back; what others have put in its place is left alone."""
    _remove_trigger()
    hooks = _hooks()
    if hooks is not None:
        hooks.let_go()
    _arming.policy = _arming.error = _arming.failure = _arming.source = None


def armed() -> bool:
    """Whether the guard is armed, also with a mode that cannot be read."""
    return _arming.policy is not None or _arming.error is not None


def policy() -> Policy | None:
    """The policy in force.

    Raises:
        ConfigurationError: ``NNGUARD`` could not be read when the guard was armed.
    """
    if _arming.error is not None:
        raise ConfigurationError(*_arming.error.args)
    return _arming.policy


def status() -> Status:
    """Whether the guard is active in this process, and why not if it is not."""
    from .guard_status import Status, Target

    hooks = _hooks()
    nothing: dict[str, Any] = {"active": False, "targets": {}, "inactive": [], "internal_errors": 0}
    seen = hooks.state() if hooks is not None and armed() else nothing
    inactive = [*seen["inactive"]]
    if not armed():
        inactive.append(f"not armed ({ENVIRONMENT_VARIABLE}={OFF}, or uninstalled)")
    if _arming.failure is not None:
        inactive.append(_arming.failure)
    return Status(
        armed=armed(),
        mode=str(_arming.policy) if _arming.policy is not None else None,
        default_mode=DEFAULT_MODE,
        source=_arming.source,
        error=str(_arming.error) if _arming.error is not None else None,
        waiting=_trigger in sys.meta_path,
        active=seen["active"],
        inactive=inactive,
        targets={name: Target(**target) for name, target in seen["targets"].items()},
        internal_errors=seen["internal_errors"],
        versions=_versions(),
    )


def _source_of(settings: Settings) -> str:
    return "default" if settings.mode is None else ENVIRONMENT_VARIABLE


def _hooks() -> Any:
    """The hooks where they have been loaded; this module never loads them just to ask."""
    return sys.modules.get(f"{__package__}.hooks")


def _set_going() -> None:
    if HOST in sys.modules:
        _take_over()
    elif _trigger not in sys.meta_path:
        sys.meta_path.insert(0, _trigger)


def _remove_trigger() -> None:
    if _trigger in sys.meta_path:
        sys.meta_path.remove(_trigger)


def _take_over() -> None:
    error = contained("loading the hooks", _load_hooks)
    _arming.failure = None if error is None else f"loading the hooks failed: {type(error).__name__}: {error}"


def _load_hooks() -> None:
    from importlib import import_module

    import_module(f"{__package__}.hooks").take_over()


def _versions() -> dict[str, str | None]:
    from .distributions import version_of

    found: dict[str, str | None] = {"python": ".".join(str(part) for part in sys.version_info[:3])}
    for package in ("nnguard", HOST, "torch", "batchgenerators", "batchgeneratorsv2", "wrapt"):
        found[package] = version_of(package)
    return found
