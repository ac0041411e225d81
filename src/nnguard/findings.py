"""A finding, its severity, and the catalogue of rules. Standard library only.

``NNGUARD=strict,NNG102=raise`` has to be understood when an interpreter starts, so this module may
import nothing that a bare interpreter has not imported: no dataclasses, no enum, no typing.
"""

from __future__ import annotations

import os

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
    """One rule. The file of its module names it: ``nng101_unseen_flip.py`` is NNG101 unseen-flip.

    Severity and page stand in the module. They are read from its source when somebody asks: a bare start needs names
    alone, importing a rule takes msgspec, and ``python -OO`` drops docstrings.
    """

    __slots__ = ("_source", "code", "module", "name")

    def __init__(self, module: str) -> None:
        code, _, name = module.partition("_")
        self.module = module
        self.code = code.upper()
        self.name = name.replace("_", "-")
        self._source = ""

    @property
    def mirroring(self) -> bool:
        """Whether raising it is a ``MirroringError``."""
        return self.code.startswith("NNG1")

    @property
    def source(self) -> str:
        """The text of its module."""
        if not self._source:
            with open(os.path.join(_FOLDER, f"{self.module}.py"), encoding="utf-8") as file:  # noqa: PTH118, PTH123
                self._source = file.read()
        return self._source

    @property
    def explanation(self) -> str:
        """The module's docstring: the summary, and the parts of the rule's page."""
        return self.source.split('"""', 2)[1]

    @property
    def summary(self) -> str:
        """What the rule says, in one sentence."""
        return self.explanation.partition("\n")[0]

    @property
    def severity(self) -> str:
        """How grave its findings are, unless the evidence is weak."""
        severity = self.source.partition("\nSEVERITY = ")[2].partition("\n")[0].lower()
        if severity not in SEVERITIES:
            raise ValueError(f"{self.module}.py has no line SEVERITY = HARMFUL, ADVISORY or NOTE")
        return severity

    def defines(self, function: str) -> bool:
        """Whether the rule's module has this function."""
        return f"\ndef {function}(" in self.source


def _modules_of_rules() -> list[str]:
    """``nng101_unseen_flip`` and so on. Whatever is called otherwise in the folder is no rule."""
    stems = [name[:-3] for name in os.listdir(_FOLDER) if name.endswith(".py")]  # noqa: PTH208
    return sorted(stem for stem in stems if stem.startswith("nng") and stem[3:6].isdecimal() and stem[6:7] == "_")


# A bare interpreter has not imported pathlib.
_FOLDER = os.path.join(os.path.dirname(__file__), "rules")  # noqa: PTH118, PTH120

#: Code -> rule, in the order of codes.
RULES = {rule.code: rule for rule in map(Rule, _modules_of_rules())}

UNVERIFIED = "NNG108"

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
        Their codes, in order. Nothing for a rule that went and has no heir; ``None`` where no
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
