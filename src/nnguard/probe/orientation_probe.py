"""The orientation probe: a known volume through the live pipeline, many times, and where it points then."""

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

#: Below this the draws say nothing; until twice as many, more are drawn (DA5 turns half of them away).
FEWEST_CLEAN = 32
#: Seconds of this thread's own work after which no further draws are begun: waiting for a busy node does not count.
#: The extension serves unsettled flips alone.
CLOCK = 30.0
#: In training a transform that raises ends the run, so a pipeline that raises here is being fed wrongly.
MOST_FAILURES = 0.1
DRAW_FAILED = "a draw failed"
#: Draws that a form gets to show that its codes survive.
TRIALS = 6
FIRST_SEED = 20552

Flip = tuple[int, ...]


class Tally(msgspec.Struct, kw_only=True):
    """What the draws showed. ``counts`` maps a flip to its clean draws, the plain view under ``()``.

    ``apart`` counts the clean draws whose image was flipped otherwise than its segmentation; ``failed``
    says why nothing could be drawn. ``form`` is how the pipeline was fed.
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
    """Draws from a copy of ``stages`` until each flip of ``declared`` is settled, or ``MOST_DRAWS``.

    Returns:
        The tally; ``failed`` is set when no form of feeding gave readable draws.
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
    # The first form is the likeliest, so its reason says most.
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
    """A draw that raises may be just the one that would have flipped: too many, and the rest is no sample."""
    failures = {why: count for why, count in tally.unclean.items() if why.startswith(DRAW_FAILED)}
    if sum(failures.values()) <= MOST_FAILURES * tally.draws:
        return None
    why = max(failures, key=lambda reason: failures[reason])
    return f"the pipeline cannot be fed a made case: {sum(failures.values())} of {tally.draws} draws failed ({why})"


def all_settled(tally: Tally, wanted: Iterable[Flip]) -> bool:
    """Whether drawing may stop at this look."""
    if tally.clean < 2 * FEWEST_CLEAN and tally.clean != tally.draws:
        return False
    alpha = alpha_at(tally.draws)
    return all(settled(flip, tally.counts, tally.clean, alpha) for flip in [(), *wanted])


def first_code_for(case: Case) -> int:
    """The lowest octant code: outside of the data set's labels, whatever they are."""
    return max(FIRST_CODE, max(case.labels, default=0) + 100)


def without_effect_on_orientation(transform: object) -> bool:
    """Whether the probe leaves this transform out: it cannot change where the volume points."""
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
