"""``NNGUARD_FLIPTEST=N``: N cases of a training's own validation once more, without mirroring, as a measurement.

It runs after nnU-Net's own validation has finished, with the predictor that this validation built, and leaves the
validation's files, the trainer's random states and its network as they were.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from .. import __version__
from ..axes import normalise, problem_with, written
from ..checkpoint import read_checkpoint, splice
from ..errors import CheckpointError
from ..evidence.copying import untouched_randomness
from ..record import CHECKPOINT_KEY, FILE_NAME, VALIDATION, Axes, MeasuredDice, MeasuredValidation, Record, timestamp
from ..report.text import validation_words
from ..variables import FLIPTEST
from . import predictor as predictors
from .patching import contained

VARIABLE = FLIPTEST
#: Case -> label or region, as nnU-Net's summary writes it -> Dice; ``None`` where neither image has the label.
Dice = dict[str, dict[str, float | None]]


class Obstacle(Exception):
    """Why it could not be measured, in words; never leaves this module."""


def cases_wanted() -> int:
    """How many cases; 0 for none, and for a value that cannot be read."""
    text = os.environ.get(VARIABLE, "").strip()
    return int(text) if text.isdecimal() else 0


def measure(trainer: Any, predictor: Any, checkpoint: Path | None, began: float) -> MeasuredValidation | None:
    """Measures, tells nnU-Net's log, and writes the record.

    Args:
        trainer: its validation has just returned.
        predictor: the ``nnUNetPredictor`` that this validation built; ``None`` where it built none.
        checkpoint: the file that holds the validated weights; ``None`` where there is none.
        began: when the validation began, in seconds since 1970.

    Returns:
        What goes into a record; ``None`` where it could not be measured, which the log says.
    """
    wanted = cases_wanted()
    if not wanted:
        return None
    try:
        entry = measured(trainer, predictor, checkpoint.name if checkpoint is not None else None, wanted, began)
    except Obstacle as obstacle:
        trainer.print_to_log_file(f"nnguard: {VARIABLE}={wanted} could not be measured: {obstacle}")
        return None
    trainer.print_to_log_file("\n".join(lines_of(entry)))
    kept, lost = written_to_files(entry, Path(trainer.output_folder), checkpoint)
    where = f"kept in {' and '.join(kept)}" if kept else "kept in this log alone"
    trainer.print_to_log_file(f"nnguard: {where}" + "".join(f"; {reason}" for reason in lost))
    return entry


def measured(trainer: Any, predictor: Any, checkpoint: str | None, wanted: int, began: float) -> MeasuredValidation:
    """Runs the cases.

    Raises:
        Obstacle: this validation cannot be measured so.
    """
    if getattr(trainer, "is_ddp", False):
        raise Obstacle("a distributed training shares its cases among the ranks; measure with nnguard fliptest")
    if predictor is None:
        raise Obstacle("this trainer's own validation builds no nnUNetPredictor; measure with nnguard fliptest")
    declared = predictor.allowed_mirroring_axes
    if not predictor.use_mirroring or declared is None or problem_with(declared):
        raise Obstacle(f"this validation does not mirror (axes {written(declared)}), so there is nothing to compare")
    axes = normalise(declared)
    cases = _validated_cases(Path(trainer.output_folder), trainer.dataset_json["file_ending"], began)
    count = min(wanted, len(cases))
    # Spread over the names: neighbours are often of one series.
    chosen = [sorted(cases)[place * len(cases) // count] for place in range(count)]
    mirrored: Dice = {name: cases[name].dice for name in chosen}
    plain: Dice = {}
    with _as_in_validation(trainer, predictor), tempfile.TemporaryDirectory(prefix="nnguard-") as folder:
        for name in chosen:
            plain[name] = _without_mirroring(trainer, predictor, name, cases[name], Path(folder))
    names = _label_names(trainer)
    return MeasuredValidation(
        by=f"{VARIABLE}={wanted}, nnguard {__version__}",
        written_at=timestamp(),
        checkpoint=checkpoint,
        cases=len(chosen),
        case_names=chosen,
        plain=mean_dice(plain, names),
        tta=mean_dice(mirrored, names, axes),
    )


class _Case(msgspec.Struct, frozen=True):
    """A validated case: the reference that nnU-Net compared it with, and Dice by label."""

    reference: Path
    dice: dict[str, float | None]


def _validated_cases(fold_folder: Path, ending: str, began: float) -> dict[str, _Case]:
    """What the validation that has just run wrote of each case."""
    path = fold_folder / "validation" / "summary.json"
    try:
        if path.stat().st_mtime < began - 2:  # some file systems count in steps of two seconds
            raise Obstacle(f"{path} is older than this validation")
        summary = json.loads(path.read_text("utf-8"))
        found = {
            Path(case["prediction_file"]).name.removesuffix(ending): _Case(
                Path(case["reference_file"]),
                {label: _dice(values) for label, values in case["metrics"].items()},
            )
            for case in summary["metric_per_case"]
        }
    except OSError:
        raise Obstacle(f"this validation left no {path.parent.name}/{path.name}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Obstacle(f"{path} is not what nnU-Net writes") from None
    if not found:
        raise Obstacle(f"{path} tells of no case")
    return found


@contextlib.contextmanager
def _as_in_validation(trainer: Any, predictor: Any) -> Iterator[None]:
    """The predictor without mirroring and unguarded, the network as validation had it; all put back afterwards."""
    import torch

    from .trainer import bare

    decoder = getattr(bare(trainer.network), "decoder", None)
    supervised = getattr(decoder, "deep_supervision", True)
    training, mirroring, threads = trainer.network.training, predictor.use_mirroring, torch.get_num_threads()
    predictors.leave_alone(predictor)
    with untouched_randomness():
        trainer.set_deep_supervision_enabled(False)
        trainer.network.eval()
        predictor.use_mirroring = False
        try:
            yield
        finally:
            torch.set_num_threads(threads)  # nnU-Net's export sets it, and puts it back where it does not fail
            predictor.use_mirroring = mirroring
            trainer.network.train(training)
            trainer.set_deep_supervision_enabled(supervised)
            _forget_gaussians()


def _forget_gaussians() -> None:
    """As nnU-Net does at the end of a validation: they lie on the GPU."""
    from nnunetv2.inference import sliding_window_prediction

    clear = getattr(sliding_window_prediction.compute_gaussian, "cache_clear", None)
    if clear is not None:
        clear()


def _without_mirroring(trainer: Any, predictor: Any, name: str, case: _Case, folder: Path) -> dict[str, float | None]:
    """Dice by label of one case, through nnU-Net's own prediction, export and evaluation."""
    import torch
    from nnunetv2.evaluation.evaluate_predictions import compute_metrics
    from nnunetv2.inference.export_prediction import export_prediction_from_logits

    data, properties = _loaded(trainer, name)
    logits = predictor.predict_sliding_window_return_logits(torch.from_numpy(data)).cpu()
    target = folder / name
    managers = (trainer.configuration_manager, trainer.plans_manager, trainer.dataset_json)
    export_prediction_from_logits(logits, properties, *managers, str(target), False)
    answer = target.with_name(target.name + trainer.dataset_json["file_ending"])
    labels = trainer.label_manager
    metrics = compute_metrics(
        str(case.reference),
        str(answer),
        trainer.plans_manager.image_reader_writer_class(),
        labels.foreground_regions if labels.has_regions else labels.foreground_labels,
        labels.ignore_label,
    )
    answer.unlink()
    return {str(label): _dice(values) for label, values in metrics["metrics"].items()}


def _loaded(trainer: Any, name: str) -> tuple[Any, Any]:
    """A preprocessed case, with the previous stage's segmentation where there is one, as validation loads it."""
    import numpy as np

    kind: Any = getattr(trainer, "dataset_class", None)
    if kind is None:  # before nnU-Net 2.6
        from nnunetv2.training.dataloading import nnunet_dataset

        kind = nnunet_dataset.nnUNetDataset
    before = trainer.folder_with_segs_from_previous_stage
    dataset = kind(trainer.preprocessed_dataset_folder, [name], folder_with_segs_from_previous_stage=before)
    loaded = dataset.load_case(name)
    data = np.array(loaded[0][:])
    if trainer.is_cascaded:
        from nnunetv2.utilities.label_handling.label_handling import convert_labelmap_to_one_hot

        previous = loaded[2][:] if len(loaded) > 3 else loaded[1][-1]
        labels = trainer.label_manager.foreground_labels
        data = np.vstack((data, convert_labelmap_to_one_hot(previous, labels, output_dtype=data.dtype)))
    return data, loaded[-1]


# ---------------------------------------------------------------- figures and words


def mean_dice(cases: Dice, names: Mapping[str, str], axes: Axes = ()) -> MeasuredDice:
    """Over cases, then over labels, as nnU-Net averages."""
    labels = list(dict.fromkeys(label for dice in cases.values() for label in dice))
    found = {names.get(label, label): _mean([dice.get(label) for dice in cases.values()]) for label in labels}
    return MeasuredDice(dice=_mean(list(found.values())), labels=found, axes=axes)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _dice(values: Mapping[str, Any]) -> float | None:
    value = float(values["Dice"])
    return value if math.isfinite(value) else None


def _label_names(trainer: Any) -> dict[str, str]:
    from ..models.scores import labels_of

    return labels_of(trainer.dataset_json)


def lines_of(entry: MeasuredValidation) -> list[str]:
    """A measurement for people, in nnU-Net's log."""
    lines = [f"nnguard: validated once more without mirroring: {', '.join(entry.case_names)}"]
    lines.append(f"  {validation_words(entry)}")
    lines += [
        f"  {label}: {_figure(entry.plain.labels.get(label))} without, {_figure(dice)} with mirroring"
        for label, dice in entry.tta.labels.items()
    ]
    return lines


def _figure(value: float | None) -> str:
    return "no figure" if value is None else f"{value:.3f}"


# ---------------------------------------------------------------- the record


def written_to_files(
    entry: MeasuredValidation, fold_folder: Path, checkpoint: Path | None
) -> tuple[list[str], list[str]]:
    """Adds it to the record in the checkpoint, and to its copy.

    The checkpoint gets no backup: what changes is nnguard's own entry, every other byte is copied, and the new file
    has been read back before it takes the old one's place.

    Returns:
        The files that have it now; why others do not, in words.
    """
    kept, lost = [], []
    for name, write in ((checkpoint, _into_checkpoint), (fold_folder / FILE_NAME, _into_copy)):
        if name is None:
            continue
        try:
            write(name, entry)
            kept.append(name.name)
        except CheckpointError as error:
            lost.append(f"{name.name} was left as it is: {error}")
    return kept, lost


def _into_checkpoint(path: Path, entry: MeasuredValidation) -> None:
    text = read_checkpoint(str(path)).record_text
    if text is None:
        raise CheckpointError("it holds no record")
    splice(path, {CHECKPOINT_KEY: _with_entry(text, entry)}, backup=False)


def _into_copy(path: Path, entry: MeasuredValidation) -> None:
    from ..models.repairing import replace_text

    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise CheckpointError(error.strerror or "cannot be read") from None
    replace_text(path, _with_entry(text, entry) + "\n")


def _with_entry(text: str, entry: MeasuredValidation) -> str:
    """The record's text with this entry, and everything else as it was, fields of a newer nnguard included."""
    Record.from_json(text)
    fields = msgspec.json.decode(text)
    fields["measured"] = {**(fields.get("measured") or {}), VALIDATION: msgspec.to_builtins(entry)}
    return msgspec.json.encode(fields).decode()


def with_measurement(record: Record | None, entry: MeasuredValidation | None) -> Record | None:
    """A live record that knows of it, so that later checkpoints do."""
    if record is None or entry is None:
        return record
    return msgspec.structs.replace(record, measured={**(record.measured or {}), VALIDATION: msgspec.to_builtins(entry)})


def measure_contained(trainer: Any, predictor: Any, checkpoint: Path | None, began: float) -> MeasuredValidation | None:
    """``measure``, whose failure is one event and one line in the log, and nothing to the training."""
    outcome = contained("measuring without mirroring", lambda: (measure(trainer, predictor, checkpoint, began),))
    if outcome is None:
        line = f"nnguard: {VARIABLE} failed; the validation before it is whole. What happened is in nnguard's own log"
        contained("writing into nnU-Net's log", trainer.print_to_log_file, line)
        return None
    return outcome[0]
