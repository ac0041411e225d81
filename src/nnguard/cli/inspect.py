"""``nnguard inspect``: everything known about a checkpoint, a model folder, an exported zip or a record."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import msgspec

from ..axes import name_axis, problem_with, written
from ..errors import CheckpointError
from ..findings import Finding, worst_first
from ..models.belonging import weights_belong
from ..models.folder import (
    FOLD_FOLDER,
    Fold,
    open_exported,
    open_fold,
    open_model,
    read_fold,
    read_record_file,
)
from ..models.predicting import (
    configuration_of,
    fold_of,
    has_fliptest,
    judge_alone,
    spatial_dims_of,
    transpose_forward_of,
)
from ..record import FILE_NAME, Record
from ..report.escape import escaped
from ..report.text import axes_words, flip_line, pipeline_lines, safe_words, validation_words, wrapped
from ..rules.subjects import Measurement
from ..rules.verdicts import measurement_in
from ..rules.wording import GRADES, percent
from .output import (
    FoldsCommand,
    checkpoint_option,
    exit_status,
    fail_level_option,
    findings_for_people,
    folds_option,
    format_option,
    not_ignored,
    print_json,
    width_here,
)
from .paths import PATH_OR_URL

#: The pipeline's names for people; ``--format json`` has all of it.
PIPELINE_LINES = 6
#: As wide as "  test time     ".
LABELS = 16


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """What was inspected: some checkpoints (or one record), and the findings about them."""

    path: str
    kind: str
    folds: tuple[Fold, ...] = ()
    record: Record | None = None
    findings: list[Finding] = []
    errors: tuple[str, ...] = ()


@click.command(name="inspect", cls=FoldsCommand)
@click.argument("path", type=PATH_OR_URL)
@folds_option
@checkpoint_option
@format_option()
@fail_level_option
def command(path: str, folds: tuple[str, ...], checkpoint_name: str, output_format: str, fail_level: str) -> int:
    """Show everything known about PATH: a checkpoint, model folder, exported zip, nnguard.json or URL.

    Neither torch nor anything inside the file is run, and the weights are not read.
    """
    subject = look_at(path, folds or None, checkpoint_name)
    if subject.errors and not any(fold.checkpoint for fold in subject.folds):
        raise CheckpointError("; ".join(subject.errors))
    if output_format == "json":
        print_json(as_data(subject))
    else:
        click.echo("\n".join(as_text(subject)))
    for error in subject.errors:
        click.echo(f"nnguard: {escaped(error)}", err=True)
    return exit_status(subject.findings, fail_level, subject.errors)


def look_at(path: str, folds: tuple[str, ...] | None, checkpoint_name: str) -> Subject:
    """Finds out what ``path`` is, and reads it.

    Raises:
        CheckpointError: it is nothing that can be inspected.
    """
    local = Path(path)
    if "://" in path:
        remote = Path(path.partition("://")[2])
        if remote.suffix == ".zip" and (members := open_exported(path)):
            return _lone_checkpoints(path, "exported zip", tuple(members))
        return _lone_checkpoints(
            path, "checkpoint", (read_fold(path, remote, remote.parent.name.removeprefix("fold_")),)
        )
    if local.is_dir():
        return _folder(local, folds, checkpoint_name)
    if local.suffix == ".json" and local.is_file():
        return Subject(path=path, kind="record", record=read_record_file(local))
    if local.suffix == ".zip" and local.is_file() and (members := open_exported(local)):
        return _lone_checkpoints(path, "exported zip", tuple(members))
    return _lone_checkpoints(path, "checkpoint", (open_fold(local),))


def _folder(folder: Path, folds: tuple[str, ...] | None, checkpoint_name: str) -> Subject:
    if FOLD_FOLDER.fullmatch(folder.name) or any(folder.glob("checkpoint_*.pth")):
        found = tuple(open_fold(path) for path in sorted(folder.glob("*.pth")))
        if not found:
            raise CheckpointError(f"{folder}: no checkpoint in it")
        return _lone_checkpoints(str(folder), "fold folder", found)
    if not any(FOLD_FOLDER.fullmatch(entry.name) for entry in folder.iterdir()):
        raise CheckpointError(
            f"{folder}: no model folder (it has no fold_X); for a results tree: nnguard audit {folder}"
        )
    from ..models.checking import judge

    model = open_model(folder, folds, checkpoint_name)
    return Subject(
        path=str(folder),
        kind="model folder",
        folds=model.folds,
        findings=not_ignored(judge(model)),
        errors=tuple(model.errors),
    )


def _lone_checkpoints(path: str, kind: str, folds: tuple[Fold, ...]) -> Subject:
    findings = [finding for fold in folds if fold.checkpoint for finding in judge_alone(fold)]
    errors = tuple(fold.error for fold in folds if fold.error)
    return Subject(path=path, kind=kind, folds=folds, findings=not_ignored(worst_first(findings)), errors=errors)


# ---------------------------------------------------------------- JSON


def as_data(subject: Subject) -> dict[str, Any]:
    """The JSON of DESIGN 4.5; a folder's own values are its first readable fold's, as for nnU-Net."""
    readable = [fold for fold in subject.folds if fold.checkpoint]
    head = fold_data(readable[0]) if readable else _record_data(subject.record)
    data: dict[str, Any] = {"path": subject.path, "kind": subject.kind, **head}
    if subject.kind != "checkpoint" and subject.folds:
        data["checkpoints"] = [
            {"path": fold.subject, **(fold_data(fold) if fold.checkpoint else {"error": fold.error})}
            for fold in subject.folds
        ]
    data["findings"] = [finding.to_dict() for finding in subject.findings]
    data["errors"] = list(subject.errors)
    return data


def fold_data(fold: Fold) -> dict[str, Any]:
    checkpoint = fold.checkpoint
    assert checkpoint is not None
    return {
        "trainer": checkpoint.trainer_name,
        "configuration": configuration_of(fold),
        "fold": fold_of(fold),
        "epoch": checkpoint.epoch,
        "declared_axes": checkpoint.declared_axes,
        "record": msgspec.to_builtins(fold.record) if fold.record else None,
        "record_error": fold.record_error,
        "record_copied": fold.copied,
        "fliptest": msgspec.to_builtins(measurement_of(fold)),
        "size": checkpoint.size,
        "weights_fingerprint": checkpoint.weights_fingerprint,
        "weights_belong": weights_belong(fold),
        "lacks": list(fold.lacks),
    }


def _record_data(record: Record | None) -> dict[str, Any]:
    if record is None:
        return {}
    return {
        "trainer": record.trainer.class_,
        "configuration": record.configuration,
        "fold": record.fold,
        "epoch": None,
        "declared_axes": record.axes.effective,
        "record": msgspec.to_builtins(record),
    }


# ---------------------------------------------------------------- text


def as_text(subject: Subject) -> Iterator[str]:
    """For people. Whatever comes from a file is escaped."""
    yield f"{escaped(subject.path)}: {subject.kind}"
    for fold in subject.folds:
        yield ""
        yield from fitted(fold_lines(fold, named=len(subject.folds) > 1 or subject.kind != "checkpoint"))
    if subject.record is not None:
        yield ""
        yield from fitted(record_lines(subject.record))
    if subject.findings:
        yield ""
        yield findings_for_people(subject.findings)
    elif subject.folds and not subject.errors:
        yield ""
        yield "no findings"


def fitted(lines: Iterator[str]) -> Iterator[str]:
    """Rows that are too long for here go on below their own text; a path on a line of its own stays whole."""
    width = width_here()
    for line in lines:
        if len(line) <= width or not line.startswith("  "):
            yield line
        elif line[2] == " ":
            yield from wrapped(line.lstrip(), width, "    ", "      ")
        else:
            yield from wrapped(line[LABELS:], width, line[:LABELS], " " * LABELS)


def fold_lines(fold: Fold, named: bool) -> Iterator[str]:
    checkpoint = fold.checkpoint
    if named:
        yield escaped(fold.subject)
    if checkpoint is None:
        yield f"  unreadable    {escaped(fold.error)}"
        return
    configuration = _known(configuration_of(fold), "configuration ")
    yield f"  trainer       {_known(checkpoint.trainer_name)}, {configuration}, fold {_known(fold_of(fold))}"
    epochs = "epochs not known" if checkpoint.epoch is None else f"{checkpoint.epoch} epochs"
    size = f", {_size(checkpoint.size)}" if checkpoint.size is not None else ""
    yield f"  trained       {epochs}, best pseudo Dice (EMA) {_number(checkpoint.best_ema)}{size}"
    if fold.lacks:
        yield f"  lacks         {', '.join(fold.lacks)}: a part of a checkpoint, which nnU-Net cannot load"
    yield f"  test time     {axes_line(fold)}"
    if fold.record is not None:
        yield from record_lines(fold.record)
        if fold.copied:
            yield f"  kept in       {FILE_NAME} beside the checkpoint, which has lost it"
        belong = weights_belong(fold)
        words = {
            True: "as saved with this record",
            False: "CHANGED since they were saved with it",
            None: f"not known to be this record's: no fingerprint of theirs in a {FILE_NAME} beside them",
        }
        yield f"  weights       {words[belong]}"
    elif fold.record_error:
        yield f"  record        broken: {escaped(fold.record_error)}"
    else:
        weaker = fold.weaker()
        yield "  record        none" + (f"; {escaped(weaker.sentence)}" if weaker else "")
    measurement = measurement_of(fold)
    if measurement is not None:
        yield from measurement_lines(measurement)


def measurement_of(fold: Fold) -> Measurement | None:
    """What a fliptest of these weights showed: the model folder's own, or the one that the record keeps."""
    if has_fliptest(fold):
        from ..models.measured import measured_beside

        measured, _ = measured_beside(fold)
        if measured is not None:
            return measured.measurement
    return measurement_in(fold.record) if fold.record is not None else None


def measurement_lines(measurement: Measurement) -> Iterator[str]:
    number = measurement.cases
    cases = f"{number} case{'' if number == 1 else 's'}"
    plain = f"; plain Dice {measurement.plain_dice:.3f}" if measurement.plain_dice is not None else ""
    yield f"  measured      nnguard fliptest, {cases}, {escaped(measurement.written_at, 40)}{plain}"
    for flip in measurement.flips:
        dice = f"Dice {flip.dice:.3f}" if flip.dice is not None else ""
        agreed = f"agrees at {flip.agreement:.3f}" if flip.agreement is not None else "no answer"
        yield f"    flip {written(flip.axes):<12} {agreed:<18} {dice:<12} {escaped(flip.verdict, 20)}"
    yield f"    safe axes   {written(measurement.safe_axes or None)}"


def axes_line(fold: Fold) -> str:
    """The declared axes, named for people where they are well-formed."""
    assert fold.checkpoint is not None
    axes = fold.checkpoint.declared_axes
    dims, transpose = spatial_dims_of(None, fold), transpose_forward_of(None, fold)
    if not fold.checkpoint.has_declared_axes:
        return "declares no mirroring axes, so nnU-Net does not mirror"
    if axes is None:
        return "does not mirror (None)"
    if problem_with(axes, dims):
        return f"mirrors along {escaped(written(axes))}"
    names = ", ".join(name_axis(axis, dims, transpose) for axis in sorted(axes))
    return f"mirrors along {escaped(written(axes))}: {names}"


def record_lines(record: Record) -> Iterator[str]:
    mirroring = record.mirroring
    yield f"  record        {mirroring.state}: {GRADES[mirroring.state]}; written {escaped(record.written_at, 40)}"
    yield from (f"    because {escaped(reason, 200)}" for reason in mirroring.reasons)
    if mirroring.draws:
        yield f"  flips seen    in {mirroring.clean} clean of {mirroring.draws} draws"
    if mirroring.plain_rate is not None:
        yield f"    {'plain view':<34} {percent(mirroring.plain_rate):>5}"
    yield from (f"  {flip_line(flip, record)}" for flip in mirroring.flips)
    yield f"  safe axes     {safe_words(record)}"
    yield f"  axes          {axes_words(record)}"
    validation = record.measured_validation()
    if validation is not None:
        cases = f"{validation.cases} case{'' if validation.cases == 1 else 's'}"
        yield f"  validation    {cases} measured again: {validation_words(validation)}"
    for segment in record.segments if len(record.segments) > 1 else ():
        yield f"    from epoch {segment.epoch}: {segment.steps} steps, {segment.mirroring.state}"
    if record.transforms is not None:
        yield from (f"  {line}" for line in pipeline_lines(record.transforms, PIPELINE_LINES, width_here() - 2))
    versions = {name: value for name, value in msgspec.to_builtins(record.environment).items() if value}
    if versions:
        yield "  versions      " + ", ".join(f"{name} {escaped(value, 40)}" for name, value in versions.items())


def _known(value: object, what: str = "") -> str:
    return escaped(value) if value is not None else f"{what}not known"


def _size(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.1f} kB"


def _number(value: float | None) -> str:
    return "not known" if value is None else f"{value:.3f}"
