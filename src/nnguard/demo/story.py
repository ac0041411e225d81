"""The whole demo: make images, prepare, train, predict four times, and report what was measured."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from ..errors import NNGuardError
from . import disc_dataset, outcome
from .workspace import Run, Workspace, check_nnunet

#: The trainer's number of epochs, for the progress line only.
EPOCHS = 4


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table: what the demo did, and what it measured."""

    what: str
    command: str
    short: str
    measured: str
    dice: float | None = None


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the demo measured. ``rows`` are in the order of the steps."""

    rows: list[Row]
    seconds: float
    folder: str


def tell(folder: Path, *, say: Callable[[str], None], progress: Callable[[str], None]) -> Outcome:
    """Runs the whole demo in ``folder``.

    Args:
        say: gets the text for the user, block by block.
        progress: gets a short line that replaces the previous one.

    Raises:
        NNGuardError: nnU-Net is missing, or one of its commands failed unexpectedly.
    """
    start = time.monotonic()
    check_nnunet()
    workspace = Workspace(folder)

    progress("making images")
    disc_dataset.make(workspace.raw)
    say(
        f"Made {disc_dataset.TRAINING_CASES} training and {disc_dataset.TEST_CASES} test images of discs. "
        "The left half of each disc is label 1, the right half label 2."
    )
    progress("planning and preprocessing (nnU-Net, about 15 s)")
    _succeeded(workspace.prepare())

    rows = _train(workspace, say, progress)
    rows += _predict(workspace, say, progress)
    return Outcome(rows=rows, seconds=time.monotonic() - start, folder=str(folder))


def _train(workspace: Workspace, say: Callable[[str], None], progress: Callable[[str], None]) -> list[Row]:
    progress("starting nnU-Net's training")
    said: list[str] = []

    def follow(line: str) -> None:
        said.append(line)
        epoch = re.search(r"Epoch (\d+)\s*$", line)
        if epoch:
            progress(f"training, epoch {int(epoch[1]) + 1} of {EPOCHS}")
        elif "Training done" in line:
            progress("nnU-Net validates")
        elif "nnguard rule NNG" in line:
            blocks = outcome.findings_in("\n".join(said))
            said.clear()
            for block in blocks:
                at = "training starts" if block.startswith("NNG103") else "nnU-Net validates"
                say(f"When {at}, nnguard says:\n\n{_indented(block)}")

    run = _succeeded(workspace.train("warn", follow))
    return [
        _row("pseudo Dice in training", run, outcome.pseudo_dice(run.output)),
        _row("nnU-Net's own validation", run, outcome.validation_dice(workspace.model)),
    ]


def _predict(workspace: Workspace, say: Callable[[str], None], progress: Callable[[str], None]) -> list[Row]:
    truth = workspace.dataset / "labelsTs"

    progress("predicting, mirrored, with a warning (1 of 4)")
    run, mirrored = workspace.predict("warn")
    rows = [_row("test images, as nnU-Net predicts them", _succeeded(run), outcome.dice(mirrored, truth))]

    progress("predicting under strict (2 of 4)")
    run, target = workspace.predict("strict")
    rows.append(_strict(run, target, truth, say))

    progress("predicting under correct (3 of 4)")
    run, corrected = workspace.predict("correct")
    rows.append(_row("test images, corrected", _succeeded(run), outcome.dice(corrected, truth)))

    progress("predicting without mirroring (4 of 4)")
    run, plain = workspace.predict("warn", "--disable_tta")
    _succeeded(run)
    same = "the same files, byte for byte" if outcome.same_files(corrected, plain) else "other files than corrected"
    return [*rows, _row("test images, --disable_tta", run, outcome.dice(plain, truth), f" ({same})")]


def _strict(run: Run, target: Path, truth: Path, say: Callable[[str], None]) -> Row:
    what = "test images, strict"
    if run.status == 0:
        return _row(what, run, outcome.dice(target, truth), " (not refused)")
    blocks = outcome.findings_in(run.output)
    if not blocks:
        # The prediction failed for another reason than a refusal by nnguard.
        raise NNGuardError(f"{run.command}\nfailed for another reason:\n{_end_of(run.output)}")
    say(f"Under strict the prediction is refused after {run.seconds:.0f} s:\n\n" + _indented("\n\n".join(blocks)))
    return _row(what, run, None, f"refused, {len(list(target.glob('*')))} files written")


def _row(what: str, run: Run, dice: float | None, more: str = "") -> Row:
    measured = more if dice is None else f"{dice:.3f}{more}"
    return Row(what=what, command=run.command, short=run.short, measured=measured, dice=dice)


def _succeeded(run: Run) -> Run:
    if run.status:
        raise NNGuardError(f"{run.command}\nended with status {run.status}:\n{_end_of(run.output)}")
    return run


def _end_of(output: str) -> str:
    return "\n".join(output.splitlines()[-15:])


def _indented(text: str) -> str:
    return "\n".join(f"    {line}".rstrip() for line in text.splitlines())
