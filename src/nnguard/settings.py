"""Everything that nnguard reads from the environment, and what a mode does about a finding.

No other module reads environment variables, except ``_nnguard_start``, which runs before this one may be loaded.
Standard library only, see ``findings``.
"""

from __future__ import annotations

import os

from .errors import ConfigurationError
from .findings import ADVISORY, HARMFUL, NOTE, UNVERIFIED, codes_named

TYPE_CHECKING = False  # type checkers take it for typing's, which a bare interpreter has not imported
if TYPE_CHECKING:
    from collections.abc import Mapping

    from .findings import Finding

ENVIRONMENT_VARIABLE = "NNGUARD"
LOG_VARIABLE = "NNGUARD_LOG"
#: Any value except ``0`` and ``off`` asks for a contact sheet at training start.
PREVIEW_VARIABLE = "NNGUARD_PREVIEW"
#: A setting of earlier versions, which does nothing now.
FLIPTEST_VARIABLE = "NNGUARD_FLIPTEST"
RESULTS_VARIABLE = "nnUNet_results"
PREPROCESSED_VARIABLE = "nnUNet_preprocessed"
WORKERS_VARIABLE = "nnUNet_n_proc_DA"
COLUMNS_VARIABLE = "COLUMNS"

OFF = "off"
DEFAULT_MODE = "warn"

IGNORE, LOG, WARN, RAISE, CORRECT = "ignore", "log", "warn", "raise", "correct"
#: What a user may write behind a rule's code. ``correct`` is a mode: it needs to change axes, not a message.
ACTIONS = (IGNORE, LOG, WARN, RAISE)

#: mode -> action for each severity, and for "unverified", which is no verdict and has a column of its own
MODES = {
    "warn": {HARMFUL: WARN, ADVISORY: WARN, NOTE: LOG, UNVERIFIED: LOG},
    "strict": {HARMFUL: RAISE, ADVISORY: WARN, NOTE: LOG, UNVERIFIED: WARN},
    "exact": {HARMFUL: RAISE, ADVISORY: RAISE, NOTE: LOG, UNVERIFIED: RAISE},
    "correct": {HARMFUL: CORRECT, ADVISORY: WARN, NOTE: LOG, UNVERIFIED: WARN},
}

GRAMMAR = (
    f"expected MODE[,RULE=ACTION]..., MODE one of {OFF}, {', '.join(MODES)}; "
    "RULE a code (NNG102), a name (unused-mirroring) or a family (NNG4*); "
    f"ACTION one of {', '.join(ACTIONS)}"
)


class Policy:
    """A mode with its exceptions.

    Args:
        mode: a key of ``MODES``.
        overrides: rule code -> action.
    """

    __slots__ = ("mode", "overrides")

    def __init__(self, mode: str = DEFAULT_MODE, overrides: Mapping[str, str] | None = None) -> None:
        self.mode = mode
        self.overrides = dict(overrides or {})

    @classmethod
    def parse(cls, text: str | None) -> Policy | None:
        """Reads ``MODE[,RULE=ACTION]...``. A rule that went means the one that took its place.

        Returns:
            The policy; ``None`` for ``off``; the default for an empty text or ``None``.

        Raises:
            ConfigurationError: names what could not be read and the valid values, in one line.
        """
        mode, *exceptions = [part.strip() for part in (text or DEFAULT_MODE).split(",")]
        mode = mode.lower()
        if mode != OFF and mode not in MODES:
            raise ConfigurationError(f"{ENVIRONMENT_VARIABLE}={text!r}: unknown mode {mode!r}; {GRAMMAR}")
        overrides: dict[str, str] = {}
        for exception in exceptions:
            rule, equals, action = (part.strip() for part in exception.partition("="))
            codes, action = codes_named(rule), action.lower()
            if codes is None:
                raise ConfigurationError(f"{ENVIRONMENT_VARIABLE}={text!r}: unknown rule {rule!r}; {GRAMMAR}")
            if not equals or action not in ACTIONS:
                raise ConfigurationError(
                    f"{ENVIRONMENT_VARIABLE}={text!r}: unknown action {action!r} for {rule}; {GRAMMAR}"
                )
            overrides.update(dict.fromkeys(codes, action))
        return None if mode == OFF else cls(mode, overrides)

    @property
    def corrects(self) -> bool:
        """Whether axes may be narrowed at all."""
        return self.mode == CORRECT

    def action(self, finding: Finding) -> str:
        """What to do about ``finding``: ``ignore``, ``log``, ``warn``, ``raise`` or ``correct``."""
        if finding.code in self.overrides:
            return self.overrides[finding.code]
        # As a note NNG108 says what else lies there and is not used, or not needed: of the model enough is known.
        unverified = finding.code == UNVERIFIED and finding.severity != NOTE
        column = UNVERIFIED if unverified else finding.severity
        return MODES[self.mode][column]

    def __str__(self) -> str:
        return ",".join([self.mode, *(f"{code}={action}" for code, action in self.overrides.items())])

    def __repr__(self) -> str:
        return f"Policy({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Policy) and str(self) == str(other)


class Settings:
    """What the environment said when it was read. An instance does not follow later changes.

    Args:
        mode: ``NNGUARD`` as it was written, readable or not; ``None`` if it is unset or empty.
        log: ``NNGUARD_LOG`` as it was written; ``report.log`` explains the values.
        preview: whether ``NNGUARD_PREVIEW`` asks for a contact sheet.
        fliptest: whether ``NNGUARD_FLIPTEST`` asks for what nnguard no longer does.
        results, preprocessed, workers: nnU-Net's own variables; ``None`` if unset.
        columns: the width that ``COLUMNS`` asks for; ``None`` if it asks for none.
    """

    __slots__ = ("columns", "fliptest", "log", "mode", "preprocessed", "preview", "results", "workers")

    columns: int | None
    fliptest: bool
    log: str
    mode: str | None
    preprocessed: str | None
    preview: bool
    results: str | None
    workers: str | None

    def __init__(
        self,
        *,
        mode: str | None = None,
        log: str = "",
        preview: bool = False,
        fliptest: bool = False,
        results: str | None = None,
        preprocessed: str | None = None,
        workers: str | None = None,
        columns: int | None = None,
    ) -> None:
        fields = columns, fliptest, log, mode, preprocessed, preview, results, workers
        for name, value in zip(self.__slots__, fields, strict=True):
            object.__setattr__(self, name, value)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Settings:
        """Reads all variables. Never raises: ``policy`` is what refuses an unreadable mode."""
        return cls(
            mode=environ.get(ENVIRONMENT_VARIABLE) or None,
            log=environ.get(LOG_VARIABLE, ""),
            preview=_is_on(environ.get(PREVIEW_VARIABLE)),
            fliptest=_is_on(environ.get(FLIPTEST_VARIABLE)),
            results=environ.get(RESULTS_VARIABLE),
            preprocessed=environ.get(PREPROCESSED_VARIABLE),
            workers=environ.get(WORKERS_VARIABLE),
            columns=_width(environ.get(COLUMNS_VARIABLE, "")),
        )

    def policy(self) -> Policy | None:
        """The policy that ``mode`` asks for; ``None`` for ``off``.

        Raises:
            ConfigurationError: as ``Policy.parse``.
        """
        return Policy.parse(self.mode)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"settings are read-only: {name}")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"settings are read-only: {name}")

    def __repr__(self) -> str:
        return f"Settings({', '.join(f'{name}={getattr(self, name)!r}' for name in self.__slots__)})"


def _width(value: str) -> int | None:
    # A short text, because ``int`` raises for thousands of digits.
    return (int(value) or None) if value.isdecimal() and len(value) < 10 else None


def _is_on(value: str | None) -> bool:
    return value not in (None, "", "0", "off")
