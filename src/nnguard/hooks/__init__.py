"""Patches nnU-Net's classes when nnU-Net is imported, and takes the patches out again."""

from __future__ import annotations

from multiprocessing import parent_process
from typing import Any

from _nnguard_start import say

from ..report import log
from ..settings import FLIPTEST_VARIABLE, Settings
from . import augmenters, parent_training, patching, predictor, torch_io, trainer

#: Each of these has ``MODULES``, the modules that it waits for, and ``patch``, which patches one of them.
_ROOMS = (torch_io, augmenters, trainer, predictor, parent_training)

#: The guard is active only if these are patched.
_NEEDED = (trainer, predictor)

_taken = False
_coverage: dict[str, patching.Coverage] = {}
_failures: dict[str, str] = {}


def take_over() -> None:
    """Patches what is imported already and waits for the rest. A second call changes nothing."""
    global _taken
    if not _taken and Settings.from_environment().fliptest and parent_process() is None:
        say(f"{FLIPTEST_VARIABLE} does nothing any more. To measure what mirroring costs, use: nnguard fliptest")
    _taken = True
    log.look()
    for room in _ROOMS:
        for module in room.MODULES:
            if module not in _coverage:
                patching.when_imported(module, _hook(room, module))


def let_go() -> None:
    """Restores every original. What is known of live trainers stays, because the guard may be armed again."""
    global _taken
    _taken = False
    patching.unpatch_all()
    _coverage.clear()
    _failures.clear()


def state() -> dict[str, Any]:
    """What ``nnguard.status()`` says of the patches."""
    inactive = [coverage.inactive for coverage in _coverage.values() if coverage.inactive]
    inactive += _failures.values()
    needed = [module for room in _NEEDED for module in room.MODULES]
    return {
        "active": all(module in _coverage and not _coverage[module].inactive for module in needed),
        "inactive": inactive,
        "targets": {
            coverage.name: {"patched": sorted(coverage.patched), "missing": coverage.missing}
            for coverage in _coverage.values()
        },
        "internal_errors": sum(error.count for error in patching.swallowed),
    }


def _hook(room: Any, module: str) -> Any:
    def patch(loaded: Any) -> None:
        if not _taken or module in _coverage:
            return
        _failures[module] = f"patching {module} failed"
        coverage = room.patch(loaded)
        del _failures[module]
        _coverage[module] = coverage
        if coverage.inactive and room in _NEEDED:
            say(f"inactive: {coverage.inactive}")

    return patch
