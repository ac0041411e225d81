"""A finding, its severity, and the catalogue of rules. Standard library only.

``NNGUARD=strict,NNG102=raise`` has to be understood when an interpreter starts, so this module may
import nothing that a bare interpreter has not imported: no dataclasses, no enum, no typing.
"""

HARMFUL = "harmful"
ADVISORY = "advisory"
NOTE = "note"
SEVERITIES = (NOTE, ADVISORY, HARMFUL)


def at_least(severity, level):
    """Whether ``severity`` is as grave as ``level``, or graver."""
    return SEVERITIES.index(severity) >= SEVERITIES.index(level)


class Rule:
    """One line of the catalogue. The long explanation is the rule's page (``nnguard rule CODE``)."""

    __slots__ = ("code", "mirroring", "name", "severity", "summary")

    def __init__(self, code, name, severity, summary, mirroring=False):
        self.code = code
        self.name = name
        self.severity = severity
        self.summary = summary
        #: whether raising it is a ``MirroringError``
        self.mirroring = mirroring

    def __repr__(self):
        return f"Rule({self.code} {self.name}, {self.severity})"


def _catalogue(*rows):
    return {row[0]: Rule(*row) for row in rows}


UNVERIFIED = "NNG108"

RULES = _catalogue(
    ("NNG101", "unseen-flip", HARMFUL, "The predictor uses a flip that training never showed.", True),
    (
        "NNG102",
        "unused-mirroring",
        ADVISORY,
        "Training mirrored and the predictor does not, or on fewer axes: safe, but not what validation measured.",
        True,
    ),
    (
        "NNG103",
        "trainer-allows-untrained-flip",
        HARMFUL,
        "The trainer declares axes with a flip that its training does not show: the checkpoint would carry the trap.",
        True,
    ),
    ("NNG104", "trainer-withholds-mirroring", NOTE, "Training mirrors, and the trainer forbids it at test time.", True),
    (
        "NNG105",
        "malformed-axes",
        HARMFUL,
        "Mirroring axes that nnU-Net crashes on, or that flip the channels.",
        True,
    ),
    (
        "NNG106",
        "label-swapping-flip",
        HARMFUL,
        "Test-time mirroring uses a flip under which training swapped labels.",
        True,
    ),
    ("NNG107", "augmentation-changed", ADVISORY, "A resumed training augments differently, beyond chance.", True),
    (
        UNVERIFIED,
        "unverified",
        ADVISORY,
        "There is no record, or it could not be observed: nothing is known, which is not the same as nothing wrong.",
        True,
    ),
    ("NNG109", "axes-edited", ADVISORY, "The checkpoint's axes are not those that its record says.", True),
    (
        "NNG110",
        "evidence-disagrees",
        ADVISORY,
        "What the transforms say of themselves and what they do to data differ.",
        True,
    ),
    (
        "NNG112",
        "rare-flip",
        HARMFUL,
        "The predictor uses a flip that training showed, but too rarely to be learnt.",
        True,
    ),
    (
        "NNG113",
        "plain-view-unseen",
        HARMFUL,
        "Training always flips: the un-flipped view that every prediction starts from was never shown.",
        True,
    ),
    ("NNG114", "image-label-apart", HARMFUL, "Image and segmentation are flipped differently.", True),
    (
        "NNG115",
        "edit-after-start",
        HARMFUL,
        "The pipeline was changed after the workers had copied it: the change has no effect.",
        True,
    ),
    (
        "NNG116",
        "unread-flip",
        HARMFUL,
        "The predictor uses a flip under which the trained network was measured to lose Dice.",
        True,
    ),
    ("NNG201", "spacing-changed", HARMFUL, "The folder's plans resample to another spacing than training used."),
    (
        "NNG202",
        "normalisation-changed",
        HARMFUL,
        "The folder's plans normalise intensities otherwise than training did.",
    ),
    (
        "NNG203",
        "geometry-changed",
        HARMFUL,
        "The folder's plans have another patch size or other transposes than training used.",
    ),
    ("NNG204", "labels-changed", HARMFUL, "The folder's labels or regions are not those of training."),
    ("NNG205", "channels-changed", HARMFUL, "The folder's input channels are not those of training."),
    ("NNG206", "resampling-changed", ADVISORY, "The folder's plans resample with other functions than training."),
    ("NNG207", "reader-changed", ADVISORY, "The folder names another image reader than training used."),
    (
        "NNG208",
        "architecture-changed",
        HARMFUL,
        "The folder's plans build another network than the weights were trained in.",
    ),
    ("NNG301", "folds-mirror-differently", HARMFUL, "Folds of one ensemble were trained with different mirroring."),
    (
        "NNG302",
        "folds-trained-differently",
        ADVISORY,
        "Folds of one ensemble come from different trainers or configurations.",
    ),
    ("NNG303", "folds-planned-differently", ADVISORY, "Folds of one ensemble were trained with different plans."),
    ("NNG304", "fold-missing", ADVISORY, "A fold of the ensemble is missing, or stands at another epoch."),
    (
        "NNG401",
        "metric-gap",
        ADVISORY,
        "The pseudo Dice of training is far above the validation Dice.",
    ),
    (
        "NNG402",
        "stale-validation",
        ADVISORY,
        "Validation results were made with other mirroring axes than the checkpoint has now.",
    ),
    ("NNG501", "nnunetv2-version", NOTE, "Trained with another version of nnunetv2."),
    ("NNG502", "batchgenerators-version", NOTE, "Trained with another version of batchgenerators(v2)."),
    ("NNG503", "torch-version", NOTE, "Trained with another version of torch."),
)


class Finding:
    """One rule's verdict on one subject.

    Args:
        code: the rule, for example ``"NNG101"``.
        subject: the checkpoint, model folder or trainer that it is about, as a person would name it.
        message: what is wrong, in one sentence.
        seen: what training showed and what the predictor (or trainer) uses, and where both come from.
        effect: what it does to results.
        remedy: exactly what to do, ready to paste.
        evidence: the numbers behind it, as plain JSON-able data.
        severity: when it differs from the catalogue's (weak evidence lowers it).
        setting: what, beside code and subject, makes this another finding (the axes in use, for
            example); warnings go out once for each (code, subject, setting).
    """

    __slots__ = ("code", "effect", "evidence", "message", "remedy", "seen", "setting", "severity", "subject")

    def __init__(
        self, code, subject, message, *, seen="", effect="", remedy="", evidence=None, severity=None, setting=""
    ):
        if code not in RULES:
            raise ValueError(f"no such rule: {code}")
        self.code = code
        self.subject = subject
        self.message = message
        self.seen = seen
        self.effect = effect
        self.remedy = remedy
        self.evidence = dict(evidence or {})
        self.severity = severity or RULES[code].severity
        self.setting = setting

    @property
    def name(self):
        return RULES[self.code].name

    def to_dict(self):
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

    def __repr__(self):
        return f"<Finding {self.code} {self.severity} {self.subject!r}: {self.message}>"

    def __eq__(self, other):
        if not isinstance(other, Finding):
            return NotImplemented
        return all(getattr(self, slot) == getattr(other, slot) for slot in self.__slots__)

    def __hash__(self):
        return hash((self.code, self.subject, self.setting))


def worst_first(findings):
    """The findings, gravest first, then by code; a stable order for people and for tests."""
    return sorted(findings, key=lambda finding: (-SEVERITIES.index(finding.severity), finding.code))
