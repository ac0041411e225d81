"""Turns tallies into the record's fields: rates, intervals, verdicts, safe axes, states."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from ..flips import ALPHA, alpha_at, flips_of, interval, safe_axes, settled, verdict_of
from ..record import FlipEvidence, Mirroring, State
from .labels import LabelBehaviour
from .orientation_probe import FEWEST_CLEAN, Flip, Tally

#: Image and segmentation are flipped differently from this number of samples on, and from this share of those compared.
#: A misread sample is rare and random; a pipeline that flips only one of the two does so again and again.
FEWEST_APART, SHARE_APART = 4, 0.05

UNKNOWN_LABELS = LabelBehaviour(labels="unknown")


def flip_evidence(
    flip: Flip,
    rates: Mapping[Flip, float],
    clean: int,
    labels: LabelBehaviour,
    source: Literal["loader", "step", "both"],
    alpha: float = ALPHA,
) -> FlipEvidence:
    """One flip's line in the record.

    Args:
        rates: flip -> share of the ``clean`` usable samples; the plain view is ``()``.
        labels: what the flip does to labels.
        alpha: the error probability of the look at which sampling stopped.
    """
    rate = rates.get(flip, 0.0)
    count = max(round(rate * clean), 1) if rate else 0
    low, high = interval(count, clean, alpha)
    return FlipEvidence(
        axes=flip,
        count=count,
        rate=rate,
        low=min(low, rate),
        high=max(high, rate),
        verdict=verdict_of(flip, rates),
        labels=labels.labels if rate else "unknown",
        permutation=labels.permutation if rate else None,
        source=source,
    )


def is_apart(apart: int, compared: int) -> bool:
    """Whether image and segmentation are flipped differently more often than misread samples explain."""
    return apart >= max(FEWEST_APART, SHARE_APART * compared)


def unknown(reason: str, draws: int = 0, clean: int = 0) -> Mirroring:
    """Nothing could be observed; ``reason`` says why."""
    return Mirroring(state="unknown", reasons=[reason], draws=draws, clean=clean)


def mirroring(
    tally: Tally,
    behaviour: dict[Flip, LabelBehaviour],
    dims: int,
    declared: Flip,
    blind: list[str],
    own_train_step: str | None,
) -> Mirroring:
    """The record's account of what the loader's pipeline shows.

    Args:
        tally: of the orientation probe.
        behaviour: what each flip does to labels.
        declared: well-formed declared axes; the reasons name only their unsettled flips.
        blind: why no flip can be called unseen (``pipeline.Pipeline.blind``).
        own_train_step: a train step that may add flips, so that absent flips make the state pending.
    """
    if tally.failed is not None:
        return unknown(tally.failed)
    if tally.clean < FEWEST_CLEAN:
        why = ", ".join(f"{reason}: {count}" for reason, count in tally.unclean.most_common(3))
        return unknown(
            f"only {tally.clean} of {tally.draws} draws show an orientation ({why})", tally.draws, tally.clean
        )
    alpha = alpha_at(tally.draws)
    rates = {flip: count / tally.clean for flip, count in tally.counts.items()}
    flips = [
        flip_evidence(flip, rates, tally.clean, behaviour.get(flip, UNKNOWN_LABELS), "loader", alpha)
        for flip in flips_of(range(dims))
    ]
    state, reasons = _state(flips, tally, blind, own_train_step)
    reasons += [
        f"flip {_set(flip)} lies too near the threshold: judged by its estimate after {tally.draws} draws"
        for flip in flips_of(declared)
        if max(flip) < dims and not settled(flip, tally.counts, tally.clean, alpha)
    ]
    known = {flip.axes: flip for flip in flips}
    return Mirroring(
        state=state,
        reasons=reasons,
        draws=tally.draws,
        clean=tally.clean,
        plain_rate=tally.counts[()] / tally.clean,
        flips=flips,
        safe_axes=safe_axes(known, range(dims)) if state == "observed" else None,
    )


def _state(
    flips: list[FlipEvidence], tally: Tally, blind: list[str], own_train_step: str | None
) -> tuple[State, list[str]]:
    """The state and its reasons. Trained flips are final; an unseen flip is final only if nothing else can flip."""
    everything = tally.counts[()] > 0 and all(flip.verdict == "trained" for flip in flips)
    if everything:
        return "observed", []
    if blind:
        return "unknown", list(blind)
    if own_train_step:
        return "pending", [f"{own_train_step} overrides train_step and may flip there"]
    return "observed", []


def _set(flip: Flip) -> str:
    return "{" + ",".join(map(str, flip)) + "}"
