"""One model of many: judged like any other, but what is wrong with it is an answer and never stops the rest."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from ..axes import written
from ..errors import CheckpointError
from ..findings import Finding
from .checking import judge
from .exported import exported_layout, folds_inside, is_exported, may_hold_models, open_exported_model
from .folder import CHECKPOINT_NAME, Fold, Model, detect_folds, open_model
from .measured import measured_beside
from .predicting import configuration_of, has_fliptest
from .reobserved import NAMELESS, NamedTraining, Reobserved, is_wanted, training_named

#: Weakest first; a model's grade is that of its worst known fold.
GRADES = (
    "nothing",
    "trainer's class",
    "training log",
    "debug.json",
    "nnguard.json",
    "record (unknown)",
    "record (pending)",
    "record (declared)",
    "fliptest",
    "record (measured)",
    "record (nnguard.json)",
    "record",
)


class Audited(msgspec.Struct, frozen=True, kw_only=True):
    """What an audit says of one ensemble: a model folder's folds, or its ``fold_all``.

    Args:
        subject: for people, the folder.
        findings: worst first.
        checked: checkpoints that were read.
        errors: what could not be, one line each.
        skipped: why there was nothing to check; ``""`` where there was.
        grade: one of ``GRADES``, the weakest that the verdict rests on.
        facts: trainer, configuration, folds and declared axes of the first readable fold, for people.
        unobserved: trainings that could be observed again, for nothing better tells of them; looked for only where
            that is asked for.
    """

    subject: str
    findings: list[Finding] = []
    checked: list[str] = []
    errors: list[str] = []
    skipped: str = ""
    grade: str = ""
    facts: dict[str, str] = {}
    unobserved: list[NamedTraining] = []


#: What is known of trainers as they are now, by ``NamedTraining.apart_from_fold``.
Today = Mapping[tuple[str, str, str, str], Reobserved]


def audit_folder(
    folder: Path | str,
    checkpoint_name: str = CHECKPOINT_NAME,
    use_mirroring: bool = True,
    today: Today | None = None,
) -> list[Audited]:
    """Audits one model folder, or every model in an exported zip. ``fold_all`` is an ensemble of its own, as nnU-Net
    would use it.

    Args:
        folder: or the zip, a path or URL.
        checkpoint_name: in each fold's folder.
        use_mirroring: ``False`` is ``--disable_tta``.
        today: what the trainers of models without better evidence show now; ``None`` where nobody asked for that.

    Raises:
        Nothing about the model: it is in the answer.
    """
    if is_exported(folder):
        return _audit_exported(folder, checkpoint_name, use_mirroring, today)
    folder = Path(folder)
    try:
        folds = detect_folds(folder, checkpoint_name)
    except OSError as error:
        return [Audited(subject=str(folder), errors=[f"{folder}: {error.strerror}"])]
    ensembles: list[list[int | str]] = [folds] if folds else []
    if (folder / "fold_all" / checkpoint_name).exists():
        ensembles.append(["all"])
    if not ensembles:
        return [Audited(subject=str(folder), skipped=f"no fold_X with a {checkpoint_name}")]
    return [_audit(folder, ensemble, checkpoint_name, use_mirroring, today) for ensemble in ensembles]


def _audit(
    folder: Path, folds: list[int | str], checkpoint_name: str, use_mirroring: bool, today: Today | None
) -> Audited:
    try:
        model = open_model(folder, folds, checkpoint_name)
    except CheckpointError as error:
        return Audited(subject=str(folder / "fold_all") if folds == ["all"] else str(folder), errors=[str(error)])
    return _judged(model, folds == ["all"], use_mirroring, today)


def _audit_exported(
    archive: Path | str, checkpoint_name: str, use_mirroring: bool, today: Today | None
) -> list[Audited]:
    """A zip without a model in it is no subject at all."""
    try:
        layout = exported_layout(archive)
    except CheckpointError as error:
        return [Audited(subject=str(archive), errors=[str(error)])] if may_hold_models(archive) else []
    audited = []
    for folder, there in sorted(layout.items()):
        ensembles = [ensemble for ensemble in (folds_inside(there, checkpoint_name),) if ensemble]
        if checkpoint_name in there.get("all", []):
            ensembles.append(["all"])
        if not ensembles:
            subject = f"{archive}!{folder}"
            audited.append(Audited(subject=subject, skipped=f"no fold_X with a {checkpoint_name}"))
        for ensemble in ensembles:
            model = open_exported_model(archive, folder, ensemble, checkpoint_name)
            audited.append(_judged(model, ensemble == ["all"], use_mirroring, today))
    return audited


def _judged(model: Model, is_fold_all: bool, use_mirroring: bool, today: Today | None) -> Audited:
    unobserved: list[NamedTraining] = []
    if today is not None:
        folds = tuple(_with_today(fold, today, unobserved) for fold in model.folds)
        model = msgspec.structs.replace(model, folds=folds)
    readable = [fold for fold in model.folds if fold.checkpoint is not None]
    findings = judge(model, use_mirroring)
    return Audited(
        subject=f"{model.subject}/fold_all" if is_fold_all else model.subject,
        findings=findings,
        checked=[fold.subject for fold in readable],
        errors=model.errors,
        grade=min((_grade(fold, findings) for fold in readable), key=GRADES.index, default=""),
        facts=_facts(model, readable),
        unobserved=unobserved,
    )


def _with_today(fold: Fold, today: Today, unobserved: list[NamedTraining]) -> Fold:
    """The fold with what its trainer shows now; what is not known of it yet goes into ``unobserved``."""
    if not is_wanted(fold):
        return fold
    training = training_named(fold)
    told = today.get(training.apart_from_fold) if training is not None else NAMELESS
    if training is not None and told is None:
        unobserved.append(training)
        return fold
    return msgspec.structs.replace(fold, today=told)


def _grade(fold: Fold, findings: list[Finding]) -> str:
    """What the verdict on one fold rests on."""
    better = fold.record is not None and fold.record.mirroring.state in ("observed", "measured")
    if not better and fold.record_error is None and has_fliptest(fold) and measured_beside(fold)[0] is not None:
        return "fliptest"
    if fold.record is not None:
        state = fold.record.mirroring.state
        whole = "record (nnguard.json)" if fold.copied else "record"
        return whole if state == "observed" else f"record ({state})"
    told = [finding.evidence.get("grade") for finding in findings if finding.subject == fold.subject]
    return next((grade for grade in told if grade in GRADES), "nothing")


def _facts(model: Model, readable: list[Fold]) -> dict[str, str]:
    facts = {"folds": " ".join(str(fold.fold) for fold in model.folds)}
    if readable:
        checkpoint = readable[0].checkpoint
        assert checkpoint is not None
        facts["trainer"] = checkpoint.trainer_name or "not known"
        facts["configuration"] = configuration_of(readable[0]) or "not known"
        facts["axes"] = written(checkpoint.declared_axes)
    return facts
