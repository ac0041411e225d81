"""Whether the guard is active in a process, and why not. Loaded when somebody asks.

Dataclasses, because ``nnguard.status()`` has to answer even if nnguard's dependencies are missing. The module is not
called ``status``, because loading it would then replace the function of that name in the package.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Target:
    """One class or module of nnU-Net or torch: which of its functions are guarded, and which it does not have."""

    patched: list[str]
    missing: list[str]


@dataclass(frozen=True)
class Status:
    """What ``nnguard.status()`` returns. Printing it shows the verdict first.

    Attributes:
        armed: whether the guard is switched on, also with a mode that cannot be read.
        mode: for example ``"strict,NNG102=raise"``; ``None`` if there is none, or it cannot be read.
        default_mode: the mode if nothing else is said.
        source: who chose the mode: ``"NNGUARD"``, ``"install"`` or ``"default"``.
        error: why the mode cannot be read.
        waiting: nnU-Net has not been imported yet.
        active: whether both trainer and predictor are guarded.
        inactive: the reasons why something is not guarded.
        targets: class or module -> what of it is guarded.
        internal_errors: how often nnguard failed and kept quiet.
        versions: package -> version; ``None`` if it is not installed.
    """

    armed: bool
    mode: str | None
    default_mode: str
    source: str | None
    error: str | None
    waiting: bool
    active: bool
    inactive: list[str]
    targets: dict[str, Target]
    internal_errors: int
    versions: dict[str, str | None]

    def to_dict(self) -> dict[str, Any]:
        """The same as plain data, for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        verdict = "active" if self.active else "waiting for nnU-Net" if self.waiting else "not active"
        yield f"nnguard: {verdict}" + (f", mode {self.mode} ({self.source})" if self.mode is not None else "")
        yield from (f"  {reason}" for reason in (self.error, *self.inactive) if reason)
        for name, target in self.targets.items():
            missing = f", missing: {', '.join(target.missing)}" if target.missing else ""
            yield f"  {name}: {len(target.patched)} guarded{missing}"
        if self.internal_errors:
            yield f"  internal errors: {self.internal_errors}"
        yield "  " + ", ".join(f"{name} {version or 'missing'}" for name, version in self.versions.items())
