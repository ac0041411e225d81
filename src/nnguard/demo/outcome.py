"""What the demo measures: Dice of predicted and true labels, and scores from a training's output."""

from __future__ import annotations

import json
import re
from pathlib import Path

from . import disc_dataset

_PSEUDO_DICE = re.compile(r"Pseudo dice \[(.*)\]")
#: A number, plain or as ``np.float32(0.94)``. The 32 of ``float32`` is not a number here.
_NUMBER = re.compile(r"(?<![\w.])(\d+(?:\.\d*)?(?:e[+-]?\d+)?|nan)(?![\w.])")


#: A finding: from its first line, which may begin in the middle of a log line, to the line that names its rule's page.
_FINDING = re.compile(r"(NNG\d{3} [a-z-]+ \((?:.*\n)+?.*nnguard rule NNG.*)")


def dice(predicted: Path, truth: Path) -> float:
    """Mean Dice over both labels and all cases. Both folders contain PNG files with the same names.

    Raises:
        FileNotFoundError: a case has no prediction.
    """
    from skimage import io

    scores = []
    for path in sorted(truth.glob("*.png")):
        wanted, given = io.imread(path), io.imread(predicted / path.name)
        for label in (disc_dataset.LEFT, disc_dataset.RIGHT):
            overlap = ((wanted == label) & (given == label)).sum()
            scores.append(2.0 * overlap / ((wanted == label).sum() + (given == label).sum()))
    return float(sum(scores) / len(scores))


def validation_dice(model: Path) -> float:
    """The mean foreground Dice of nnU-Net's own validation of fold 0."""
    summary = json.loads((model / "fold_0" / "validation" / "summary.json").read_text())
    return float(summary["foreground_mean"]["Dice"])


def pseudo_dice(output: str) -> float:
    """The mean of the last pseudo Dice that a training printed.

    Raises:
        ValueError: the training printed none.
    """
    printed = _PSEUDO_DICE.findall(output)
    if not printed:
        raise ValueError("the training printed no pseudo Dice")
    values = [float(number) for number in _NUMBER.findall(printed[-1])]
    return sum(values) / len(values)


def findings_in(output: str) -> list[str]:
    """The findings that nnguard printed, each as the lines that a user sees."""
    return list(dict.fromkeys(_FINDING.findall(output)))


def same_files(first: Path, second: Path) -> bool:
    """Whether two prediction folders hold the same segmentations, byte for byte."""
    ours, theirs = ({path.name: path.read_bytes() for path in folder.glob("*.png")} for folder in (first, second))
    return ours == theirs
