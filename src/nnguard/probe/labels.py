"""Whether labels mean the same after a flip: samples with the data set's real labels, each in a known place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Literal

import msgspec
import numpy as np

from ..effect.statistics import dice_by_label
from ..foreign_calls import Failed, attempt
from .library_transforms import changes_only_intensity, changes_only_representation, only_resamples
from .orientation import image_flip, textured_image
from .pipeline import Stage
from .pipeline_copy import untouched_randomness
from .samples import Case, Draw, Form, Runner, central

Flip = tuple[int, ...]
Mapping = tuple[tuple[int, int], ...]

MOST_DRAWS = 192
#: This many usable samples of a flip, and of the plain view, decide what happens to labels.
ENOUGH = 6
#: Fewer usable samples than this say nothing about a flip.
FEWEST = 2
#: Samples rotated further than this (degrees) are ignored, because voxels are compared without undoing the rotation.
LARGEST_TURN = 8.0
#: At least this share of a label's voxels must agree on what the label has become.
CLEAR = 0.6
#: Labels are "mixed" if the rarer behaviour has at least this share of a flip's samples.
MIXED = 0.1
FIRST_SEED = 31337


class LabelBehaviour(msgspec.Struct, frozen=True, kw_only=True):
    """What a flip does to labels. ``permutation``: source label -> new label; it lists only labels that change.

    If a training with regions exchanges the region channels after conversion, the numbers are region channels,
    counted from 1.
    """

    labels: Literal["kept", "swapped", "mixed", "unknown"]
    permutation: dict[int, int] | None = None


def label_behaviour(
    stages: list[Stage], case: Case, form: Form, flips: Iterable[Flip], strangers: bool
) -> dict[Flip, LabelBehaviour]:
    """What each of ``flips`` does to the labels, compared with what the plain view does to them.

    Args:
        stages, case, form: as the orientation probe used them.
        flips: the flips that training shows.
        strangers: whether the pipeline has transforms from outside the libraries. Only such a transform can
            exchange region channels after conversion, and that check needs a second series of samples.
    """
    flips = [flip for flip in flips if flip]
    if not strangers:
        # Rotation and zoom take most of a sample's time. Library transforms flip independently of them, so they can go.
        unturned = msgspec.structs.replace(form, initial=form.patch)
        found = _series(stages, case, unturned, flips, _without_resampling, _by_label)
        if all(behaviour.labels != "unknown" for behaviour in found.values()):
            return found
    found = _series(stages, case, form, flips, _without_representation, _by_label)
    if case.regions and strangers:
        regions = _series(stages, case, form, flips, changes_only_intensity, _by_region)
        for flip, behaviour in regions.items():
            if found[flip].labels in ("kept", "unknown") and behaviour.labels != "unknown":
                found[flip] = behaviour
    return found


def _without_representation(transform: object) -> bool:
    return changes_only_intensity(transform) or changes_only_representation(transform)


def _without_resampling(transform: object) -> bool:
    return _without_representation(transform) or only_resamples(transform)


Reader = Callable[[np.ndarray, np.ndarray, Case, Flip], "Mapping | None"]


def _series(
    stages: list[Stage],
    case: Case,
    form: Form,
    flips: Sequence[Flip],
    without: Callable[[object], bool],
    read: Reader,
) -> dict[Flip, LabelBehaviour]:
    """Runs one series of samples and classifies each flip by the mappings of labels that it showed."""
    seen: dict[Flip, Counter[Mapping]] = {flip: Counter() for flip in [(), *flips]}
    with untouched_randomness(*(stage.transform for stage in stages)):
        runner = attempt(Runner, stages, case, form, without)
        if not isinstance(runner, Failed):
            image = textured_image(form.initial, form.channels)
            placed = placed_labels(form.initial, form.patch, case.labels)
            segmentation = np.stack([placed] * case.segmentations)
            cut = central(placed, form.patch)
            for number in range(MOST_DRAWS):
                _note(runner.draw(image, segmentation, FIRST_SEED + number), cut, case, read, seen)
                if all(sum(counter.values()) >= ENOUGH for counter in seen.values()):
                    break
    plain = dict(seen[()].most_common(1)[0][0]) if seen[()] else {}
    return {flip: _behaviour(seen[flip], plain) for flip in flips}


def _note(drawn: Draw | Failed, cut: np.ndarray, case: Case, read: Reader, seen: dict[Flip, Counter[Mapping]]) -> None:
    if isinstance(drawn, Failed) or drawn.image.ndim != case.dims + 1 or len(drawn.image) < case.dims:
        return
    turned = image_flip(drawn.image)
    if turned is None or turned[1] > LARGEST_TURN or turned[0] not in seen:
        return
    if drawn.segmentation.shape[-case.dims :] != cut.shape:
        return
    mapping = read(drawn.segmentation, cut, case, turned[0])
    if mapping is not None:
        seen[turned[0]][mapping] += 1


def _behaviour(seen: Counter[Mapping], plain: dict[int, int]) -> LabelBehaviour:
    """Kept, swapped or mixed, compared with the mapping that the plain view shows."""
    total = sum(seen.values())
    if total < FEWEST:
        return LabelBehaviour(labels="unknown")
    changes: Counter[Mapping] = Counter()
    for mapping, count in seen.items():
        changed = {plain.get(source, source): new for source, new in mapping if plain.get(source, source) != new}
        changes[tuple(sorted(changed.items()))] += count
    swapped = total - changes[()]
    if swapped < max(2, MIXED * total):
        return LabelBehaviour(labels="kept")
    most_common = next(change for change, _ in changes.most_common() if change)
    kind: Literal["swapped", "mixed"] = "mixed" if changes[()] >= max(2, MIXED * total) else "swapped"
    return LabelBehaviour(labels=kind, permutation=dict(most_common))


def placed_labels(shape: Flip, patch: Flip, labels: Sequence[int]) -> np.ndarray:
    """A segmentation of shape ``shape`` in which each label has cells of its own within the central ``patch``.

    A fixed seed shuffles the order, so that no flip maps the arrangement onto itself.
    """
    ordered = sorted(set(labels))
    cells = [1] * len(patch)
    while int(np.prod(cells)) < max(2 * len(ordered), 2 ** len(patch)):
        roomiest = max(range(len(patch)), key=lambda axis: patch[axis] / cells[axis])
        if patch[roomiest] / cells[roomiest] < 3:
            break
        cells[roomiest] *= 2
    number = int(np.prod(cells))
    repeated = np.resize(np.asarray(ordered, dtype=np.int16), number)
    np.random.RandomState(7).shuffle(repeated)
    grid = repeated.reshape(cells)
    indices = [np.minimum(np.arange(side) * count // side, count - 1) for side, count in zip(patch, cells, strict=True)]
    inner = grid[np.ix_(*indices)]
    before = [(full - side) // 2 for full, side in zip(shape, patch, strict=True)]
    after = [full - side - first for full, side, first in zip(shape, patch, before, strict=True)]
    return np.pad(inner, list(zip(before, after, strict=True)), mode="edge")


def _by_label(segmentation: np.ndarray, cut: np.ndarray, case: Case, flip: Flip) -> Mapping | None:
    """What each label has become, if a clear majority of its voxels agrees; ``None`` for a blurred sample."""
    while segmentation.ndim > case.dims:
        segmentation = segmentation[0]
    source, result = np.flip(cut, flip), np.rint(segmentation).astype(np.int64)
    mapping, clear = [], 0
    for label in sorted(set(case.labels)):
        there = source == label
        if not there.any():
            continue
        values, counts = np.unique(result[there], return_counts=True)
        best = int(np.argmax(counts))
        if counts[best] >= CLEAR * counts.sum():
            clear += 1
            mapping.append((label, int(values[best])))
    return tuple(mapping) if clear >= CLEAR * len(set(case.labels)) else None


def _by_region(segmentation: np.ndarray, cut: np.ndarray, case: Case, flip: Flip) -> Mapping | None:
    """Which output channel each region has become, by overlap (Dice). Channels are counted from 1.

    ``None`` if any region matches no channel clearly.
    """
    regions = case.regions or ()
    if segmentation.ndim != case.dims + 1 or len(segmentation) < len(regions):
        return None
    source = np.flip(cut, flip)
    mapping = []
    for number, members in enumerate(regions, 1):
        there = np.isin(source, members)
        overlaps = [dice_by_label(there, channel > 0, [1])[1] or 0.0 for channel in segmentation[: len(regions)]]
        best = int(np.argmax(overlaps))
        if overlaps[best] < CLEAR:
            return None
        mapping.append((number, best + 1))
    return tuple(mapping)
