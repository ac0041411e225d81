"""The synthetic dataset: discs whose left half is label 1 and whose right half is label 2.

A mirror along x exchanges the meaning of the labels; a mirror along y changes nothing. Only the position within a disc
distinguishes the labels, as for left and right organs of a body.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

LEFT, RIGHT = 1, 2
SHAPE = (64, 64)
TRAINING_CASES = 20
TEST_CASES = 8
DATASET_ID = 552
DATASET_NAME = f"Dataset{DATASET_ID}_Discs"


def draw(shape: tuple[int, ...], generator: Any, discs: int = 2) -> tuple[Any, Any]:
    """One case: an image (float) and its labels (uint8), both of ``shape``.

    Args:
        shape: the array's shape, with any number of dimensions; the last axis is left-right.
        generator: a ``numpy.random.Generator``.
        discs: how many discs to draw. A disc that would touch an earlier one gets another place, up to 100 times.
    """
    import numpy

    places = numpy.indices(shape)
    image = numpy.full(shape, 70.0)
    labels = numpy.zeros(shape, dtype=numpy.uint8)
    smallest = min(shape)
    drawn = 0
    for _ in range(100):
        if drawn == discs:
            break
        radius = generator.uniform(0.13, 0.2) * smallest
        centre = [generator.uniform(radius + 1, size - radius - 2) for size in shape]
        distance = numpy.sqrt(sum((axis - middle) ** 2 for axis, middle in zip(places, centre, strict=True)))
        if labels[distance <= radius + 3].any():
            continue
        inside = distance <= radius
        image[inside] = 160.0
        labels[inside] = numpy.where(places[-1][inside] < centre[-1], LEFT, RIGHT)
        drawn += 1
    return image + generator.normal(0, 12, shape), labels


def make(raw: Path, *, training_cases: int = TRAINING_CASES, test_cases: int = TEST_CASES, seed: int = 2552) -> Path:
    """Writes the dataset in nnU-Net's raw format, as PNG files that any viewer can show.

    Args:
        raw: the folder that ``nnUNet_raw`` names; it is made if it is missing.

    Returns:
        The dataset's folder, with ``imagesTr``, ``labelsTr``, ``imagesTs``, ``labelsTs`` and ``dataset.json``.
    """
    import numpy
    from skimage import io

    folder = raw / DATASET_NAME
    generator = numpy.random.default_rng(seed)
    for suffix, cases in (("Tr", training_cases), ("Ts", test_cases)):
        images, labels = folder / f"images{suffix}", folder / f"labels{suffix}"
        images.mkdir(parents=True, exist_ok=True)
        labels.mkdir(parents=True, exist_ok=True)
        for number in range(cases):
            image, label = draw(SHAPE, generator)
            name = f"discs{suffix}_{number:03d}"
            eight_bits = image.clip(0, 255).astype(numpy.uint8)
            io.imsave(str(images / f"{name}_0000.png"), eight_bits, check_contrast=False)
            io.imsave(str(labels / f"{name}.png"), label, check_contrast=False)
    description = {
        "channel_names": {"0": "grey"},
        "labels": {"background": 0, "left": LEFT, "right": RIGHT},
        "numTraining": training_cases,
        "file_ending": ".png",
    }
    (folder / "dataset.json").write_text(json.dumps(description, indent=2))
    return folder
