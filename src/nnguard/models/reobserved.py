"""A trainer's class observed once more, as it is now: the weakest evidence about a model that it trained in the past.

Who imports the class is not known here: that runs code, and is asked for. This room says which training a
checkpoint names, and what today's observation of it is worth.
"""

from __future__ import annotations

import re

import msgspec

from ..axes import normalise, problem_with, written
from ..record import Record
from ..rules.verdicts import all_safe_axes
from .folder import Fold
from .older import TODAY, Evidence
from .predicting import configuration_of, fold_of, has_fliptest

#: As a checkpoint names them. They become arguments of a command and names of files, so that nothing else may pass.
_TRAINER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_IDENTIFIER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", re.ASCII)
_DATASET = re.compile(r"Dataset[0-9]{3,}_[^/\\\x00-\x1f]+")


class NamedTraining(msgspec.Struct, frozen=True):
    """What ``nnUNetv2_train`` would need to train the like again; ``fold`` is any one that was trained."""

    dataset: str
    configuration: str
    trainer: str
    plans: str
    fold: int | str = 0

    @property
    def apart_from_fold(self) -> tuple[str, str, str, str]:
        """Folds differ in their cases and in nothing that a pipeline shows."""
        return self.dataset, self.configuration, self.trainer, self.plans


class Reobserved(msgspec.Struct, frozen=True, kw_only=True):
    """The record of a training that was built today and not run, or why there is none, in words."""

    training: NamedTraining | None = None
    record: Record | None = None
    failure: str = ""


#: Of a checkpoint that was changed by hand, or that a conversion has shortened.
NAMELESS = Reobserved(failure="the checkpoint does not name trainer, plans, configuration and data set as nnU-Net does")


def training_named(fold: Fold) -> NamedTraining | None:
    """The training that a checkpoint names; ``None`` where it names none, or by names that nnU-Net does not give."""
    checkpoint = fold.checkpoint
    plans = checkpoint.init_args.get("plans") if checkpoint is not None else None
    if checkpoint is None or not isinstance(plans, dict):
        return None
    dataset, plans_name = plans.get("dataset_name"), plans.get("plans_name")
    configuration, trainer, trained = configuration_of(fold), checkpoint.trainer_name, fold_of(fold)
    if not (_is(_DATASET, dataset) and _is(_IDENTIFIER, configuration) and _is(_IDENTIFIER, plans_name)):
        return None
    if not _is(_TRAINER, trainer):
        return None
    number = trained if isinstance(trained, int) and trained >= 0 else "all"
    return NamedTraining(str(dataset), str(configuration), str(trainer), str(plans_name), number)


def _is(allowed: re.Pattern[str], name: object) -> bool:
    return isinstance(name, str) and allowed.fullmatch(name) is not None


def is_wanted(fold: Fold) -> bool:
    """Whether nothing better tells of the training: no record, and no text that settles the axes in use."""
    if fold.checkpoint is None or fold.record is not None or has_fliptest(fold):
        return False
    return not _settles(fold.weaker(), fold)


def _settles(evidence: Evidence | None, fold: Fold) -> bool:
    if evidence is None or (evidence.record is None and evidence.mirroring is None):
        return False
    if evidence.record is not None or evidence.mirroring is None or evidence.mirroring.complete:
        return True
    axes = fold.checkpoint.declared_axes if fold.checkpoint is not None else None
    # A text with a transform of the trainer's own in it can still fit what is used; it cannot speak against it.
    return not problem_with(axes) and set(normalise(axes)) <= set(evidence.mirroring.axes)


def with_today(weaker: Evidence | None, today: Reobserved, fold: Fold) -> Evidence | None:
    """The evidence, with what the trainer's class does today where nothing better tells."""
    if _settles(weaker, fold):
        return weaker
    before = f"{weaker.sentence}; " if weaker is not None else ""
    failure = today.failure or _not_settled(today.record)
    if failure:
        said = f"{today.training.trainer if today.training else 'Its trainer'} could not be observed again: {failure}"
        sentence = f"{before}{said} (grade: {weaker.grade if weaker is not None else 'nothing'})"
        if weaker is None:
            return Evidence(grade="nothing", path="", sentence=sentence, failure=said)
        return msgspec.structs.replace(weaker, sentence=sentence, failure=said)
    assert today.record is not None
    assert today.training is not None
    mirrors = written(all_safe_axes(today.record) or None)
    sentence = (
        f"{before}{today.training.trainer}, as it is now, observed on {today.training.dataset}, "
        f"{today.training.configuration}: safe axes {mirrors} (grade: {TODAY}; the code may have been another when "
        "the model was trained)"
    )
    return Evidence(grade=TODAY, path="", sentence=sentence, record=today.record)


def _not_settled(record: Record | None) -> str:
    if record is None:
        return "no record came of it"
    if record.mirroring.state == "observed":
        return ""
    return "; ".join([f"what it shows is {record.mirroring.state}", *record.mirroring.reasons])
