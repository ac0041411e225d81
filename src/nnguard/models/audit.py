"""One model of many: judged like any other, but what is wrong with it is an answer and never stops the rest."""

from __future__ import annotations

from pathlib import Path

from ..axes import written
from ..errors import CheckpointError
from ..findings import Finding, worst_first
from ..fold import Fold, configuration_of
from ..nnunet import CHECKPOINT_NAME, FOLD_ALL, FOLD_FOLDER
from ..report.audit_rows import ModelReport
from .fliptest_evidence import measured_beside
from .fold_check import has_fliptest, judge_alone
from .folder import Model, detect_folds, fold_number, open_fold, open_model
from .model_check import judge
from .model_zip import exported_layout, folds_inside, is_exported, may_hold_models, open_exported_model

#: Weakest first; a model's grade is that of its worst known fold.
GRADES = (
    "nothing",
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


def audit_folder(
    path: Path | str, checkpoint_name: str = CHECKPOINT_NAME, use_mirroring: bool = True
) -> list[ModelReport]:
    """Audits one model folder, one fold of it, every model in an exported zip, or a checkpoint by itself.

    ``fold_all`` is an ensemble of its own, as nnU-Net would use it.

    Args:
        path: of any of these; of a zip also a URL.
        checkpoint_name: in each fold's folder.
        use_mirroring: ``False`` is ``--disable_tta``.

    Raises:
        Nothing about the model: it is in the answer.
    """
    if is_exported(path):
        return _audit_exported(path, checkpoint_name, use_mirroring)
    path = Path(path)
    if path.is_file():
        return [_audit_alone(open_fold(path), use_mirroring)]
    fold = FOLD_FOLDER.fullmatch(path.absolute().name)
    if fold is not None:
        return [_audit(path.absolute().parent, [fold_number(fold.group(1))], checkpoint_name, use_mirroring)]
    try:
        folds = detect_folds(path, checkpoint_name)
    except OSError as error:
        return [ModelReport(subject=str(path), errors=[f"{path}: {error.strerror}"])]
    ensembles = _ensembles(folds, (path / FOLD_ALL / checkpoint_name).exists())
    if not ensembles:
        return [_without_folds(str(path), checkpoint_name)]
    return [_audit(path, ensemble, checkpoint_name, use_mirroring) for ensemble in ensembles]


def _ensembles(numbered: list[int | str], has_fold_all: bool) -> list[list[int | str]]:
    of_all: list[int | str] = ["all"]
    return [*([numbered] if numbered else []), *([of_all] if has_fold_all else [])]


def _without_folds(subject: str, checkpoint_name: str) -> ModelReport:
    return ModelReport(subject=subject, skipped=f"no fold_X with a {checkpoint_name}")


def _audit(folder: Path, folds: list[int | str], checkpoint_name: str, use_mirroring: bool) -> ModelReport:
    try:
        model = open_model(folder, folds, checkpoint_name)
    except CheckpointError as error:
        return ModelReport(subject=str(folder / FOLD_ALL) if folds == ["all"] else str(folder), errors=[str(error)])
    return _judged(model, folds == ["all"], use_mirroring)


def _audit_exported(archive: Path | str, checkpoint_name: str, use_mirroring: bool) -> list[ModelReport]:
    """A zip without a model in it is no subject at all."""
    try:
        layout = exported_layout(archive)
    except CheckpointError as error:
        return [ModelReport(subject=str(archive), errors=[str(error)])] if may_hold_models(archive) else []
    reports = []
    for folder, there in sorted(layout.items()):
        ensembles = _ensembles(folds_inside(there, checkpoint_name), checkpoint_name in there.get("all", []))
        if not ensembles:
            reports.append(_without_folds(f"{archive}!{folder}", checkpoint_name))
        for ensemble in ensembles:
            model = open_exported_model(archive, folder, ensemble, checkpoint_name)
            reports.append(_judged(model, ensemble == ["all"], use_mirroring))
    return reports


def _judged(model: Model, is_fold_all: bool, use_mirroring: bool) -> ModelReport:
    subject = f"{model.subject}/{FOLD_ALL}" if is_fold_all else model.subject
    return _report(subject, model.folds, judge(model, use_mirroring), model.errors)


def _audit_alone(fold: Fold, use_mirroring: bool) -> ModelReport:
    findings = judge_alone(fold, use_mirroring) if fold.checkpoint is not None else []
    return _report(fold.subject, (fold,), worst_first(findings), [fold.error] if fold.error else [])


def _report(subject: str, folds: tuple[Fold, ...], findings: list[Finding], errors: list[str]) -> ModelReport:
    readable = [fold for fold in folds if fold.checkpoint is not None]
    return ModelReport(
        subject=subject,
        findings=findings,
        checked=[fold.subject for fold in readable],
        errors=errors,
        grade=min((_grade(fold, findings) for fold in readable), key=GRADES.index, default=""),
        facts=_facts(folds, readable),
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


def _facts(folds: tuple[Fold, ...], readable: list[Fold]) -> dict[str, str]:
    facts = {"folds": " ".join(str(fold.fold) for fold in folds)}
    if readable:
        checkpoint = readable[0].checkpoint
        assert checkpoint is not None
        facts["trainer"] = checkpoint.trainer_name or "not known"
        facts["configuration"] = configuration_of(readable[0]) or "not known"
        facts["axes"] = written(checkpoint.declared_axes)
    return facts
