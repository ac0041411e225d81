"""The arguments of ``nnUNetv2_train``, for the commands that look at a training before it runs."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import NNGuardError
from .streams import prints_to_stderr

if TYPE_CHECKING:
    from ..evidence.foreign import Failed

PREPROCESSED = "nnUNet_preprocessed"


def training_arguments(function: Any) -> Any:
    """``DATASET CONFIGURATION FOLD -tr -p -device``, spelt as nnU-Net spells them."""
    decorators: list[Callable[[Any], Any]] = [
        click.argument("dataset"),
        click.argument("configuration"),
        click.argument("fold"),
        click.option("-tr", "trainer_name", default="nnUNetTrainer", show_default=True, help="Trainer class."),
        click.option("-p", "plans", default="nnUNetPlans", show_default=True, help="Plans identifier."),
        click.option(
            "-device",
            type=click.Choice(["cpu", "cuda", "mps"]),
            default="cpu",
            show_default=True,
            help="Where the network is built; augmentation runs on the CPU either way.",
        ),
    ]
    for decorate in reversed(decorators):
        function = decorate(function)
    return function


@contextlib.contextmanager
def training_started(
    dataset: str, configuration: str, fold: str, trainer_name: str, plans: str, device: str
) -> Iterator[Any]:
    """The trainer, its loaders running and nothing trained; what nnU-Net prints goes to stderr.

    Raises:
        NNGuardError: in one line, what nnU-Net could not do.
    """
    from ..evidence.foreign import Failed, attempt
    from ..hooks.rehearsal import rehearsed

    _look_at_arguments(dataset, configuration, fold, plans)
    with prints_to_stderr(), contextlib.ExitStack() as stack:
        number = int(fold) if fold != "all" else fold
        rehearsal = rehearsed(dataset, configuration, number, trainer_name, plans, device)
        made = attempt(stack.enter_context, rehearsal)
        if isinstance(made, Failed):
            raise NNGuardError(f"the training cannot be started: {_in_plain_words(made, trainer_name)}")
        yield made


def _look_at_arguments(dataset: str, configuration: str, fold: str, plans: str) -> None:
    """What can be said in plain words before nnU-Net is imported."""
    if not fold.isdecimal() and fold != "all":
        raise click.UsageError(f"FOLD is a number or 'all', not {fold!r}")
    preprocessed = os.environ.get(PREPROCESSED)
    if not preprocessed:
        raise NNGuardError(f"{PREPROCESSED} is not set: nnU-Net needs it to find the preprocessed data set")
    folder = _dataset_folder(Path(preprocessed), dataset)
    plans_file = folder / f"{plans}.json"
    if not plans_file.is_file():
        raise NNGuardError(
            f"{plans_file} does not exist: run nnUNetv2_plan_and_preprocess first, or name the plans (-p)"
        )
    import msgspec

    try:
        configurations = msgspec.json.decode(plans_file.read_bytes()).get("configurations", {})
    except (msgspec.MsgspecError, UnicodeError, AttributeError) as error:
        raise NNGuardError(f"{plans_file} cannot be read: {error}") from None
    if configuration not in configurations:
        raise NNGuardError(
            f"{plans_file.name} has no configuration {configuration!r}, only {', '.join(configurations)}"
        )


def _dataset_folder(preprocessed: Path, dataset: str) -> Path:
    if dataset.startswith("Dataset"):
        found = [preprocessed / dataset] if (preprocessed / dataset).is_dir() else []
    elif dataset.isdecimal():
        found = sorted(preprocessed.glob(f"Dataset{int(dataset):03d}_*"))
    else:
        raise click.UsageError(f"DATASET is a number or DatasetXXX_NAME, not {dataset!r}")
    if not found:
        raise NNGuardError(f"no data set {dataset} in {preprocessed}: is it preprocessed?")
    return found[0]


def _in_plain_words(reason: Failed, trainer_name: str) -> str:
    """The message and the line that it comes from; save one that speaks of all but the name that was mistyped."""
    if "Could not find requested nnunet trainer" in reason or "Unable to find trainer class" in reason:
        return f"there is no trainer class {trainer_name} (own trainers are found through nnUNet_extTrainer)"
    return f"{reason} ({reason.place})" if reason.place else reason
