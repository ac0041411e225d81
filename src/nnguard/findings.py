"""A finding, its severity, and the catalogue of rules. Standard library only.

``NNGUARD=strict,NNG102=raise`` has to be understood when an interpreter starts, so this module may
import nothing that a bare interpreter has not imported: no dataclasses, no enum, no typing.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

HARMFUL = "harmful"
ADVISORY = "advisory"
NOTE = "note"
SEVERITIES = (NOTE, ADVISORY, HARMFUL)


def at_least(severity: str, level: str) -> bool:
    """Whether ``severity`` is as grave as ``level``, or graver."""
    return SEVERITIES.index(severity) >= SEVERITIES.index(level)


class Rule:
    """One line of the catalogue. The long explanation is the rule's page (``nnguard rule CODE``)."""

    __slots__ = ("code", "name", "severity", "summary")

    def __init__(self, code: str, name: str, severity: str, summary: str) -> None:
        self.code = code
        self.name = name
        self.severity = severity
        self.summary = summary

    @property
    def mirroring(self) -> bool:
        """Whether raising it is a ``MirroringError``."""
        return self.code.startswith("NNG1")


UNVERIFIED = "NNG108"

_CATALOGUE = (
    ("NNG101", "unseen-flip", HARMFUL, "The predictor uses a flip that training never or too rarely showed."),
    ("NNG102", "unused-mirroring", ADVISORY, "Training mirrored and the predictor does not, or on fewer axes."),
    ("NNG103", "trainer-allows-untrained-flip", HARMFUL, "The trainer declares axes that its training lacks."),
    ("NNG104", "trainer-withholds-mirroring", NOTE, "Training mirrors, and the trainer forbids it at test time."),
    ("NNG105", "malformed-axes", HARMFUL, "Mirroring axes that nnU-Net crashes on, or that flip the channels."),
    ("NNG106", "label-swapping-flip", HARMFUL, "Test-time mirroring uses a flip under which training swapped labels."),
    ("NNG107", "augmentation-changed", ADVISORY, "A resumed training augments differently, beyond chance."),
    (UNVERIFIED, "unverified", ADVISORY, "Nothing is known of the training, which is not the same as nothing wrong."),
    ("NNG109", "axes-edited", ADVISORY, "The checkpoint's axes are not those that its record says."),
    ("NNG112", "thin-flip", ADVISORY, "Training shows a flip in use, but seldom: the network may not have learnt it."),
    ("NNG113", "plain-view-unseen", HARMFUL, "Training always flips: the un-flipped view was never shown."),
    ("NNG114", "image-label-apart", HARMFUL, "Image and segmentation are flipped differently."),
    ("NNG115", "edit-after-start", HARMFUL, "The pipeline was changed after the workers had copied it."),
    ("NNG116", "unread-flip", HARMFUL, "The predictor uses a flip under which the network was measured to lose Dice."),
    ("NNG201", "folder-differs-from-training", HARMFUL, "The folder's plans or dataset are not what training used."),
    ("NNG301", "folds-differ", HARMFUL, "Folds of one ensemble differ in mirroring, trainers, plans or epochs."),
    ("NNG401", "metric-gap", ADVISORY, "The pseudo Dice of training is far above the validation Dice."),
    ("NNG402", "stale-validation", ADVISORY, "Validation was made with other mirroring axes than the checkpoint has."),
    ("NNG501", "versions-differ", NOTE, "Trained with another version of nnunetv2, batchgenerators(v2) or torch."),
)
RULES = {row[0]: Rule(*row) for row in _CATALOGUE}

#: A rule that went -> the rule that took its place; ``None`` where none did.
HEIRS: dict[str, str | None] = {
    "NNG110": "NNG108",
    "NNG111": None,
    **dict.fromkeys(("NNG202", "NNG203", "NNG204", "NNG205", "NNG206", "NNG207", "NNG208"), "NNG201"),
    **dict.fromkeys(("NNG302", "NNG303", "NNG304"), "NNG301"),
    **dict.fromkeys(("NNG502", "NNG503"), "NNG501"),
}


def codes_named(word: str) -> list[str] | None:
    """The rules that a user means by a code, a name or a family such as ``NNG4*``.

    Returns:
        Their codes, in the order of the catalogue. Nothing for a rule that went and has no heir; ``None`` where no
        rule is called so.
    """
    code, name = word.strip().upper(), word.strip().lower()
    if code in HEIRS:
        heir = HEIRS[code]
        return [heir] if heir else []
    family = code[:-1] if code.startswith("NNG") and code.endswith("*") else None
    found = [
        rule.code
        for rule in RULES.values()
        if rule.code == code or rule.name == name or (family is not None and rule.code.startswith(family))
    ]
    return found or None


class Finding:
    """One rule's verdict on one subject. No attribute can be set after it is made; ``replace`` makes another one.

    Args:
        code: the rule, for example ``"NNG101"``.
        subject: the checkpoint, model folder or trainer that it is about, as a person would name it.
        message: what is wrong, in one sentence.
        seen: what training showed and what the predictor (or trainer) uses, and where both come from.
        effect: what it does to results.
        remedy: exactly what to do, ready to paste.
        evidence: the numbers behind it, as plain JSON-able data.
        severity: if it differs from the rule's own (weak evidence lowers it).
        setting: what, beside code and subject, makes this another finding (the axes in use, for
            example); warnings go out once for each (code, subject, setting).
    """

    __slots__ = ("code", "effect", "evidence", "message", "remedy", "seen", "setting", "severity", "subject")

    code: str
    subject: str
    message: str
    seen: str
    effect: str
    remedy: str
    evidence: dict[str, Any]
    severity: str
    setting: str

    def __init__(
        self,
        code: str,
        subject: str,
        message: str,
        *,
        seen: str = "",
        effect: str = "",
        remedy: str = "",
        evidence: Mapping[str, Any] | None = None,
        severity: str | None = None,
        setting: str = "",
    ) -> None:
        if code not in RULES:
            raise ValueError(f"no such rule: {code}")
        fields = {
            "code": code,
            "subject": subject,
            "message": message,
            "seen": seen,
            "effect": effect,
            "remedy": remedy,
            "evidence": dict(evidence or {}),
            "severity": severity or RULES[code].severity,
            "setting": setting,
        }
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a finding does not change: replace({name}=...) makes another one")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"a finding does not change: it keeps its {name}")

    def replace(self, **changes: Any) -> Finding:
        """The same finding with other values."""
        return Finding(**{**self._fields(), **changes})

    def _fields(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}

    def __reduce__(self) -> tuple[Any, ...]:
        # Unpickling sets attributes, which a finding refuses.
        return _made_of, (self._fields(),)

    @property
    def name(self) -> str:
        return RULES[self.code].name

    def to_dict(self) -> dict[str, Any]:
        """The finding as the JSON of the command line shows it."""
        return {
            "code": self.code,
            "name": self.name,
            "severity": self.severity,
            "message": self.message,
            "subject": self.subject,
            "evidence": {**self.evidence, "seen": self.seen, "effect": self.effect},
            "remedy": self.remedy,
        }

    def __repr__(self) -> str:
        return f"<Finding {self.code} {self.severity} {self.subject!r}: {self.message}>"

    def __eq__(self, other: object) -> bool:
        return self._fields() == other._fields() if isinstance(other, Finding) else NotImplemented


def _made_of(fields: dict[str, Any]) -> Finding:
    return Finding(**fields)


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """The findings, gravest first, then by code; a stable order for people and for tests."""
    return sorted(findings, key=lambda finding: (-SEVERITIES.index(finding.severity), finding.code))
