"""Whether labels mean the same after a flip: draws with the data set's real labels, each in its place."""

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
#: Usable draws of a flip, and of the plain view, after which its labels are settled.
ENOUGH = 6
#: Fewer usable draws than this say nothing about a flip.
FEWEST = 2
#: Draws turned further than this are set aside: places are compared without undoing the turn.
LARGEST_TURN = 8.0
#: The share of a label's voxels that must agree on what it has become.
CLEAR = 0.6
#: Of a flip's draws, the share of the rarer behaviour from which on labels are "mixed".
MIXED = 0.1
FIRST_SEED = 31337


class LabelBehaviour(msgspec.Struct, frozen=True, kw_only=True):
    """What a flip does to labels. ``permutation``: source label -> new label, those that change alone.

    In trainings with regions whose channels are exchanged after conversion, labels stand for region
    channels, counted from 1.
    """

    labels: Literal["kept", "swapped", "mixed", "unknown"]
    permutation: dict[int, int] | None = None


def label_behaviour(
    stages: list[Stage], case: Case, form: Form, flips: Iterable[Flip], strangers: bool
) -> dict[Flip, LabelBehaviour]:
    """What each of ``flips`` does to the labels, compared with what plain draws do to them.

    Args:
        stages, case, form: as the orientation probe used them.
        flips: those that training shows.
        strangers: whether the pipeline has transforms that are no library's; only then can region
            channels be exchanged after conversion, which costs a second series of draws.
    """
    flips = [flip for flip in flips if flip]
    if not strangers:
        # Turning and zooming costs most of a draw, and here what flips has no say in it: the mirrors alone are drawn.
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
    """One series of draws: for each flip, how often which mapping of labels was seen."""
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
    """Kept, swapped or mixed, against what plain draws do to labels."""
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
    """A segmentation in which each label has cells of its own within the central ``patch``.

    The order is shuffled once, by a fixed seed, so that no flip maps the arrangement onto itself.
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
    """What each label has become, where a clear majority of its voxels agrees; ``None`` for a blurred draw."""
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
    """Which output channel each region has become, by overlap (Dice); channels counted from 1."""
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
