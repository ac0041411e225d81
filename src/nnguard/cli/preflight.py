"""``nnguard preflight``: a training's augmentation observed and judged before it trains."""

from __future__ import annotations

import contextlib
import glob
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import NNGuardError
from ..findings import Finding
from ..record import Record
from ..settings import PREPROCESSED_VARIABLE, Settings
from . import output
from .exit_status import exit_status
from .paths import FILE_TO_WRITE
from .stdout import prints_to_stderr

if TYPE_CHECKING:
    from ..foreign_calls import Failed


@click.command(name="preflight")
@click.argument("dataset")
@click.argument("configuration")
@click.argument("fold", default="0")
@click.option("-tr", "trainer_name", default="nnUNetTrainer", show_default=True, help="Trainer class.")
@click.option("-p", "plans", default="nnUNetPlans", show_default=True, help="Plans identifier.")
@click.option(
    "-device",
    type=click.Choice(["cpu", "cuda", "mps"]),
    default="cpu",
    show_default=True,
    help="Where the network is built; augmentation runs on the CPU either way.",
)
@click.option(
    "--picture",
    type=FILE_TO_WRITE,
    metavar="FILE",
    help="Also draw one training patch as it is and sixteen times augmented, each with its flip and turn, as a PNG.",
)
@output.format_option()
@output.fail_level_option
def command(output_format: str, fail_level: str, picture: str | None, **training: str) -> int:
    """Build the training that nnUNetv2_train would run, observe its augmentation, and train nothing.

    A trainer outside nnU-Net is found through nnUNet_extTrainer=FOLDER. What only the first steps of training can
    settle is NNG108, advisory: --fail-level advisory makes it exit status 1.
    """
    drawn: list[Any] = []
    errors: list[str] = []
    with training_started(**training) as trainer:
        from ..hooks.trainer import findings_of, record_of, subject_of

        subject, record = subject_of(trainer), record_of(trainer)
        findings = output.not_ignored(findings_of(trainer) + _unsettled(trainer, record))
        if picture is not None:
            drawn, errors = _draw(trainer, picture)
    if output_format == "json":
        told = json.loads(record.to_json()) if record is not None else None
        more = {"picture": {"file": picture, "draws": drawn}} if drawn else {}
        output.print_findings(findings, [subject], [], errors, record=told, **more)
    else:
        _print_text(subject, record, findings, picture if drawn else None)
    for error in errors:
        output.tell(error)
    return exit_status(findings, fail_level, errors)


def _unsettled(trainer: object, record: Record | None) -> list[Finding]:
    """NNG108 for what only the first train steps can settle: none is run here, and unknown is no pass."""
    from ..hooks.trainer import live_training
    from ..rules.nng108_unverified import unverified_training

    training = live_training(trainer).training
    if record is None or record.mirroring.state != "pending" or training is None:
        return []
    return [unverified_training(record, training)]


def _draw(trainer: object, picture: str) -> tuple[list[dict[str, Any]], list[str]]:
    """What each draw received; or, in words, why there is no picture, which takes no finding away."""
    from ..hooks.preview_picture import write_preview

    try:
        _, *drawn = write_preview(trainer, Path(picture))
    except NNGuardError as error:
        return [], [str(error)]
    return [{"flip": None if one.flip is None else list(one.flip), "turn_degrees": one.turn} for one in drawn], []


def _print_text(subject: str, record: Record | None, findings: list[Finding], picture: str | None) -> None:
    if record is not None:
        from ..report.text import record_block

        click.echo(record_block(record, output.width_here()) + "\n")
    if findings:
        click.echo(output.findings_for_people(findings) + "\n")
    if picture is not None:
        click.echo(f"picture: {picture}")
    counted = output.findings_counted(findings)
    click.echo(f"{subject}: {counted}; nothing was trained, and nothing written to the results folder")


# ---------------------------------------------------------------- the training


@contextlib.contextmanager
def training_started(
    dataset: str, configuration: str, fold: str, trainer_name: str, plans: str, device: str
) -> Iterator[Any]:
    """The trainer, its loaders running and nothing trained; what nnU-Net prints goes to stderr.

    Raises:
        NNGuardError: in one line, what nnU-Net could not do.
    """
    from ..foreign_calls import Failed, attempt
    from ..hooks.trial_start import rehearsed

    _look_at_arguments(dataset, fold, plans)
    with prints_to_stderr(), contextlib.ExitStack() as stack:
        number = int(fold) if fold != "all" else fold
        rehearsal = rehearsed(dataset, configuration, number, trainer_name, plans, device)
        made = attempt(stack.enter_context, rehearsal)
        if isinstance(made, Failed):
            raise NNGuardError(f"the training cannot be started: {_in_plain_words(made, trainer_name)}")
        yield made


def _look_at_arguments(dataset: str, fold: str, plans: str) -> None:
    """What can be said in plain words before nnU-Net is imported."""
    if not fold.isdecimal() and fold != "all":
        raise click.UsageError(f"FOLD is a number or 'all', not {fold!r}")
    preprocessed = Settings.from_environment().preprocessed
    if not preprocessed:
        raise NNGuardError(f"{PREPROCESSED_VARIABLE} is not set: nnU-Net needs it to find the preprocessed data set")
    plans_file = _dataset_folder(Path(preprocessed), dataset) / f"{plans}.json"
    if not plans_file.is_file():
        raise NNGuardError(f"{plans_file} does not exist: run nnUNetv2_plan_and_preprocess, or name the plans (-p)")


def _dataset_folder(preprocessed: Path, dataset: str) -> Path:
    if not dataset.isdecimal() and not dataset.startswith("Dataset"):
        raise click.UsageError(f"DATASET is a number or DatasetXXX_NAME, not {dataset!r}")
    found = sorted(preprocessed.glob(f"Dataset{int(dataset):03d}_*" if dataset.isdecimal() else glob.escape(dataset)))
    if not found:
        raise NNGuardError(f"no data set {dataset} in {preprocessed}: is it preprocessed?")
    return found[0]


def _in_plain_words(reason: Failed, trainer_name: str) -> str:
    """The message and the line that it comes from; save one that speaks of all but the name that was mistyped."""
    if "Could not find requested nnunet trainer" in reason or "Unable to find trainer class" in reason:
        return f"there is no trainer class {trainer_name} (own trainers are found through nnUNet_extTrainer)"
    return f"{reason} ({reason.place})" if reason.place else reason
