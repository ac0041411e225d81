"""A trained network's answers to a few cases, plain and under each flip, by nnU-Net's own predictor.

nnU-Net's test-time mirroring is the mean of these answers, so each case runs only once per flip.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from ..errors import NNGuardError
from ..flips import flips_of
from ..foreign_calls import Failed, attempt
from ..record import Axes
from .statistics import CaseScores, dice_by_label


class ImageCase(msgspec.Struct, frozen=True, kw_only=True):
    """One case's files: one per channel, and its reference labels if there are any."""

    name: str
    channels: list[Path]
    labels: Path | None = None


class Answers(msgspec.Struct, frozen=True, kw_only=True):
    """One case for the pictures: the image and label maps in its own space, (z, y, x)."""

    name: str
    image: Any
    plain: Any
    flipped: dict[Axes, Any]
    tta: Any
    reference: Any = None


def cases_in(images: Path, labels: Path | None, ending: str, number: int) -> list[ImageCase]:
    """At most ``number`` cases, spread over the sorted names, because neighbours often come from one series.

    Args:
        images: the folder of ``NAME_0000.ending``, one file per channel.
        labels: the folder of ``NAME.ending``; ``None`` if there are no references.
        ending: the dataset's ``file_ending``.

    Raises:
        NNGuardError: a folder is missing, or has no file with such a name.
    """
    for folder in (images, labels):
        if folder is not None and not folder.is_dir():
            raise NNGuardError(f"{folder}: is not a folder")
    channels: dict[str, list[Path]] = {}
    for path in sorted(images.iterdir()):
        stem = path.name.removesuffix(ending)
        if path.name.endswith(ending) and len(stem) > 5 and stem[-5] == "_" and stem[-4:].isdecimal():
            channels.setdefault(stem[:-5], []).append(path)
    if not channels:
        raise NNGuardError(f"{images}: no image named NAME_0000{ending}, as this model's dataset.json asks for")
    names = sorted(channels)
    if labels is not None and not any(_labels_of(name, labels, ending) for name in names):
        raise NNGuardError(f"{labels}: no labels named {names[0]}{ending}; references are named as their image")
    count = min(number, len(names))
    chosen = [names[position * len(names) // count] for position in range(count)]
    return [ImageCase(name=name, channels=channels[name], labels=_labels_of(name, labels, ending)) for name in chosen]


def _labels_of(name: str, labels: Path | None, ending: str) -> Path | None:
    return labels / f"{name}{ending}" if labels is not None and (labels / f"{name}{ending}").is_file() else None


class FlipTrial:
    """One loaded model that answers under any flip.

    Args:
        folder: the model folder.
        folds: as nnU-Net takes them; nnU-Net averages their answers.
        checkpoint_name: the checkpoint's file name in each fold's folder.
        device: ``cuda``, ``cpu`` or ``mps``.

    Raises:
        NNGuardError: nnU-Net cannot load the model here, or the model is the second stage of a cascade.
    """

    def __init__(self, folder: Path, folds: Sequence[int | str], checkpoint_name: str, device: str):
        loaded = attempt(_load, str(folder), tuple(folds), checkpoint_name, device)
        if isinstance(loaded, Failed):
            raise NNGuardError(f"{folder}: nnU-Net cannot load it here: {loaded}")
        self.predictor: Any = loaded
        settings = loaded.configuration_manager
        if getattr(settings, "previous_stage_name", None) is not None:
            raise NNGuardError(
                f"{folder}: a cascade's second stage needs the first stage's segmentations, which fliptest cannot "
                "give it; test the first stage"
            )
        self.dims = len(settings.patch_size)

    @property
    def declared_axes(self) -> Any:
        return self.predictor.allowed_mirroring_axes

    @property
    def foreground(self) -> list[int]:
        """The labels without background and ignore label; a model with regions has their single labels here too."""
        ignored = self.predictor.label_manager.ignore_label
        labels = {int(label) for label in self.predictor.label_manager.all_labels}
        return sorted(label for label in labels if label > 0 and label != ignored)

    def tried(self, case: ImageCase, tta_axes: Axes | None) -> tuple[Answers, CaseScores] | Failed:
        """The case's answers and scores, or why there are none. Running out of memory is one such reason."""
        import torch

        tried = attempt(lambda: self._scored(self._answers(case, tta_axes)))
        if isinstance(tried, Failed):
            torch.cuda.empty_cache()  # If one case ran out of memory, the next one must not fail too.
            return Failed(f"{case.name}: {tried}")
        return tried

    def _answers(self, case: ImageCase, tta_axes: Axes | None) -> Answers:
        import torch

        self._demand_channels(case)
        predictor = self.predictor
        preprocessor = predictor.configuration_manager.preprocessor_class(verbose=False)
        managers = (predictor.plans_manager, predictor.configuration_manager, predictor.dataset_json)
        data, _, properties = preprocessor.run_case([str(path) for path in case.channels], None, *managers)
        data = torch.as_tensor(data)
        averaged = flips_of(tta_axes or ())
        plain = self._logits(data, ())
        total = plain.float()
        flipped = {}
        for flip in flips_of(range(self.dims)):
            logits = self._logits(data, flip)
            if flip in averaged:
                total = total + logits.float()
            flipped[flip] = self._label_map(logits, properties)
        reader = predictor.plans_manager.image_reader_writer_class()
        return Answers(
            name=case.name,
            image=reader.read_images([str(path) for path in case.channels])[0][0],
            plain=self._label_map(plain, properties),
            flipped=flipped,
            tta=self._label_map(total / (1 + len(averaged)), properties),
            reference=None if case.labels is None else np.asarray(reader.read_seg(str(case.labels))[0])[0],
        )

    def _demand_channels(self, case: ImageCase) -> None:
        """Refuses a case with other channels than in training.

        nnU-Net would fail only at the first convolution, or would use one channel as another.
        """
        wanted = list(range(len(self.predictor.dataset_json["channel_names"])))
        ending = self.predictor.dataset_json["file_ending"]
        there = [int(path.name.removesuffix(ending)[-4:]) for path in case.channels]
        if there != wanted:
            raise NNGuardError(f"it has channels {there}, and the model was trained on {wanted}")

    def _logits(self, data: Any, flip: Axes) -> Any:
        """The network's logits under one flip, flipped back.

        Raises:
            NNGuardError: nnU-Net did not call the method that flips. Its answer would count as agreement.
        """
        self.predictor.flip, self.predictor.shown = flip, None
        logits = self.predictor.predict_logits_from_preprocessed_data(data).cpu()
        if self.predictor.shown != flip:
            raise NNGuardError(
                "this version of nnU-Net predicts patches by a method that nnguard does not know, so no flip can be "
                "shown to the network; upgrade nnguard, or test with a version of nnU-Net that docs/compatibility.md "
                "lists"
            )
        return logits

    def _label_map(self, logits: Any, properties: Any) -> np.ndarray:
        from nnunetv2.inference.export_prediction import convert_predicted_logits_to_segmentation_with_correct_shape

        predictor = self.predictor
        managers = (predictor.plans_manager, predictor.configuration_manager, predictor.label_manager)
        return np.asarray(convert_predicted_logits_to_segmentation_with_correct_shape(logits, *managers, properties))

    def _scored(self, answers: Answers) -> tuple[Answers, CaseScores]:
        """Adds the Dice of each flip's answer with the plain one, and of all answers with a reference, if given."""
        labels, reference = self.foreground, answers.reference
        agreement = {flip: dice_by_label(seen, answers.plain, labels) for flip, seen in answers.flipped.items()}
        if reference is None:
            return answers, CaseScores(agreement=agreement)
        if reference.shape != answers.plain.shape:
            raise NNGuardError(f"its labels have shape {reference.shape}, the image {answers.plain.shape}")
        ignored = self.predictor.label_manager.ignore_label
        counted = reference != (-1 if ignored is None else ignored)
        return answers, CaseScores(
            agreement=agreement,
            flipped={flip: dice_by_label(seen, reference, labels, counted) for flip, seen in answers.flipped.items()},
            plain=dice_by_label(answers.plain, reference, labels, counted),
            tta=dice_by_label(answers.tta, reference, labels, counted),
        )


def _load(folder: str, folds: tuple[int | str, ...], checkpoint_name: str, device: str) -> Any:
    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    class FlippingPredictor(nnUNetPredictor):
        """Shows the network every patch under one flip, and flips the answer back."""

        flip: Axes = ()
        shown: Axes | None = None

        def _internal_maybe_mirror_and_predict(self, x: Any) -> Any:
            self.shown = self.flip
            along = [axis + 2 for axis in self.flip]
            return torch.flip(self.network(torch.flip(x, along)), along) if along else self.network(x)

    predictor = FlippingPredictor(use_mirroring=False, device=torch.device(device), allow_tqdm=False)
    predictor.initialize_from_trained_model_folder(folder, folds, checkpoint_name)
    return predictor
