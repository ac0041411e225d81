"""One sample: a made case passes a copy of the live pipeline, in the form in which the loader would feed it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import msgspec
import numpy as np
import torch

from ..foreign_calls import Failed, attempt
from .pipeline import Stage
from .pipeline_copy import copied, generators_in, seed_everything, silence, with_identities
from .small_copy import Size, shrink, size_map, small_sizes


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """What a training's loader delivers; the probe imitates it.

    Args:
        patch: spatial size that the network sees; ``initial``: the size that the loader cuts before augmentation.
        channels: of the image, without those that a cascade adds; ``segmentations``: 2 in a cascade, else 1.
        labels: the data set's real labels, background and ignore label included.
        regions: the labels of each region channel, in order; ``None`` in a training without regions.
    """

    patch: Size
    initial: Size
    channels: int
    segmentations: int = 1
    labels: tuple[int, ...] = (0, 1)
    regions: tuple[tuple[int, ...], ...] | None = None

    @property
    def dims(self) -> int:
        return len(self.patch)


class Form(msgspec.Struct, frozen=True, kw_only=True):
    """One form of input: sizes, number of image channels, and what a batch stage gets.

    ``tensors`` says whether it gets tensors or numpy arrays; ``key`` is the segmentation's name in the batch.
    """

    patch: Size
    initial: Size
    channels: int
    tensors: bool
    key: str = "target"


#: What nnU-Net's loaders have given to a stage of whole batches, newest first. In 2.5 and 2.6, DA5 kept
#: batchgenerators' transforms but got the loader's new name for the segmentation.
NEW, BETWEEN, OLD = (True, "target"), (False, "target"), (False, "seg")


class Draw(msgspec.Struct, frozen=True, kw_only=True):
    """The pipeline's output: the image (channel, space) and the segmentation (channel, space)."""

    image: torch.Tensor
    segmentation: np.ndarray


def forms_of(case: Case, stages: list[Stage]) -> list[Form]:
    """The forms to try, best first: small before full size, one channel per axis before the exact number.

    If a transform finds no segmentation under its name, it may leave the segmentation unflipped. So the less likely
    name comes only after every size has failed under the more likely one.
    """
    small_patch, small_initial = small_sizes(case.patch, case.initial)
    sizes = [(small_patch, small_initial)]
    if small_patch != case.patch:
        sizes.append((case.patch, case.initial))
    channels = list(dict.fromkeys((max(case.channels, case.dims), case.channels)))
    batches = [stage for stage in stages if stage.unit == "batch"]
    old = bool(batches) and type(batches[0].transform).__module__.startswith("batchgenerators.")
    feeds = [NEW] if not batches else [OLD, BETWEEN, NEW] if old else [NEW, OLD, BETWEEN]
    return [
        Form(patch=patch, initial=initial, channels=number, tensors=tensors, key=key)
        for (tensors, key), (patch, initial), number in product(feeds, sizes, channels)
    ]


class Runner:
    """A copy of the pipeline for one form; ``draw`` may be called any number of times."""

    def __init__(self, stages: list[Stage], case: Case, form: Form, without: Callable[[Any], bool]) -> None:
        self.form = form
        sizes = size_map(case.patch, case.initial, form.patch, form.initial)
        self.stages = []
        for stage in stages:
            transform = with_identities(copied(stage.transform), without)
            if form.patch != case.patch:
                shrink(transform, sizes)
            self.stages.append(Stage(transform=transform, unit=stage.unit, where=stage.where))
        self._generators = [g for stage in self.stages for g in generators_in(stage.transform)]

    def draw(self, image: np.ndarray, segmentation: np.ndarray, seed: int) -> Draw | Failed:
        """Runs the pipeline once.

        Args:
            image: float32, shape ``(channels, *initial)``.
            segmentation: int16, shape ``(segmentations, *initial)``.
            seed: seeds every generator, so that a verdict is reproducible.
        """
        seed_everything(seed, self._generators)
        with silence(), torch.no_grad():
            return attempt(self._run, image, segmentation)

    def _run(self, image: np.ndarray, segmentation: np.ndarray) -> Draw:
        data: dict[str, Any] = {
            "image": torch.from_numpy(image.copy()),
            "segmentation": torch.from_numpy(segmentation.copy()),
        }
        batch = False
        for stage in self.stages:
            if stage.unit == "batch" and not batch:
                data, batch = self._as_batch(data), True
            data = stage.transform(**data)
        return _result(data, batch)

    def _as_batch(self, data: dict[str, Any]) -> dict[str, Any]:
        image, segmentation = data["image"], data["segmentation"]
        keys = {"keys": np.array(["nnguard_probe"]), "properties": [{}]}
        if not self.form.tensors:
            return {"data": _numpy(image)[None], self.form.key: _numpy(_first(segmentation))[None], **keys}
        targets = [torch.as_tensor(s)[None] for s in _list(segmentation)]
        return {
            "data": torch.as_tensor(image)[None],
            self.form.key: targets if isinstance(segmentation, (list, tuple)) else targets[0],
            **keys,
        }


def central(array: np.ndarray, patch: Size) -> np.ndarray:
    """The central part, of size ``patch``, of an array of shape ``space``."""
    starts = [(full - side) // 2 for full, side in zip(array.shape, patch, strict=True)]
    return array[tuple(slice(start, start + side) for start, side in zip(starts, patch, strict=True))]


def _result(data: dict[str, Any], batch: bool) -> Draw:
    image = _first_present(data, ("data", "image"))
    segmentation = _first(_first_present(data, ("target", "segmentation", "seg")))
    if batch:
        image, segmentation = image[0], segmentation[0]
    return Draw(image=torch.as_tensor(image), segmentation=_numpy(segmentation))


def _first_present(data: dict[str, Any], names: tuple[str, ...]) -> Any:
    for name in names:
        if data.get(name) is not None:
            return data[name]
    raise KeyError(f"the pipeline returned none of {', '.join(names)}")


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _first(value: Any) -> Any:
    # With deep supervision, the first target has the network's full resolution.
    return _list(value)[0]


def _numpy(value: Any) -> np.ndarray:
    return value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)
