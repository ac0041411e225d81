"""What the ranks of a distributed training tell each other: through the group's store, never by a collective.

A collective would wait for ever where one rank has failed, and would be out of step with nnU-Net's own. A rank
writes one small text, and looks for the others' until its patience ends.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from typing import Any

import msgspec

from ..record import Mirroring, Record

#: Seconds. Ranks leave nnU-Net's barrier at training start together, and the probe is bounded by thirty.
PATIENCE = 90.0
#: Short looks, for a store that waits holds up whoever else uses it.
PAUSE = 0.05

#: How often a stage of a training has been told of: all ranks run the same code, so they count alike.
_told: Counter[str] = Counter()


class Word(msgspec.Struct, frozen=True, kw_only=True):
    """What one rank says of its pipeline."""

    fingerprint: str | None
    mirroring: Mirroring


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """Words of all ranks that spoke in time, by rank, one's own among them; ``silent`` are the others."""

    words: dict[int, Word]
    silent: tuple[int, ...] = ()

    @property
    def verdict(self) -> Mirroring:
        """What all ranks go by, so that they refuse and correct alike: the first rank that observed anything."""
        in_order = [self.words[rank].mirroring for rank in sorted(self.words)]
        return next((mirroring for mirroring in in_order if mirroring.state == "observed"), in_order[0])

    @property
    def alike(self) -> bool:
        """Whether all that spoke run the same pipeline. Rates drawn from one pipeline may differ by chance."""
        words = list(self.words.values())
        if None not in (fingerprints := {word.fingerprint for word in words}):
            return len(fingerprints) == 1
        return len({_shown(word.mirroring) for word in words}) == 1

    @property
    def same_flips(self) -> bool:
        """Whether all that spoke are shown the same flips."""
        return len({_shown(word.mirroring) for word in self.words.values()}) == 1


def word_of(record: Record) -> Word:
    """What a rank tells of its own record."""
    fingerprint = record.segments[-1].fingerprint if record.segments else None
    return Word(fingerprint=fingerprint, mirroring=record.mirroring)


def exchange(stage: str, subject: str, word: Word) -> Heard | None:
    """Tells the other ranks, and hears what they say.

    Args:
        stage: ``"start"`` or ``"step"``; ranks reach a stage together.
        subject: the training.
        word: what this rank has to say.

    Returns:
        ``None`` where the training is not distributed. Never waits longer than ``PATIENCE``.
    """
    group = _group()
    if group is None:
        return None
    store, rank, size = group
    _told[f"{stage}/{subject}"] += 1
    place = f"nnguard/{stage}/{subject}/{_told[f'{stage}/{subject}']}"
    store.set(f"{place}/{rank}", msgspec.json.encode(word))
    awaited = set(range(size)) - {rank}
    words = {rank: word}
    end = time.monotonic() + PATIENCE
    while awaited:
        for other in sorted(awaited):
            if store.check([f"{place}/{other}"]):
                words[other] = msgspec.json.decode(store.get(f"{place}/{other}"), type=Word)
        awaited -= set(words)
        if time.monotonic() > end:
            break
        if awaited:
            time.sleep(PAUSE)
    return Heard(words=words, silent=tuple(sorted(awaited)))


def difference(heard: Heard) -> str | None:
    """In words, how the ranks' pipelines differ; ``None`` where they do not."""
    if heard.alike:
        return None
    if heard.same_flips:
        return "the ranks' transforms differ, in other ways than the flips that they show"
    return "; ".join(f"rank {rank} {_in_words(heard.words[rank].mirroring)}" for rank in sorted(heard.words))


def _in_words(mirroring: Mirroring) -> str:
    if mirroring.state != "observed":
        return f"could not be observed ({mirroring.state})"
    trained = [str(flip.axes) for flip in mirroring.flips if flip.verdict == "trained"]
    return f"shows the flips {', '.join(trained)}" if trained else "shows no flip"


def _shown(mirroring: Mirroring) -> tuple:
    flips = ((flip.axes, flip.labels) for flip in mirroring.flips if flip.verdict == "trained")
    return (mirroring.state, *sorted(flips))


def _group() -> tuple[Any, int, int] | None:
    """The process group's store, this rank and how many there are; ``None`` outside of a distributed training."""
    distributed = sys.modules.get("torch.distributed")
    if distributed is None or not distributed.is_available() or not distributed.is_initialized():
        return None
    size = distributed.get_world_size()
    if size < 2:
        return None
    from torch.distributed.distributed_c10d import _get_default_store

    return _get_default_store(), distributed.get_rank(), size
