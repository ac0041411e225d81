"""``NNGUARD`` and what it makes of a finding. Standard library only, see ``findings``."""

from .errors import ConfigurationError
from .findings import ADVISORY, HARMFUL, NOTE, UNVERIFIED, codes_named

ENVIRONMENT_VARIABLE = "NNGUARD"
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

    def __init__(self, mode=DEFAULT_MODE, overrides=None):
        self.mode = mode
        self.overrides = dict(overrides or {})

    @classmethod
    def parse(cls, text):
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
        overrides = {}
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
    def corrects(self):
        """Whether axes may be narrowed at all."""
        return self.mode == CORRECT

    def action(self, finding):
        """What to do about ``finding``: ``ignore``, ``log``, ``warn``, ``raise`` or ``correct``."""
        if finding.code in self.overrides:
            return self.overrides[finding.code]
        # As a note NNG108 says what else lies there and is not used, or not needed: of the model enough is known.
        unverified = finding.code == UNVERIFIED and finding.severity != NOTE
        column = UNVERIFIED if unverified else finding.severity
        return MODES[self.mode][column]

    def __str__(self):
        return ",".join([self.mode, *(f"{code}={action}" for code, action in self.overrides.items())])

    def __repr__(self):
        return f"Policy({str(self)!r})"

    def __eq__(self, other):
        return isinstance(other, Policy) and str(self) == str(other)
