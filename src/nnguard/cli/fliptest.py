"""``nnguard fliptest``: which flips a trained model understands, measured by running it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from ..axes import ARRAY_AXES, name_axis, normalise, problem_with, written
from ..errors import CheckpointError, NNGuardError
from ..models.axes_repair import replace_text
from ..models.folder import FLIPTEST_FILE, Model, open_model
from ..report.escape import escaped
from ..rules.measurement import why_open
from ..rules.remedies import quote
from .exit_status import CLEAN, FOUND
from .output import FoldsCommand, checkpoint_option, folds_option, format_option, print_json
from .paths import FILE_TO_WRITE, LOCAL_PATH
from .stdout import prints_to_stderr


@click.command(name="fliptest", cls=FoldsCommand)
@click.argument("folder", metavar="MODEL_FOLDER", type=LOCAL_PATH)
@click.option(
    "-i",
    "images",
    type=LOCAL_PATH,
    required=True,
    help="A folder of images, named as nnU-Net wants them: NAME_0000.ENDING.",
)
@click.option(
    "-l", "labels", type=LOCAL_PATH, help="A folder with their reference labels: NAME.ENDING. Without: agreement alone."
)
@folds_option
@click.option("-n", "number", type=click.IntRange(min=1), default=8, show_default=True, help="How many cases.")
@checkpoint_option
@click.option("-device", "device", type=click.Choice(["cuda", "cpu", "mps"]), default="cuda", show_default=True)
@click.option("-o", "target", type=FILE_TO_WRITE, help=f"Write the JSON here too; in a folder as {FLIPTEST_FILE}.")
@click.option("--picture", type=FILE_TO_WRITE, help="Write a PNG here: one case with every answer.")
@format_option()
def command(
    folder: str,
    images: str,
    labels: str | None,
    folds: tuple[str, ...],
    number: int,
    checkpoint_name: str,
    device: str,
    target: str | None,
    picture: str | None,
    output_format: str,
) -> int:
    """Run MODEL_FOLDER on a few images, plain and under each flip, and say which flips it understands.

    Each flip mirrors the input and turns the answer back, patch by patch, as nnU-Net's test-time mirroring does. A
    verdict takes five cases; a harmful one takes labels. With -o MODEL_FOLDER what was measured stays in the model
    folder, as evidence for check; repair takes it by --from-fliptest.

    Exit status: 0 nothing in use was found to harm, 1 the mirroring that the checkpoint declares contains a flip that
    harms, 2 it could not be measured. Unsettled is 0, and no pass.
    """
    model = open_model(folder, folds or None, checkpoint_name)
    if model.errors:
        raise CheckpointError("; ".join(model.errors))
    evidence_file = Path(target) / FLIPTEST_FILE if target and Path(target).is_dir() else Path(target or "")
    if picture is not None:
        from ..report.contact_sheet import require_matplotlib

        require_matplotlib()
    with prints_to_stderr(), unguarded():
        document, shown = measure(model, Path(images), Path(labels) if labels else None, number, device)
        if picture is not None and shown is not None:
            _draw(Path(picture), document, shown)
    if not document["cases"]:
        raise NNGuardError("; ".join(document["skipped"]))
    if target is not None:
        from ..report.json import json_text

        replace_text(evidence_file, json_text(document) + "\n")
    if output_format == "json":
        print_json(document)
    else:
        click.echo("\n".join(as_text(document, folder, str(evidence_file) if target is not None else None)))
    return FOUND if finds_harm(document) else CLEAN


@contextlib.contextmanager
def unguarded() -> Iterator[None]:
    """The guard would judge this predictor, which is there to find out what the guard does not know."""
    from .. import arming

    policy = arming.policy() if arming.armed() else None
    arming.uninstall()
    try:
        yield
    finally:
        if policy is not None:
            arming.install(str(policy))


def measure(model: Model, images: Path, labels: Path | None, number: int, device: str) -> tuple[dict[str, Any], Any]:
    """Runs the cases; the document of ``docs/output.schema.json``, and the first case's answers."""
    from ..effect.views import FlipTrial, cases_in
    from ..foreign_calls import Failed
    from ..models.fliptest_document import document_of

    cases = cases_in(images, labels, str((model.dataset or {}).get("file_ending", ".nii.gz")), number)
    _demand(device)
    trial = FlipTrial(model.folder, [fold.fold for fold in model.folds], model.folds[0].path.name, device)
    declared = trial.declared_axes
    used = None if problem_with(declared, trial.dims) else normalise(declared)
    skipped = [f"{case.name}: has no labels in {labels}" for case in cases if labels is not None and not case.labels]
    shown, scores = None, []
    for place, case in enumerate(cases, 1):
        click.echo(f"case {place} of {len(cases)}: {case.name}", err=True)
        outcome = trial.tried(case, used)
        if isinstance(outcome, Failed):
            click.echo(f"skipped: {escaped(outcome)}", err=True)
            skipped.append(outcome)
            continue
        shown = shown or outcome[0]
        scores.append(outcome[1])
    return document_of(model, trial.dims, declared, used, scores, skipped), shown


def _demand(device: str) -> None:
    import torch

    here = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not here[device]:
        raise NNGuardError(f"there is no {device} device here; try -device cpu")


def finds_harm(document: dict[str, Any]) -> bool:
    """Whether a flip that the declared axes make the predictor use is harmful, or all of them together are."""
    used = set(document["tta"]["axes"] or ())
    harmful = [set(flip["axes"]) for flip in document["flips"] if flip["verdict"] == "harmful"]
    return document["tta"]["verdict"] == "harmful" or any(flip <= used for flip in harmful)


# ---------------------------------------------------------------- text


def as_text(document: dict[str, Any], folder: str, evidence_file: str | None) -> Iterator[str]:
    """For people, line by line. Whatever comes from a file is escaped."""
    cases, dims = document["cases"], document["spatial_dims"]
    with_labels = document["plain"]["dice"] is not None
    yield f"{escaped(document['model']['folder'])}, {cases} case{'' if cases == 1 else 's'}"
    yield ""
    lost = "Dice it loses" if with_labels else ""
    yield f"{'flip':<11}{'agrees with the plain answer':<31}{lost:<27}verdict"
    for flip in document["flips"]:
        agreed = _with_interval(flip, "agreement")
        lost = _with_interval(flip, "loss") if with_labels else ""
        yield f"{_set(flip['axes']):<11}{agreed:<31}{lost:<27}{flip['verdict']}{_worst(flip)}"
    yield ""
    yield from (name_axis(axis, dims, document["transpose_forward"]) for axis in range(dims))
    yield ""
    yield from _tta_lines(document)
    yield from _safe_lines(document)
    yield from (f"not counted: {escaped(line)}" for line in document["skipped"])
    yield from _what_to_do(document, folder, evidence_file)


def _worst(flip: dict[str, Any]) -> str:
    """Names the label where a flip harms one more than all."""
    worst = flip["worst"]
    if flip["verdict"] == "safe" or worst is None or worst["loss"] <= max(2 * flip["loss"], 0.05):
        return ""
    return f" (label {escaped(worst['name'] or worst['label'])} loses {worst['loss']:.2f})"


def _tta_lines(document: dict[str, Any]) -> Iterator[str]:
    plain, tta = document["plain"]["dice"], document["tta"]
    declared = escaped(tta["declared"])
    if tta["axes"] is None:
        plainly = f"; Dice {plain:.3f}" if plain is not None else ""
        yield f"the checkpoint declares {declared}: predicting does not mirror as it stands{plainly}"
        return
    if plain is None:
        yield f"the checkpoint declares {declared}; give labels (-l) to see what that costs or gains"
        return
    yield (
        f"test-time mirroring as declared, {declared}: Dice {tta['dice']:.3f} against "
        f"{plain:.3f} plain; it {gain_words(tta['gain'], tta['gain_low'], tta['gain_high'])}"
    )


def gain_words(gain: float, low: float | None, high: float | None) -> str:
    """``costs 0.540 Dice (95 %: 0.500 to 0.580)``: the interval counts what the word counts, cost or gain."""
    if round(gain, 3) == 0:
        what, sign = "changes Dice by less than 0.001", 1
    else:
        what, sign = (f"costs {-gain:.3f} Dice", -1) if gain < 0 else (f"gains {gain:.3f} Dice", 1)
    if low is None or high is None:
        return what
    least, most = sorted((round(sign * low, 3) + 0.0, round(sign * high, 3) + 0.0))  # -0.0 is no figure for people
    if least < 0 < most:
        return f"{what} (95 %: from a cost of {-low:.3f} to a gain of {high:.3f})"
    return f"{what} (95 %: {least:.3f} to {most:.3f})"


def _safe_lines(document: dict[str, Any]) -> Iterator[str]:
    safe = document["safe_axes"]
    yield "safe axes: unknown" if safe is None else f"safe axes: {written(tuple(safe) or None)}"
    if any(one["verdict"] == "unsettled" for one in document["flips"]):
        yield f"unsettled: {why_open(document['cases'], document['plain']['dice'] is not None)}"


def _what_to_do(document: dict[str, Any], folder: str, evidence_file: str | None) -> Iterator[str]:
    if not finds_harm(document):
        return
    yield ""
    yield "Predict with --disable_tta until it is repaired:"
    if evidence_file is None:
        yield f"    nnguard fliptest {quote(folder)} ... -o {quote(folder)}"
        evidence_file = str(Path(folder) / FLIPTEST_FILE)
    yield f"    nnguard repair {quote(folder)} --from-fliptest {quote(evidence_file)}"


def _with_interval(flip: dict[str, Any], name: str) -> str:
    value, low, high = flip[name], flip[f"{name}_low"], flip[f"{name}_high"]
    if value is None:
        return "no answer" if name == "agreement" else "not known"
    return f"{value:.3f}" if low is None or high is None else f"{value:.3f} ({low:.3f} to {high:.3f})"


def _set(axes: Sequence[int]) -> str:
    return "{" + ", ".join(map(str, axes)) + "}"


def _draw(target: Path, document: dict[str, Any], shown: Any) -> None:
    """The plain answer to one case, the reference if there is one, and every flip's answer, turned back."""
    import numpy as np

    from ..report.contact_sheet import Shown, write_contact_sheet

    flat = shown.image.shape[0] == 1
    answers = {"plain": shown.plain} | ({} if shown.reference is None else {"reference": shown.reference})
    for flip in document["flips"]:
        answers[f"flip {_set(flip['axes'])}: {flip['verdict']}"] = shown.flipped[tuple(flip["axes"])]
    if document["tta"]["axes"]:
        answers[f"mirroring {document['tta']['declared']}"] = shown.tta
    pictures = [
        Shown(title=title, image=shown.image[0] if flat else shown.image, labels=labels[0] if flat else labels)
        for title, labels in answers.items()
    ]
    heading = f"{document['model']['folder']}, {shown.name}: every answer, flips turned back"
    there = {int(label) for labels in answers.values() for label in np.unique(labels) if label > 0}
    names = {label: document["label_names"].get(str(label), f"label {label}") for label in sorted(there)}
    write_contact_sheet(target, heading, pictures, ARRAY_AXES[1:] if flat else ARRAY_AXES, names)
