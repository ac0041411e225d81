"""What nnguard raises on purpose. Standard library only: this is read when an interpreter starts.

None of these is a ``RuntimeError``: nnU-Net's predictor catches that around its sliding window and
tries again on the CPU, which would swallow a refusal.
"""

from __future__ import annotations

TYPE_CHECKING = False  # type checkers take it for typing's, which a bare interpreter has not imported
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from .findings import Finding


class NNGuardError(Exception):
    """The parent of everything that nnguard raises deliberately."""


class ConfigurationError(NNGuardError):
    """``NNGUARD`` (or an argument that stands for it) cannot be read."""


class CheckpointError(NNGuardError):
    """A checkpoint, or the record inside it, cannot be read; the text says why."""


class InconsistencyError(NNGuardError):
    """Training and inference do not fit together.

    Attributes:
        findings: the ``Finding`` objects that led to this, worst first.
    """

    def __init__(self, message: str, findings: Iterable[Finding] = ()) -> None:
        super().__init__(message)
        self.findings = list(findings)

    def __reduce__(self) -> tuple[Any, ...]:
        # Errors cross process boundaries (nnU-Net spawns workers); the default would drop the findings.
        return type(self), (self.args[0], self.findings)


class MirroringError(InconsistencyError):
    """What the predictor mirrors is not what training mirrored."""


class ConsistencyWarning(UserWarning):
    """A finding that the user's mode does not raise. ``-W error::nnguard.ConsistencyWarning`` raises it."""
