"""Everything known about one checkpoint, or about the record in an ``nnguard.json``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import msgspec

from ..axes import name_axis, problem_with, written
from ..checkpoint import Checkpoint
from ..errors import CheckpointError
from ..findings import worst_first
from ..fold import Fold, configuration_of, fold_of, spatial_dims_of, transpose_forward_of
from ..models.fold_check import judge_alone, measurement_of
from ..models.folder import open_fold, read_fold, read_record_file
from ..models.path_kind import RECORD, is_url
from ..models.provenance import weights_belong
from ..record import FILE_NAME, Record
from ..report.escape import escaped
from ..report.text import axes_words, pipeline_lines, safe_words, view_lines, wrapped
from ..rules.subjects import Measurement
from ..rules.words import GRADES
from .output import Answer, Asked, findings_for_people, not_ignored, print_json, width_here

#: The pipeline's names for people; ``--format json`` has all of it.
PIPELINE_LINES = 6
#: As wide as "  test time     ".
LABELS = 16


def show(path: str, kind: str, asked: Asked) -> Answer:
    """Prints everything known about a checkpoint or a record file. Nothing inside it is run, no weights are read.

    Raises:
        CheckpointError: it cannot be read.
    """
    if kind == RECORD:
        record = read_record_file(Path(path))
        data, lines, findings = record_data(record), record_lines(record), []
    else:
        fold = read_fold(path, Path(path.partition("://")[2])) if is_url(path) else open_fold(Path(path))
        if fold.checkpoint is None:
            raise CheckpointError(fold.error or f"{path}: cannot be read")
        data, lines = fold_data(fold, fold.checkpoint), fold_lines(fold, fold.checkpoint)
        findings = not_ignored(worst_first(judge_alone(fold, not asked.disable_tta)))
    if asked.output_format == "json":
        told = [finding.to_dict() for finding in findings]
        print_json({"path": path, "kind": kind, **data, "findings": told, "errors": []})
    else:
        nothing = "no findings" if kind != RECORD else "not checked: give the checkpoint or the model folder beside it"
        about = [findings_for_people(findings) if findings else nothing]
        click.echo("\n".join([f"{escaped(path)}: {kind}", "", *fitted(lines), *(f"\n{line}" for line in about)]))
    return Answer(findings, [])


# ---------------------------------------------------------------- JSON


def fold_data(fold: Fold, checkpoint: Checkpoint) -> dict[str, Any]:
    return {
        "trainer": checkpoint.trainer_name,
        "configuration": configuration_of(fold),
        "fold": fold_of(fold),
        "epoch": checkpoint.epoch,
        "declared_axes": checkpoint.declared_axes,
        "record": msgspec.to_builtins(fold.record),
        "record_error": fold.record_error,
        "record_copied": fold.copied,
        "fliptest": msgspec.to_builtins(measurement_of(fold)),
        "size": checkpoint.size,
        "weights_fingerprint": checkpoint.weights_fingerprint,
        "weights_belong": weights_belong(fold),
        "lacks": list(fold.lacks),
    }


def record_data(record: Record) -> dict[str, Any]:
    return {
        "trainer": record.trainer.class_,
        "configuration": record.configuration,
        "fold": record.fold,
        "epoch": None,
        "declared_axes": record.axes.effective,
        "record": msgspec.to_builtins(record),
    }


# ---------------------------------------------------------------- text


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


def fold_lines(fold: Fold, checkpoint: Checkpoint) -> Iterator[str]:
    """For people. Whatever comes from a file is escaped."""
    configuration = _known(configuration_of(fold), "configuration ")
    yield f"  trainer       {_known(checkpoint.trainer_name)}, {configuration}, fold {_known(fold_of(fold))}"
    epochs = "epochs not known" if checkpoint.epoch is None else f"{checkpoint.epoch} epochs"
    size = f", {_size(checkpoint.size)}" if checkpoint.size is not None else ""
    yield f"  trained       {epochs}, best pseudo Dice (EMA) {_number(checkpoint.best_ema)}{size}"
    if fold.lacks:
        yield f"  lacks         {', '.join(fold.lacks)}: a part of a checkpoint, which nnU-Net cannot load"
    yield f"  test time     {axes_line(fold, checkpoint)}"
    if fold.record is not None:
        yield from record_lines(fold.record)
        if fold.copied:
            yield f"  kept in       {FILE_NAME} beside the checkpoint, which has lost it"
        words = {
            True: "as saved with this record",
            False: "CHANGED since they were saved with it",
            None: f"not known to be this record's: no fingerprint of theirs in a {FILE_NAME} beside them",
        }
        yield f"  weights       {words[weights_belong(fold)]}"
    elif fold.record_error:
        yield f"  record        broken: {escaped(fold.record_error)}"
    else:
        from ..models.fold_files import weaker_evidence_of

        weaker = weaker_evidence_of(fold)
        yield "  record        none" + (f"; {escaped(weaker.sentence)}" if weaker else "")
    measurement = measurement_of(fold)
    if measurement is not None:
        yield from measurement_lines(measurement)


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


def axes_line(fold: Fold, checkpoint: Checkpoint) -> str:
    """The declared axes, named for people where they are well-formed."""
    axes = checkpoint.declared_axes
    dims, transpose = spatial_dims_of(fold), transpose_forward_of(fold)
    if not checkpoint.has_declared_axes:
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
    yield from (f"  {line}" for line in view_lines(record))
    yield f"  safe axes     {safe_words(record)}"
    yield f"  axes          {axes_words(record)}"
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
