"""The orientation probe: sends a coded volume through the live pipeline many times and counts the flips."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable

import msgspec
import numpy as np

from ..flips import FEWEST_DRAWS, LOOK_EVERY, MOST_DRAWS, alpha_at, flips_of, settled
from ..foreign_calls import Failed, attempt
from .library_transforms import changes_only_intensity, changes_only_representation
from .orientation import FIRST_CODE, Orientation, coded_segmentation, read_orientation, textured_image
from .pipeline import Stage
from .pipeline_copy import untouched_randomness
from .samples import Case, Draw, Form, Runner, forms_of

#: Fewer usable samples say nothing. Below twice this number the probe continues (half of DA5's samples are rotated
#: too far).
FEWEST_CLEAN = 32
#: After this many seconds of this thread's own CPU time the probe starts no more samples. Waiting for a busy node does
#: not count. Only unsettled flips need that long.
CLOCK = 30.0
#: A transform that raises in training ends the run. A pipeline that raises here therefore gets the wrong input.
MOST_FAILURES = 0.1
DRAW_FAILED = "a draw failed"
#: A form has this many samples to show that its codes survive.
TRIALS = 6
FIRST_SEED = 20552

Flip = tuple[int, ...]


class Tally(msgspec.Struct, kw_only=True):
    """What the samples showed. ``draws`` counts all samples, ``clean`` the usable ones.

    ``counts`` maps a flip to its usable samples; the plain view is ``()``. ``compared`` counts usable samples whose
    image was readable, ``apart`` those of them whose image was flipped otherwise than the segmentation. ``failed``
    says why there is no sample. ``form`` is how the pipeline was fed.
    """

    draws: int = 0
    clean: int = 0
    counts: Counter[Flip] = msgspec.field(default_factory=Counter)
    apart: int = 0
    compared: int = 0
    unclean: Counter[str] = msgspec.field(default_factory=Counter)
    failed: str | None = None
    form: Form | None = None
    settled: bool = True

    def add(self, orientation: Orientation) -> None:
        self.draws += 1
        if orientation.flip is None:
            self.unclean[orientation.why] += 1
            return
        self.clean += 1
        self.counts[orientation.flip] += 1
        if orientation.apart is not None:
            self.compared += 1
            self.apart += orientation.apart != ()


def probe(stages: list[Stage], case: Case, declared: Iterable[int] = ()) -> Tally:
    """Samples a copy of ``stages`` until each flip of the ``declared`` axes is settled, at most ``MOST_DRAWS`` times.

    Returns:
        The tally. Its ``failed`` is set if no form of input gave usable samples.
    """
    started = time.thread_time()
    reasons: list[str] = []
    with untouched_randomness(*(stage.transform for stage in stages)):
        for form in forms_of(case, stages):
            runner = attempt(Runner, stages, case, form, without_effect_on_orientation)
            if isinstance(runner, Failed):
                reasons = [f"the pipeline cannot be copied ({runner})"]
                break
            reason = _readable(runner, case)
            if reason is None:
                tally = _drawn(runner, case, declared, started)
                reason = _too_many_failures(tally)
                if reason is None:
                    return tally
            reasons.append(reason)
    # The first form is the most likely one, so its reason says most.
    return Tally(failed=reasons[0])


def _drawn(runner: Runner, case: Case, declared: Iterable[int], started: float) -> Tally:
    tally = Tally(form=runner.form)
    first_code = first_code_for(case)
    image, segmentation = _coded_case(case, runner.form, first_code)
    wanted = [flip for flip in flips_of(declared) if max(flip) < case.dims]
    while tally.draws < MOST_DRAWS:
        tally.add(_orientation(runner.draw(image, segmentation, FIRST_SEED + tally.draws), first_code, runner.form))
        if tally.draws < FEWEST_DRAWS or tally.draws % LOOK_EVERY:
            continue
        if _too_many_failures(tally):
            break
        tally.settled = all_settled(tally, wanted)
        if tally.settled or time.thread_time() - started > CLOCK:
            break
    return tally


def _too_many_failures(tally: Tally) -> str | None:
    """Says what failed if too many samples raised: those may be the flipped ones, so the rest would be biased."""
    failures = {why: count for why, count in tally.unclean.items() if why.startswith(DRAW_FAILED)}
    if sum(failures.values()) <= MOST_FAILURES * tally.draws:
        return None
    why = max(failures, key=lambda reason: failures[reason])
    return f"the pipeline cannot be fed a made case: {sum(failures.values())} of {tally.draws} draws failed ({why})"


def all_settled(tally: Tally, wanted: Iterable[Flip]) -> bool:
    """Whether the probe may stop at this look."""
    if tally.clean < 2 * FEWEST_CLEAN and tally.clean != tally.draws:
        return False
    alpha = alpha_at(tally.draws)
    return all(settled(flip, tally.counts, tally.clean, alpha) for flip in [(), *wanted])


def first_code_for(case: Case) -> int:
    """The lowest octant code, above all labels of the data set."""
    return max(FIRST_CODE, max(case.labels, default=0) + 100)


def without_effect_on_orientation(transform: object) -> bool:
    """Whether the probe may skip this transform, because it cannot change the volume's orientation."""
    return changes_only_intensity(transform) or changes_only_representation(transform)


def _readable(runner: Runner, case: Case) -> str | None:
    first_code = first_code_for(case)
    image, segmentation = _coded_case(case, runner.form, first_code)
    why = ""
    for trial in range(TRIALS):
        drawn = runner.draw(image, segmentation, FIRST_SEED + trial)
        orientation = _orientation(drawn, first_code, runner.form)
        if orientation.flip is not None:
            return None
        why = f"the pipeline cannot be fed a made case ({drawn})" if isinstance(drawn, Failed) else orientation.why
    return why


def _coded_case(case: Case, form: Form, first_code: int) -> tuple[np.ndarray, np.ndarray]:
    codes = coded_segmentation(form.initial, first_code)
    return textured_image(form.initial, form.channels), np.stack([codes] * case.segmentations)


def _orientation(drawn: Draw | Failed, first_code: int, form: Form) -> Orientation:
    if isinstance(drawn, Failed):
        return Orientation(flip=None, why=f"{DRAW_FAILED}: {drawn}")
    segmentation = drawn.segmentation
    while segmentation.ndim > len(form.patch):
        segmentation = segmentation[0]
    if segmentation.shape != form.patch:
        shape = "x".join(map(str, segmentation.shape))
        return Orientation(flip=None, why=f"the segmentation came out as {shape}, not {'x'.join(map(str, form.patch))}")
    image = drawn.image[: form.channels] if drawn.image.ndim == len(form.patch) + 1 else None
    if image is not None and image.shape[1:] != segmentation.shape:
        image = None
    return read_orientation(segmentation, image, first_code)
