"""Reads which flip a volume has received, from slopes of coded halves.

The volume is coded so that its orientation is readable after any augmentation. For each voxel, the segmentation
says in which half of each axis the voxel lies. For each axis, the image has a fine texture in the upper half only.
Halves and texture survive rotation, scaling, elastic deformation and cropping. The texture's place also survives
inversion, gamma and gradients; a ramp of intensities would not.
"""

from __future__ import annotations

import functools
from itertools import product

import msgspec
import numpy as np
import torch

#: Octant codes start here, or above the data set's labels if those are higher, so that relabelling cannot hit them.
FIRST_CODE = 1000
#: A sample rotated further than this (degrees) from the nearest flip says nothing about flips. Halfway to the
#: next flip is 45 degrees; the difference allows for elastic deformation.
LARGEST_TURN = 40.0
#: The slopes are not a rotation if their weakest direction is below this share of the strongest.
FLATTEST = 0.2
#: At least this share of the central region must carry codes.
ENOUGH_CODES = 0.5
#: The image follows the segmentation from the first cosine of their slopes on, and contradicts it up to the second.
#: If one axis of three is flipped, the mean cosine is 1/3; one of two: 0; one channel for two axes: 1/2.
FOLLOWS, CONTRADICTS = 0.7, 0.55
TEXTURE = 0.5


class Orientation(msgspec.Struct, frozen=True, kw_only=True):
    """What one sample shows. ``flip`` is ``None`` if the sample is not usable; ``turn`` is in degrees.

    ``apart`` is the flip of the image relative to the segmentation: ``()`` if they agree, ``None`` if the
    image is not readable. ``why`` is the reason why a sample is not usable.
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

    Each channel has a slight ramp along its axis and a checkerboard of two-voxel cells in the axis's upper half.
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

    Each channel codes one axis if there are enough channels. Otherwise the last channel codes all remaining axes.
    """
    weights = np.zeros((channels, dims), dtype=np.float32)
    for channel in range(channels):
        weights[channel, channel % dims] = 1.0
    for axis in range(channels, dims):
        weights[channels - 1, axis] = 1.0
    return weights


def read_orientation(segmentation: np.ndarray, image: torch.Tensor | None, first_code: int) -> Orientation:
    """Reads the flip of one sample.

    Args:
        segmentation: integer codes, shape ``space``.
        image: shape ``(channels, *space)``; ``None`` skips the comparison with the segmentation.
        first_code: the ``first_code`` that was given to ``coded_segmentation``.
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

    The central region is a ball, in voxels, because a rotation maps only a ball onto itself.
    """
    region = where
    if central:
        ball = _ball(where.shape)
        region = where & ball
        if (coded := region.sum()) < ENOUGH_CODES * ball.sum():
            return None
        if coded == ball.sum():
            return _slopes_in_ball(values)
    chosen = np.flatnonzero(region)
    if len(chosen) < 2**where.ndim:
        return None
    weights = _weights(where.shape, chosen)
    return None if weights is None else values.reshape(len(values), -1)[:, chosen] @ weights


def _slopes_in_ball(values: np.ndarray) -> np.ndarray | None:
    chosen, weights = _weights_of_ball(values.shape[1:])
    return None if weights is None else values.reshape(len(values), -1)[:, chosen] @ weights


@functools.lru_cache(maxsize=16)
def _weights_of_ball(shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray | None]:
    chosen = np.flatnonzero(_ball(shape))
    return chosen, _weights(shape, chosen)


def _weights(shape: tuple[int, ...], chosen: np.ndarray) -> np.ndarray | None:
    """The weight of each chosen voxel in the slope along each axis, shape ``(voxels, dims)``."""
    positions = np.stack(np.unravel_index(chosen, shape), axis=1).astype(np.float64)
    positions -= positions.mean(axis=0)
    spread = np.square(positions).sum(axis=0)
    return positions / spread if spread.all() else None


@functools.lru_cache(maxsize=16)
def _ball(shape: tuple[int, ...]) -> np.ndarray:
    grid = [np.arange(size) - (size - 1) / 2 for size in shape]
    distance = sum(np.square(g).reshape(_along(axis, len(shape))) for axis, g in enumerate(grid))
    return np.asarray(distance <= (min(shape) / 2) ** 2)


def _along(axis: int, dims: int) -> list[int]:
    return [-1 if other == axis else 1 for other in range(dims)]


def nearest_flip(slopes: np.ndarray) -> tuple[tuple[int, ...], float, np.ndarray] | None:
    """The flip nearest to a matrix of slopes.

    Args:
        slopes: shape ``(dims, dims)``; how the half of each input axis (row) changes along each output axis.

    Returns:
        The flip, the rotation in degrees that remains after it is undone, and the orthogonal matrix nearest to the
        slopes (their polar factor). ``None`` if the slopes are degenerate.
    """
    # A zoomed or cropped axis has a smaller slope but the same direction, so each row is scaled to length 1.
    lengths = np.linalg.norm(slopes, axis=1, keepdims=True)
    if np.min(lengths) <= 1e-9:
        return None
    left, strength, right = np.linalg.svd(slopes / lengths)
    if strength[-1] < FLATTEST * strength[0]:
        return None
    rotation = left @ right
    dims = len(slopes)
    proper = [signs for signs in _sign_patterns(dims) if np.prod(signs) == np.sign(np.linalg.det(rotation))]
    traces = np.asarray(proper) @ np.diag(rotation)
    # Among ties, up to rounding, the flip of the lowest axes wins.
    signs = proper[int(np.argmax(traces >= traces.max() - 1e-9))]
    cosine = (traces.max() - (dims - 2)) / 2
    turn = float(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))))
    return _flipped(signs), turn, rotation


@functools.lru_cache(maxsize=4)
def _sign_patterns(dims: int) -> tuple[tuple[float, ...], ...]:
    return tuple(product((1.0, -1.0), repeat=dims))


def _flipped(signs: tuple[float, ...]) -> tuple[int, ...]:
    return tuple(axis for axis, sign in enumerate(signs) if sign < 0)


def texture_slopes(image: torch.Tensor) -> np.ndarray | None:
    """Slopes of the texture's energy along each axis, shape ``(channels, dims)``; ``None`` if they are not readable."""
    stack = torch.as_tensor(image).detach().to("cpu", torch.float32).numpy()
    if not np.isfinite(stack).all() or min(stack.shape[1:]) < 5:
        return None
    return _slopes_in_ball(_smoothed(np.abs(stack - _smoothed(stack))))


def _smoothed(stack: np.ndarray) -> np.ndarray:
    """Means over three voxels along each axis except the first; over two voxels at an edge.

    Sums of shifted slices take a fifth of the time of average pooling.
    """
    for axis in range(1, stack.ndim):
        before, after = (slice(None),) * axis + (slice(None, -1),), (slice(None),) * axis + (slice(1, None),)
        sums = stack.copy()
        sums[after] += stack[before]
        sums[before] += stack[after]
        stack = sums
    stack *= _shares(stack.shape[1:])
    return stack


@functools.lru_cache(maxsize=16)
def _shares(shape: tuple[int, ...]) -> np.ndarray:
    shares = np.ones(shape, dtype=np.float32)
    for axis, size in enumerate(shape):
        along = np.full(size, 1 / 3, dtype=np.float32)
        along[[0, -1]] = 1 / 2
        shares *= along.reshape(_along(axis, len(shape)))
    return shares


def _apart(image: torch.Tensor, rotation: np.ndarray) -> tuple[int, ...] | None:
    """The flip of the image relative to the segmentation, which has ``rotation``; ``None`` if it is not clear."""
    seen = texture_slopes(image)
    if seen is None:
        return None
    expected = channel_weights(len(seen), image.ndim - 1) @ rotation
    if _agreement(seen, expected) >= FOLLOWS:
        return ()
    scores = {
        _flipped(signs): _agreement(seen, expected * np.asarray(signs)) for signs in _sign_patterns(rotation.shape[1])
    }
    best = max(scores, key=lambda flip: scores[flip])
    return best if scores[best] >= FOLLOWS and scores[()] <= CONTRADICTS else None


def _agreement(seen: np.ndarray, expected: np.ndarray) -> float:
    """The mean cosine over the axes; an axis has the mean of the channels that code it and are not flat."""
    norms = np.linalg.norm(seen, axis=1) * np.linalg.norm(expected, axis=1)
    dims = expected.shape[1]
    by_axis: list[float] = []
    for axis in range(min(dims, len(seen))):
        channels = [channel for channel in range(axis, len(seen), dims) if norms[channel] > 1e-9]
        if channels:
            by_axis.append(float(np.mean([(seen[c] * expected[c]).sum() / norms[c] for c in channels])))
    return float(np.mean(by_axis)) if by_axis else 0.0


def image_flip(image: torch.Tensor) -> tuple[tuple[int, ...], float] | None:
    """The flip and the remaining rotation (degrees) that the image alone shows; it needs a channel for each axis."""
    dims = image.ndim - 1
    if len(image) < dims:
        return None
    seen = texture_slopes(image[:dims])
    turned = None if seen is None else nearest_flip(seen)
    return None if turned is None or turned[1] > LARGEST_TURN else turned[:2]
