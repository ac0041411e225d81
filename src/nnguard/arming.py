"""Arms the guard: a trigger that waits until nnU-Net is looked for, and only then loads the hooks.

Standard library only, and little of it: this runs at the start of every interpreter that has ``NNGUARD``
set, also of the many that never import nnU-Net.
"""

import os
import sys

from _nnguard_start import contained, say

from .errors import ConfigurationError
from .settings import DEFAULT_MODE, ENVIRONMENT_VARIABLE, OFF, Policy

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

    def find_spec(self, name, path=None, target=None):
        if name == HOST:
            _remove_trigger()
            _take_over()
        return None


_arming = _Arming()
_trigger = _Trigger()


def arm():
    """Arms the guard as ``NNGUARD`` says. Does nothing where it is armed already; never raises.

    A value that cannot be read arms the guard too: a user who typed ``stict`` wanted to be guarded, so the
    first trainer or predictor refuses to go on.
    """
    if armed():
        return
    text = os.environ.get(ENVIRONMENT_VARIABLE)
    try:
        policy = Policy.parse(text)
    except ConfigurationError as error:
        _arming.error = error
        say(error)
    else:
        if policy is None:
            return
        _arming.policy = policy
    _arming.source = ENVIRONMENT_VARIABLE if text else "default"
    _set_going()


def install(mode=None):
    """Arms the guard, or changes its mode.

    Args:
        mode: as ``NNGUARD`` would say it, for example ``"strict,NNG102=raise"``; it wins over the
            environment. ``None`` reads the environment again.

    Raises:
        ConfigurationError: ``mode`` (or ``NNGUARD``) cannot be read; nothing was changed.
    """
    text = os.environ.get(ENVIRONMENT_VARIABLE) if mode is None else mode
    policy = Policy.parse(text)
    if policy is None:
        uninstall()
        return
    _arming.policy = policy
    _arming.error = None
    _arming.source = "install" if mode is not None else ENVIRONMENT_VARIABLE if text else "default"
    _set_going()
    hooks = _hooks()
    if hooks is not None:
        hooks.predictor.forget_verdicts()  # they were another mode's


def uninstall():
    """Disarms the guard and puts every original back; what others have put in its place is left alone."""
    _remove_trigger()
    hooks = _hooks()
    if hooks is not None:
        hooks.let_go()
    _arming.policy = _arming.error = _arming.failure = _arming.source = None


def armed():
    """Whether the guard is armed, also with a mode that cannot be read."""
    return _arming.policy is not None or _arming.error is not None


def policy():
    """The policy in force.

    Raises:
        ConfigurationError: ``NNGUARD`` could not be read when the guard was armed.
    """
    if _arming.error is not None:
        raise ConfigurationError(*_arming.error.args)
    return _arming.policy


def status():
    """Whether the guard is active in this process, and why not where it is not.

    Returns:
        A dict that prints and serialises: ``armed``; ``mode``; ``source`` of the mode (``"NNGUARD"``,
        ``"install"``, ``"default"``); ``error`` (an unreadable mode); ``waiting`` (nnU-Net has not been
        imported yet); ``active`` (whether both trainer and predictor are guarded); ``inactive`` (a list of
        reasons); ``targets`` {class or module: {``patched``, ``missing``}}; ``internal_errors`` (how often
        nnguard failed and kept quiet); ``versions``.
    """
    hooks = _hooks()
    nothing: dict = {"active": False, "targets": {}, "inactive": [], "internal_errors": 0}
    seen = hooks.state() if hooks is not None and armed() else nothing
    inactive = [*seen["inactive"]]
    if not armed():
        inactive.append(f"not armed ({ENVIRONMENT_VARIABLE}={OFF}, or uninstalled)")
    if _arming.failure is not None:
        inactive.append(_arming.failure)
    return {
        "armed": armed(),
        "mode": str(_arming.policy) if _arming.policy is not None else None,
        "default_mode": DEFAULT_MODE,
        "source": _arming.source,
        "error": str(_arming.error) if _arming.error is not None else None,
        "waiting": _trigger in sys.meta_path,
        "active": seen["active"],
        "inactive": inactive,
        "targets": seen["targets"],
        "internal_errors": seen["internal_errors"],
        "versions": _versions(),
    }


def _hooks():
    """The hooks where they have been loaded; this module never loads them just to ask."""
    return sys.modules.get(f"{__package__}.hooks")


def _set_going():
    if HOST in sys.modules:
        _take_over()
    elif _trigger not in sys.meta_path:
        sys.meta_path.insert(0, _trigger)


def _remove_trigger():
    if _trigger in sys.meta_path:
        sys.meta_path.remove(_trigger)


def _take_over():
    error = contained("loading the hooks", _load_hooks)
    _arming.failure = None if error is None else f"loading the hooks failed: {type(error).__name__}: {error}"


def _load_hooks():
    from importlib import import_module

    import_module(f"{__package__}.hooks").take_over()


def _versions():
    from .distributions import version_of

    found: dict = {"python": ".".join(str(part) for part in sys.version_info[:3])}
    for package in ("nnguard", HOST, "torch", "batchgenerators", "batchgeneratorsv2", "wrapt"):
        found[package] = version_of(package)
    return found
