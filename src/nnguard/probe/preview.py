"""Augmented samples of a real training patch, each with the flip and the rotation that it has received."""

from __future__ import annotations

import copy
from typing import Any

import msgspec
import numpy as np
import torch

from ..foreign_calls import Failed, attempt
from .library_transforms import changes_only_representation
from .observation import case_of
from .orientation import coded_segmentation, read_orientation
from .orientation_probe import first_code_for
from .pipeline import Pipeline, locate
from .pipeline_copy import one_thread, untouched_randomness
from .samples import Case, Form, Runner, central

FIRST_SEED = 424242


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """One patch: ``image`` (space) is the first channel, ``labels`` (space) the real segmentation.

    ``flip`` is ``None`` if the sample is not usable (rotated too far). ``turn`` is the remaining rotation in degrees,
    ``None`` if it is not readable.
    """

    image: Any
    labels: Any
    flip: tuple[int, ...] | None
    turn: float | None


def previews(trainer: Any, number: int = 16) -> list[Preview] | Failed:
    """The un-augmented patch, cut to the network's size, and ``number`` augmented samples of it.

    The real segmentation and the octant codes pass through the pipeline as two channels of one segmentation, so the
    flip in the label of a sample is the flip of its pixels.

    Args:
        trainer: with ``dataloader_train`` set. Random states, loaders and pipeline stay as they were.
        number: how many samples.
    """
    pipeline = locate(getattr(trainer, "dataloader_train", None))
    case = attempt(case_of, trainer, pipeline)
    if isinstance(case, Failed):
        return case
    with one_thread(), untouched_randomness(*(stage.transform for stage in pipeline.stages)):
        patch = attempt(_real_patch, pipeline, case)
        if isinstance(patch, Failed):
            return Failed(f"no training patch could be loaded ({patch})")
        return _drawn(pipeline, case, *patch, number)


def _real_patch(pipeline: Pipeline, case: Case) -> tuple[np.ndarray, np.ndarray, str]:
    """One case as the loader cuts it before augmentation.

    Returns:
        Image and segmentation, (channel, space), and the segmentation's key in the loader's batch.
    """
    loader = copy.copy(pipeline.loader)
    if hasattr(loader, "transforms"):
        loader.transforms = None
    batch = loader.generate_train_batch()
    key = "target" if "target" in batch else "seg"
    # Only the last case of a batch is sure to contain foreground.
    image, segmentation = (np.asarray(torch.as_tensor(array)[-1]) for array in (batch["data"], batch[key]))
    shape = image.shape[1:]
    if len(shape) != case.dims:
        raise ValueError(f"the loader cut a patch of {len(shape)} dimensions, not {case.dims}")
    return image.astype(np.float32), segmentation.astype(np.int16), key


def _drawn(
    pipeline: Pipeline, case: Case, image: np.ndarray, segmentation: np.ndarray, key: str, number: int
) -> list[Preview] | Failed:
    tensors = _wants_tensors(pipeline)
    form = Form(patch=case.patch, initial=image.shape[1:], channels=len(image), tensors=tensors, key=key)
    runner = attempt(Runner, pipeline.stages, case, form, changes_only_representation)
    if isinstance(runner, Failed):
        return Failed(f"the pipeline cannot be copied ({runner})")
    first_code = first_code_for(case)
    codes = coded_segmentation(image.shape[1:], first_code)
    together = np.concatenate([segmentation, codes[None]])
    found = [
        Preview(image=central(image[0], case.patch), labels=central(segmentation[0], case.patch), flip=(), turn=0.0)
    ]
    for seed in range(FIRST_SEED, FIRST_SEED + number):
        drawn = runner.draw(image, together, seed)
        if isinstance(drawn, Failed):
            return Failed(f"the pipeline cannot augment a patch with a second segmentation channel ({drawn})")
        if drawn.segmentation.shape[0] != len(together):
            return Failed("the pipeline drops a second segmentation channel, so no draw could be labelled truthfully")
        orientation = read_orientation(drawn.segmentation[-1], None, first_code)
        found.append(
            Preview(
                image=drawn.image[0].numpy(),
                labels=np.rint(drawn.segmentation[0]).astype(np.int16),
                flip=orientation.flip,
                turn=orientation.turn,
            )
        )
    return found


def _wants_tensors(pipeline: Pipeline) -> bool:
    first = pipeline.stages[0] if pipeline.stages else None
    return first is None or not type(first.transform).__module__.startswith("batchgenerators.")
