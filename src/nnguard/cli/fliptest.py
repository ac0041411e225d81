"""``nnguard fliptest``: which flips a trained model understands, measured by running it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from ..axes import normalise, problem_with, written
from ..errors import CheckpointError, NNGuardError
from ..models.folder import CHECKPOINT_NAME, Model, open_model
from ..models.predicting import configuration_of, transpose_forward_of
from ..models.repairing import now, replace_text
from ..models.weights import weights_fingerprint
from ..report.escape import escaped
from . import CLEAN, FOUND
from .output import FoldsCommand, folds_option, format_option, print_json
from .streams import prints_to_stderr


@click.command(name="fliptest", cls=FoldsCommand)
@click.argument("folder", metavar="MODEL_FOLDER")
@click.option("-i", "images", required=True, help="A folder of images, named as nnU-Net wants them: NAME_0000.ENDING.")
@click.option("-l", "labels", help="A folder with their reference labels: NAME.ENDING. Without: agreement alone.")
@folds_option
@click.option("-n", "number", type=click.IntRange(min=1), default=4, show_default=True, help="How many cases.")
@click.option("-chk", "checkpoint_name", default=CHECKPOINT_NAME, show_default=True, help="The checkpoint's name.")
@click.option("-device", "device", type=click.Choice(["cuda", "cpu", "mps"]), default="cuda", show_default=True)
@click.option("-o", "evidence_file", help="Write the JSON here too.")
@click.option("--picture", help="Write a PNG here: a bar a flip, and one case with every answer.")
@format_option()
def command(
    folder: str,
    images: str,
    labels: str | None,
    folds: tuple[str, ...],
    number: int,
    checkpoint_name: str,
    device: str,
    evidence_file: str | None,
    picture: str | None,
    output_format: str,
) -> int:
    """Run MODEL_FOLDER on a few images, plain and under each flip, and say which flips it understands.

    Each flip mirrors the input and turns the answer back, patch by patch, as nnU-Net's test-time mirroring does.
    Exit status 1: the mirroring that the checkpoint declares contains a flip that harms.
    """
    model = open_model(folder, folds or None, checkpoint_name)
    if model.errors:
        raise CheckpointError("; ".join(model.errors))
    for target in (evidence_file, picture):
        if target is not None and not Path(target).absolute().parent.is_dir():
            raise NNGuardError(f"{target}: cannot be written, for its folder does not exist")
    with prints_to_stderr(), unguarded():
        document, shown = measure(model, Path(images), Path(labels) if labels else None, number, device)
        if picture is not None and shown is not None:
            _draw(Path(picture), document, shown)
    if not document["cases"]:
        raise NNGuardError("; ".join(document["skipped"]))
    if evidence_file is not None:
        from ..report.json import json_text

        replace_text(Path(evidence_file), json_text(document) + "\n")
    if output_format == "json":
        print_json(document)
    else:
        click.echo(_as_text(document))
    return FOUND if harmful_when_used(document) else CLEAN


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
    from ..evidence.flipped import FlipTrial, cases_in, run_cases

    _demand(device)
    cases = cases_in(images, labels, str((model.dataset or {}).get("file_ending", ".nii.gz")), number)
    checkpoint_name = model.folds[0].path.name
    trial = FlipTrial(model.folder, [fold.fold for fold in model.folds], checkpoint_name, device)
    declared = trial.declared_axes
    used = None if problem_with(declared, trial.dims) else normalise(declared)
    shown, scores, skipped = None, [], []
    for outcome in run_cases(trial, cases, used, lambda line: click.echo(line, err=True)):
        if isinstance(outcome, str):
            click.echo(f"skipped: {escaped(outcome)}", err=True)
            skipped.append(outcome)
            continue
        shown = shown or outcome[0]
        scores.append(outcome[1])
    return _document(model, trial.dims, declared, used, scores, skipped), shown


def _demand(device: str) -> None:
    import torch

    here = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not here[device]:
        raise NNGuardError(f"there is no {device} device here; try -device cpu")


def _document(
    model: Model, dims: int, declared: Any, used: Any, scores: Sequence[Any], skipped: list[str]
) -> dict[str, Any]:
    from ..evidence.agreement import by_label, estimate, gain_of_tta, judge_flip, loss_of, mean_of, safe_axes_by
    from ..flips import flips_of

    judgements = {flip: judge_flip(flip, scores) for flip in flips_of(range(dims))}
    agreement = {flip: estimate([mean_of(case.agreement[flip]) for case in scores]) for flip in judgements}
    flips = []
    for flip, verdict in judgements.items():
        agreed, loss = agreement[flip], loss_of(flip, scores)
        dice = estimate([mean_of(case.flipped.get(flip, {})) for case in scores])
        flips.append(
            {
                "axes": list(flip),
                "verdict": verdict,
                "agreement": agreed.mean,
                "agreement_low": agreed.low,
                "agreement_high": agreed.high,
                "dice": dice.mean,
                "dice_low": dice.low,
                "dice_high": dice.high,
                "loss": loss.mean,
                "labels": by_label([case.flipped.get(flip, {}) for case in scores]),
            }
        )
    told = any(verdict != "unsettled" for verdict in judgements.values())
    plain = estimate([mean_of(case.plain) for case in scores])
    tta, gain = estimate([mean_of(case.tta) for case in scores]), gain_of_tta(scores)
    safe = list(safe_axes_by(judgements, dims, {flip: one.mean for flip, one in agreement.items()})) if told else None
    return {
        "schema_version": 1,
        "written_at": now(),
        "model": _identity(model),
        "cases": len(scores),
        "case_names": [case.name for case in scores],
        "spatial_dims": dims,
        "transpose_forward": transpose_forward_of(model, model.folds[0]),
        "flips": flips,
        "plain": {"dice": plain.mean, "dice_low": plain.low, "dice_high": plain.high,
                  "labels": by_label([case.plain for case in scores])},
        "tta": {"axes": list(used) or None if used is not None else None, "declared": written(declared),
                "dice": None if used is None else tta.mean, "gain": None if used is None else gain.mean,
                "gain_low": gain.low, "gain_high": gain.high, "labels": by_label([case.tta for case in scores])},
        "safe_axes": safe,
        "skipped": skipped,
    }  # fmt: skip


def _identity(model: Model) -> dict[str, Any]:
    first = model.folds[0].checkpoint
    return {
        "folder": model.folder.name,
        "trainer": first.trainer_name if first else None,
        "configuration": configuration_of(model.folds[0]),
        "folds": [
            {
                "fold": fold.fold,
                "checkpoint": fold.path.name,
                "epoch": fold.checkpoint.epoch if fold.checkpoint else None,
                "weights": weights_fingerprint(fold.path),
            }
            for fold in model.folds
        ],
    }


def harmful_when_used(document: dict[str, Any]) -> list[list[int]]:
    """The harmful flips among those that the declared axes make the predictor use."""
    used = set(document["tta"]["axes"] or ())
    return [flip["axes"] for flip in document["flips"] if flip["verdict"] == "harmful" and set(flip["axes"]) <= used]


def _as_text(document: dict[str, Any]) -> str:
    from ..axes import name_axis

    cases = document["cases"]
    dims, forward = document["spatial_dims"], document["transpose_forward"]
    lines = [f"{escaped(document['model']['folder'])}, {cases} case{'' if cases == 1 else 's'}"]
    if cases == 1:
        lines.append("one case has no interval: test more before relying on it")
    with_labels = document["plain"]["dice"] is not None
    lines += ["", f"{'flip':<10}{'agrees with the plain answer':<32}{'Dice' if with_labels else '':<24}verdict"]
    for flip in document["flips"]:
        agreed = _with_interval(flip["agreement"], flip["agreement_low"], flip["agreement_high"])
        dice = _with_interval(flip["dice"], flip["dice_low"], flip["dice_high"]) if with_labels else ""
        lines.append(f"{_set(flip['axes']):<10}{agreed:<32}{dice:<24}{flip['verdict']}")
    lines += ["", *(name_axis(axis, dims, forward) for axis in range(dims)), "", *_tta_lines(document)]
    safe = document["safe_axes"]
    lines.append(
        "safe axes: unknown, for no case told anything"
        if safe is None
        else f"safe axes: {written(tuple(safe) or None)}"
    )
    lines += [f"skipped: {escaped(line)}" for line in document["skipped"]]
    if harmful_when_used(document):
        axes = ",".join(map(str, safe or ())) or "none"
        lines += [
            "",
            "Predict with --disable_tta until it is repaired: nnguard repair MODEL_FOLDER",
            "A checkpoint without a record is told first what was measured here:",
            f"    nnguard annotate CHECKPOINT --mirror-axes {axes} --reason 'nnguard fliptest, {cases} cases'",
        ]
    return "\n".join(lines)


def _tta_lines(document: dict[str, Any]) -> list[str]:
    plain, tta = document["plain"]["dice"], document["tta"]
    if tta["axes"] is None:
        return [f"the checkpoint declares {escaped(tta['declared'])}: predicting does not mirror as it stands"]
    if plain is None:
        return [f"the checkpoint declares {escaped(tta['declared'])}; give labels (-l) to see what that costs or gains"]
    gain = tta["gain"]
    what = f"costs {-gain:.3f}" if gain < -0.0005 else f"gains {gain:.3f}" if gain > 0.0005 else "changes nothing in"
    interval = f" (95 %: {tta['gain_low']:+.3f} to {tta['gain_high']:+.3f})" if tta["gain_low"] is not None else ""
    return [
        f"test-time mirroring as declared, {escaped(tta['declared'])}: Dice {tta['dice']:.3f} against "
        f"{plain:.3f} plain; it {what} Dice{interval}"
    ]


def _with_interval(value: float | None, low: float | None, high: float | None) -> str:
    if value is None:
        return "no answer"
    return f"{value:.3f}" if low is None or high is None else f"{value:.3f} ({low:.3f} to {high:.3f})"


def _set(axes: Sequence[int]) -> str:
    return "{" + ", ".join(map(str, axes)) + "}"


def _draw(target: Path, document: dict[str, Any], shown: Any) -> None:
    from ..pictures.flip_bars import Bar, Panel, write_flip_picture

    measure, base = ("dice", document["plain"]["dice"])
    if base is None:
        measure = "agreement"
    bars = [
        Bar(
            name=f"flip {_set(flip['axes'])}",
            value=flip[measure],
            low=flip[f"{measure}_low"],
            high=flip[f"{measure}_high"],
            verdict=flip["verdict"],
        )
        for flip in document["flips"]
    ]
    panels = [Panel(title="reference", labels=shown.reference)] if shown.reference is not None else []
    panels += [Panel(title="plain", labels=shown.plain)]
    panels += [Panel(title=f"flip {_set(flip)}, turned back", labels=seen) for flip, seen in shown.flipped.items()]
    if document["tta"]["axes"]:
        panels.append(Panel(title=f"TTA {written(tuple(document['tta']['axes']))}", labels=shown.tta))
    called = {"dice": "Dice with the reference", "agreement": "Dice with the plain answer"}[measure]
    heading = f"{document['model']['folder']}: {document['cases']} cases; below, {shown.name}"
    write_flip_picture(target, heading, called, bars, shown.image, panels, base)
