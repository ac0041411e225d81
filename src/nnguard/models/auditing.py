"""One model of many: judged like any other, but what is wrong with it is an answer and never stops the rest."""

from __future__ import annotations

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

#: Weakest first; a model's grade is that of its worst known fold.
GRADES = (
    "nothing",
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
    """

    subject: str
    findings: list[Finding] = []
    checked: list[str] = []
    errors: list[str] = []
    skipped: str = ""
    grade: str = ""
    facts: dict[str, str] = {}


def audit_folder(
    folder: Path | str,
    checkpoint_name: str = CHECKPOINT_NAME,
    use_mirroring: bool = True,
) -> list[Audited]:
    """Audits one model folder, or every model in an exported zip. ``fold_all`` is an ensemble of its own, as nnU-Net
    would use it.

    Args:
        folder: or the zip, a path or URL.
        checkpoint_name: in each fold's folder.
        use_mirroring: ``False`` is ``--disable_tta``.

    Raises:
        Nothing about the model: it is in the answer.
    """
    if is_exported(folder):
        return _audit_exported(folder, checkpoint_name, use_mirroring)
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
    return [_audit(folder, ensemble, checkpoint_name, use_mirroring) for ensemble in ensembles]


def _audit(folder: Path, folds: list[int | str], checkpoint_name: str, use_mirroring: bool) -> Audited:
    try:
        model = open_model(folder, folds, checkpoint_name)
    except CheckpointError as error:
        return Audited(subject=str(folder / "fold_all") if folds == ["all"] else str(folder), errors=[str(error)])
    return _judged(model, folds == ["all"], use_mirroring)


def _audit_exported(archive: Path | str, checkpoint_name: str, use_mirroring: bool) -> list[Audited]:
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
            audited.append(_judged(model, ensemble == ["all"], use_mirroring))
    return audited


def _judged(model: Model, is_fold_all: bool, use_mirroring: bool) -> Audited:
    readable = [fold for fold in model.folds if fold.checkpoint is not None]
    findings = judge(model, use_mirroring)
    return Audited(
        subject=f"{model.subject}/fold_all" if is_fold_all else model.subject,
        findings=findings,
        checked=[fold.subject for fold in readable],
        errors=model.errors,
        grade=min((_grade(fold, findings) for fold in readable), key=GRADES.index, default=""),
        facts=_facts(model, readable),
    )


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
