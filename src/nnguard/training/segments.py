"""What a training of several segments showed: joins segments and weights them by their optimiser steps."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ..flips import flips_of, interval, safe_axes, verdict_of
from ..record import Axes, FlipEvidence, Labels, Mirroring, Record, Segment, State

#: If more than a tenth of the steps were not observed, the whole is unknown, because they may have shown other flips
#: often enough to matter: a flip counts as trained from a tenth of the plain view's frequency on.
UNKNOWN_SHARE = 0.1

#: A segment takes a thousand bytes, and a record has a budget of sixteen thousand.
MOST_SEGMENTS = 8

#: States of a whole training that replace what its segments say: its owner stated it, or its network was measured.
STATED: tuple[State, ...] = ("declared", "measured")


def earlier(record: Record | None, no_record: str | None, steps: int) -> list[Segment]:
    """The segments before a resume.

    Args:
        record: the checkpoint's record; ``no_record`` says why there is none.
        steps: optimiser steps until the checkpoint, computed from nnU-Net's count of epochs.
    """
    if record is None:
        reason = f"resumed from a checkpoint without a record ({no_record})"
        unknown = Mirroring(state="unknown", reasons=[reason])
        return [Segment(epoch=0, steps=steps, fingerprint=None, mirroring=unknown)]
    if not record.segments:
        return [Segment(epoch=0, steps=steps, fingerprint=None, mirroring=record.mirroring)]
    if record.mirroring.state not in STATED:
        return list(record.segments)
    known = sum(segment.steps for segment in record.segments)
    return [Segment(epoch=0, steps=known or steps, fingerprint=None, mirroring=record.mirroring)]


def merged(segments: Sequence[Segment]) -> list[Segment]:
    """The segments, with neighbours that augment in the same way joined to one that has the steps of both."""
    result: list[Segment] = []
    for segment in segments:
        last = result[-1] if result else None
        if last is not None and _alike(last, segment):
            result[-1] = _joined(last, segment, segment.mirroring)
        else:
            result.append(segment)
    return result


def bounded(segments: Sequence[Segment]) -> list[Segment]:
    """At most ``MOST_SEGMENTS``: the earliest neighbours with the same state become one, with the mixture of both.

    Otherwise a training that is resumed a hundred times would make each checkpoint a hundred kilobytes larger.
    """
    result = list(segments)
    while len(result) > MOST_SEGMENTS:
        pairs = range(len(result) - 2)  # the last segment stays alone, because it is still in training
        place = next((n for n in pairs if result[n].mirroring.state == result[n + 1].mirroring.state), 0)
        first, second = result[place : place + 2]
        result[place : place + 2] = [_joined(first, second, mixture([first, second]))]
    return result


def _joined(first: Segment, second: Segment, mirroring: Mirroring) -> Segment:
    steps = first.steps + second.steps
    return Segment(epoch=first.epoch, steps=steps, fingerprint=second.fingerprint, mirroring=mirroring)


def mixture(segments: Sequence[Segment]) -> Mirroring:
    """What the network was shown in total: the mean of each flip's rates, weighted by the segments' steps.

    A segment without a step does not count. If no segment has a step yet, the last one counts, because a training
    that starts is about to show it.
    """
    trained = [segment for segment in segments if segment.steps > 0] or list(segments[-1:])
    if len(trained) == 1:
        return trained[0].mirroring
    steps = sum(segment.steps for segment in trained)
    seen = [segment for segment in trained if segment.mirroring.state in ("observed", *STATED)]
    unseen = [segment for segment in trained if segment not in seen]
    unseen_steps = sum(segment.steps for segment in unseen)
    if unseen_steps > UNKNOWN_SHARE * steps:
        reasons = list(dict.fromkeys(reason for segment in unseen for reason in segment.mirroring.reasons))
        told = f"{unseen_steps} of {steps} optimiser steps were not observed"
        state = "pending" if all(segment.mirroring.state == "pending" for segment in unseen) else "unknown"
        return Mirroring(state=state, reasons=[told, *reasons])  # type: ignore[arg-type]
    stated = [segment for segment in seen if segment.mirroring.state in STATED]
    mixed = _mixed([_spelt_out(segment) for segment in seen])
    if sum(segment.steps for segment in stated) <= UNKNOWN_SHARE * steps:
        return mixed
    # A verdict is only as good as the weakest segment that it needs.
    state = "declared" if any(segment.mirroring.state == "declared" for segment in stated) else "measured"
    reasons = list(dict.fromkeys(reason for segment in stated for reason in segment.mirroring.reasons))
    return msgspec.structs.replace(mixed, state=state, reasons=reasons)


def _spelt_out(segment: Segment) -> Segment:
    """Adds flips to a segment whose owner stated only the safe axes: each flip as often as the plain view."""
    mirroring = segment.mirroring
    if mirroring.state not in STATED or mirroring.flips:
        return segment
    flips = flips_of(mirroring.safe_axes or ())
    rate = 1 / (len(flips) + 1)
    stated = [
        FlipEvidence(axes=flip, count=0, rate=rate, low=0.0, high=1.0, verdict="trained", labels="kept")
        for flip in flips
    ]
    return msgspec.structs.replace(segment, mirroring=msgspec.structs.replace(mirroring, flips=stated, plain_rate=rate))


def _alike(first: Segment, second: Segment) -> bool:
    if first.fingerprint != second.fingerprint or first.mirroring.state != second.mirroring.state:
        return False
    if first.fingerprint is None:
        return first.mirroring.state == "unknown"
    return first.mirroring.safe_axes == second.mirroring.safe_axes


def _mixed(segments: Sequence[Segment]) -> Mirroring:
    """What known segments show together, weighted by their shares of the steps."""
    steps = sum(segment.steps for segment in segments)
    stretches = [(segment.steps / steps, segment.mirroring) for segment in segments]
    clean = sum(mirroring.clean for _, mirroring in stretches)
    plain = sum(share * (mirroring.plain_rate or 0.0) for share, mirroring in stretches)
    listed = {flip.axes for _, mirroring in stretches for flip in mirroring.flips}
    flips = [_mixed_flip(axes, stretches, clean) for axes in sorted(listed, key=lambda axes: (len(axes), axes))]
    rates = {(): plain, **{flip.axes: flip.rate for flip in flips}}
    flips = [msgspec.structs.replace(flip, verdict=verdict_of(flip.axes, rates)) for flip in flips]
    return Mirroring(
        state="observed",
        draws=sum(mirroring.draws for _, mirroring in stretches),
        clean=clean,
        plain_rate=plain,
        flips=flips,
        safe_axes=safe_axes({flip.axes: flip for flip in flips}, {axis for axes in listed for axis in axes}),
    )


def _mixed_flip(axes: Axes, stretches: Sequence[tuple[float, Mirroring]], clean: int) -> FlipEvidence:
    """One flip over several segments, each with its share of the steps.

    Its verdict is a placeholder: the caller sets it, because it depends on the rates of all flips.
    """
    found = [(share, mirroring.flip(axes) or _unseen(axes, mirroring.clean)) for share, mirroring in stretches]
    seen = [flip for _, flip in found if flip.rate]
    rate = sum(share * flip.rate for share, flip in found)
    return FlipEvidence(
        axes=axes,
        count=round(rate * clean),
        rate=rate,
        # Weighted sums of the segments' 95 % intervals: they contain the mixed rate in at least 95 of 100 trainings.
        low=min(sum(share * flip.low for share, flip in found), rate),
        high=max(sum(share * flip.high for share, flip in found), rate),
        verdict="unseen",
        labels=_labels([flip.labels for flip in seen]),
        permutation=next((flip.permutation for flip in seen if flip.permutation), None),
        source=seen[0].source if seen else "loader",
    )


def _unseen(axes: Axes, clean: int) -> FlipEvidence:
    low, high = interval(0, clean)
    return FlipEvidence(axes=axes, count=0, rate=0.0, low=low, high=high, verdict="unseen", labels="unknown")


def _labels(labels: list[Labels]) -> Labels:
    told = {label for label in labels if label != "unknown"}
    if not told:
        return "unknown"
    return told.pop() if len(told) == 1 else "mixed"
