"""Pipelines for the probe: nnU-Net's own for a patch size, and small transforms with known effects."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from batchgeneratorsv2.transforms.base.basic_transform import BasicTransform
from batchgeneratorsv2.transforms.spatial.mirroring import MirrorTransform
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms

from nnguard.flips import flips_of, verdict_of
from nnguard.probe.orientation_probe import Tally, probe
from nnguard.probe.pipeline import Stage
from nnguard.probe.samples import Case

SQUARE, OBLONG, CUBE = (64, 64), (48, 80), (32, 32, 32)


def case(patch: Sequence[int] = SQUARE, **changes: Any) -> Case:
    """A case whose loader cuts a third more than the patch, as nnU-Net does for rotations."""
    known: dict[str, Any] = {
        "patch": tuple(patch),
        "initial": tuple(side * 4 // 3 for side in patch),
        "channels": 1,
        "labels": (0, 1, 2),
    }
    return Case(**(known | changes))


class CropToPatch(BasicTransform):
    """The centre of the patch, as SpatialTransform cuts it."""

    def __init__(self, patch_size: Sequence[int]) -> None:
        super().__init__()
        self.patch_size = tuple(patch_size)

    def apply(self, data: dict, **params: Any) -> dict:
        for key in ("image", "segmentation"):
            starts = [(full - side) // 2 for full, side in zip(data[key].shape[1:], self.patch_size, strict=True)]
            spans = [slice(start, start + side) for start, side in zip(starts, self.patch_size, strict=True)]
            data[key] = data[key][(slice(None), *spans)]
        return data


class FlipBoth(BasicTransform):
    """An own class that flips in ``__call__``, with one generator or another."""

    def __init__(self, axes: Sequence[int], p: float = 0.5, draw: Callable[[], float] = random.random) -> None:
        super().__init__()
        self.axes, self.p, self.draw = tuple(axes), p, draw

    def __call__(self, **data: Any) -> dict:
        if self.draw() < self.p:
            dims = [axis + 1 for axis in self.axes]
            data["image"] = torch.flip(data["image"], dims)
            data["segmentation"] = torch.flip(data["segmentation"], dims)
        return data


class FlipImageOnly(FlipBoth):
    """The mistake of NNG114."""

    def __call__(self, **data: Any) -> dict:
        segmentation = data["segmentation"]
        return {**super().__call__(**data), "segmentation": segmentation}


class OwnGenerator:
    """A generator of its own, which no seed of numpy's or torch's reaches."""

    def __init__(self, seed: int = 3) -> None:
        self.generator = np.random.default_rng(seed)

    def __call__(self) -> float:
        return float(self.generator.random())


class SwapLabels(BasicTransform):
    """Mirrors one axis and exchanges left and right labels with it."""

    def __init__(self, axis: int, pairs: dict[int, int], p: float = 0.5, swap: float = 1.0) -> None:
        super().__init__()
        self.axis, self.pairs, self.p, self.swap = axis, pairs, p, swap

    def __call__(self, **data: Any) -> dict:
        if torch.rand(1).item() < self.p:
            data["image"] = torch.flip(data["image"], [self.axis + 1])
            segmentation = torch.flip(data["segmentation"], [self.axis + 1])
            result = segmentation.clone()
            if torch.rand(1).item() < self.swap:
                for old, new in self.pairs.items():
                    result[segmentation == old] = new
            data["segmentation"] = result
        return data


def composed(patch: Sequence[int], *transforms: Any) -> ComposeTransforms:
    """The crop to the patch, then the transforms."""
    return ComposeTransforms([CropToPatch(patch), *transforms])


def nnunet(patch: Sequence[int], mirror: Sequence[int] | None, cls: str = "", degrees: float = 30.0, **options: Any):
    """nnU-Net's own training pipeline for a patch size, the default trainer's or a variant's."""
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
    from nnunetv2.training.nnUNetTrainer.variants.data_augmentation.nnUNetTrainerDA5 import nnUNetTrainerDA5

    trainer = nnUNetTrainerDA5 if cls == "DA5" else nnUNetTrainer
    angle = degrees / 180 * np.pi
    scales = [[1.0] * len(patch), [0.5] * len(patch)]
    options.setdefault("do_dummy_2d_data_aug", False)
    return trainer.get_training_transforms(tuple(patch), (-angle, angle), scales, mirror, **options)


def tally(pipeline: Any, declared: Sequence[int] = (), unit: str = "sample", **changes: Any) -> Tally:
    """What the probe sees of one pipeline."""
    made = case(**changes)
    return probe([Stage(transform=pipeline, unit=unit, where="loader.transforms")], made, declared)  # type: ignore[arg-type]


def verdicts(seen: Tally, dims: int) -> dict[tuple[int, ...], str]:
    """Every flip's verdict, those that are not seen left out."""
    told = {flip: verdict_of(flip, seen.counts) for flip in flips_of(range(dims))}
    return {flip: verdict for flip, verdict in told.items() if verdict != "unseen"}


def mirror(*axes: int) -> MirrorTransform:
    return MirrorTransform(axes)
