"""Which flip a volume has been given: from the slopes of coded halves to a set of axes.

A volume is coded so that its orientation can be read back after any augmentation. The segmentation
holds, per voxel, in which half of each axis it lies; the image holds, per axis, a fine texture in the
upper half only. Halves and texture survive rotation, scaling, elastic deformation and cropping, and the
texture's place survives inversion, gamma and gradients, which a ramp of intensities would not.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import msgspec
import numpy as np
import torch
import torch.nn.functional as functional

#: Octant codes start here or above the data set's labels, whatever is higher, so that relabelling cannot touch them.
FIRST_CODE = 1000
#: A draw that is turned further than this from the nearest flip says nothing about flips. Half of the way
#: to the next flip is 45 degrees; the rest is room for elastic deformation.
LARGEST_TURN = 40.0
#: Slopes whose weakest direction is below this share of the strongest are no rotation any more.
FLATTEST = 0.2
#: Share of the central region that must carry codes.
ENOUGH_CODES = 0.5
#: How well the image must follow, or contradict, what the segmentation says (cosine of the slopes). One
#: axis of three flipped leaves a mean cosine of a third, one of two leaves nought, one channel for two axes a half.
FOLLOWS, CONTRADICTS = 0.7, 0.55
TEXTURE = 0.5


class Orientation(msgspec.Struct, frozen=True, kw_only=True):
    """What one draw shows. ``flip`` is ``None`` in an unclean draw; ``turn`` is in degrees.

    ``apart`` is the flip of the image against the segmentation: ``()`` when they agree, ``None`` when the
    image cannot be read.
    """

    flip: tuple[int, ...] | None
    turn: float | None = None
    apart: tuple[int, ...] | None = None
    why: str = ""


def coded_segmentation(shape: tuple[int, ...], first_code: int) -> np.ndarray:
    """Octant codes of shape ``shape``: ``first_code`` plus, for each axis, a bit for its upper half."""
    code = np.full(shape, first_code, dtype=np.int16)
    for axis, size in enumerate(shape):
        upper = (np.arange(size) >= size / 2).astype(np.int16) << axis
        code += upper.reshape([-1 if other == axis else 1 for other in range(len(shape))])
    return code


def textured_image(shape: tuple[int, ...], channels: int) -> np.ndarray:
    """An image of shape ``(channels, *shape)``; channel ``c`` codes axis ``c % len(shape)``.

    A slight ramp along the axis, and a checkerboard of two-voxel cells in its upper half.
    """
    image = np.zeros((channels, *shape), dtype=np.float32)
    grid = np.indices(shape)
    checkerboard = (np.sum(grid // 2, axis=0) % 2 * 2 - 1).astype(np.float32) * TEXTURE
    for channel, weights in enumerate(channel_weights(channels, len(shape))):
        for axis, weight in enumerate(weights):
            if weight:
                ramp = (grid[axis] / max(shape[axis] - 1, 1) - 0.5).astype(np.float32)
                image[channel] += weight * (0.5 * ramp + checkerboard * (grid[axis] >= shape[axis] / 2))
    return image


def channel_weights(channels: int, dims: int) -> np.ndarray:
    """How strongly each channel codes each axis, shape ``(channels, dims)``.

    One axis a channel where there are enough; a single channel codes all axes, unequally, and two of
    three dimensions share the second.
    """
    weights = np.zeros((channels, dims), dtype=np.float32)
    for channel in range(channels):
        weights[channel, channel % dims] = 1.0
    for axis in range(channels, dims):
        weights[channels - 1, axis] = 1.0
    return weights


def read_orientation(segmentation: np.ndarray, image: torch.Tensor | None, first_code: int) -> Orientation:
    """Reads the flip of one draw.

    Args:
        segmentation: integer codes, shape ``space``.
        image: shape ``(channels, *space)``; ``None`` leaves the cross-check out.
        first_code: what ``coded_segmentation`` was made with.
    """
    dims = segmentation.ndim
    codes = np.rint(segmentation).astype(np.int64) - first_code
    coded = (codes >= 0) & (codes < 2**dims)
    halves = np.stack([np.where(coded, (codes >> axis & 1) * 2.0 - 1.0, 0.0) for axis in range(dims)])
    slopes = _slopes(halves, coded, central=True)
    if slopes is None or np.min(np.linalg.norm(slopes, axis=1)) < 1e-6:
        slopes = _slopes(halves, coded, central=False)
    if slopes is None:
        return Orientation(flip=None, why="the segmentation's codes did not survive")
    turned = nearest_flip(slopes)
    if turned is None:
        return Orientation(flip=None, why="the halves of an axis left the patch")
    flip, turn, rotation = turned
    if turn > LARGEST_TURN:
        return Orientation(flip=None, turn=turn, why="turned too far from any flip")
    return Orientation(flip=flip, turn=turn, apart=None if image is None else _apart(image, rotation))


def _slopes(values: np.ndarray, where: np.ndarray, *, central: bool) -> np.ndarray | None:
    """Least-squares slopes of ``values`` (rows, space) along each axis, shape ``(rows, dims)``.

    The central region is a ball, in voxels, for only there a rotation leaves the region as it is.
    """
    shape = where.shape
    grid = [np.arange(size) - (size - 1) / 2 for size in shape]
    region = where
    if central:
        radius = min(shape) / 2
        distance = sum(np.square(g).reshape(_along(axis, len(shape))) for axis, g in enumerate(grid))
        ball = distance <= radius**2
        region = where & ball
        if region.sum() < ENOUGH_CODES * ball.sum():
            return None
    count = region.sum()
    if count < 2 ** len(shape):
        return None
    slopes = np.zeros((len(values), len(shape)))
    for axis, g in enumerate(grid):
        position = np.broadcast_to(g.reshape(_along(axis, len(shape))), shape)[region]
        position = position - position.mean()
        spread = np.square(position).sum()
        if spread == 0:
            return None
        slopes[:, axis] = [(row[region] * position).sum() / spread for row in values]
    return slopes


def _along(axis: int, dims: int) -> list[int]:
    return [-1 if other == axis else 1 for other in range(dims)]


def nearest_flip(slopes: np.ndarray) -> tuple[tuple[int, ...], float, np.ndarray] | None:
    """The flip nearest to a matrix of slopes.

    Args:
        slopes: shape ``(dims, dims)``; how the half of each input axis (row) changes along each output axis.

    Returns:
        The flip, the angle in degrees that remains when it is undone, and the rotation-with-flip nearest
        to the slopes (its polar factor); ``None`` when the slopes are degenerate.
    """
    # Scaled rows: an axis that was zoomed or cropped has a gentler slope, and is turned no less.
    lengths = np.linalg.norm(slopes, axis=1, keepdims=True)
    if np.min(lengths) <= 1e-9:
        return None
    left, strength, right = np.linalg.svd(slopes / lengths)
    if strength[-1] < FLATTEST * strength[0]:
        return None
    rotation = left @ right
    dims = len(slopes)
    best: tuple[tuple[int, ...], float] | None = None
    for signs in product((1.0, -1.0), repeat=dims):
        proper = rotation * np.asarray(signs)
        if np.linalg.det(proper) < 0:
            continue
        cosine = (np.trace(proper) - (dims - 2)) / 2
        turn = float(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))))
        if best is None or turn < best[1] - 1e-9:
            best = tuple(axis for axis, sign in enumerate(signs) if sign < 0), turn
    assert best is not None  # of all sign patterns, half are proper
    return best[0], best[1], rotation


def texture_slopes(image: torch.Tensor) -> np.ndarray | None:
    """Slopes of the texture's energy along each axis, one row a channel; ``None`` where it is gone."""
    dims = image.ndim - 1
    pool: Any = functional.avg_pool2d if dims == 2 else functional.avg_pool3d
    stack = torch.as_tensor(image).detach().to("cpu", torch.float32)[:, None]
    if not torch.isfinite(stack).all() or min(stack.shape[2:]) < 5:
        return None
    smooth = pool(stack, 3, stride=1, padding=1, count_include_pad=False)
    energy = pool((stack - smooth).abs(), 3, stride=1, padding=1, count_include_pad=False)[:, 0].numpy()
    inside = np.ones(energy.shape[1:], dtype=bool)
    return _slopes(energy, inside, central=True)


def _apart(image: torch.Tensor, rotation: np.ndarray) -> tuple[int, ...] | None:
    """The flip by which the image differs from the segmentation's rotation; ``None`` where it is not clear."""
    seen = texture_slopes(image)
    if seen is None:
        return None
    expected = channel_weights(len(seen), image.ndim - 1) @ rotation
    scores = {}
    for signs in product((1.0, -1.0), repeat=rotation.shape[1]):
        flip = tuple(axis for axis, sign in enumerate(signs) if sign < 0)
        scores[flip] = _agreement(seen, expected * np.asarray(signs))
    if scores[()] >= FOLLOWS:
        return ()
    best = max(scores, key=lambda flip: scores[flip])
    return best if scores[best] >= FOLLOWS and scores[()] <= CONTRADICTS else None


def _agreement(seen: np.ndarray, expected: np.ndarray) -> float:
    """Mean cosine over the axes, each the mean of the channels that code it and show anything."""
    norms = np.linalg.norm(seen, axis=1) * np.linalg.norm(expected, axis=1)
    dims = expected.shape[1]
    by_axis: list[float] = []
    for axis in range(min(dims, len(seen))):
        channels = [channel for channel in range(axis, len(seen), dims) if norms[channel] > 1e-9]
        if channels:
            by_axis.append(float(np.mean([(seen[c] * expected[c]).sum() / norms[c] for c in channels])))
    return float(np.mean(by_axis)) if by_axis else 0.0


def image_flip(image: torch.Tensor) -> tuple[tuple[int, ...], float] | None:
    """The flip and turn (degrees) that the image alone shows; needs a channel for each axis."""
    dims = image.ndim - 1
    if len(image) < dims:
        return None
    seen = texture_slopes(image[:dims])
    turned = None if seen is None else nearest_flip(seen)
    return None if turned is None or turned[1] > LARGEST_TURN else turned[:2]
