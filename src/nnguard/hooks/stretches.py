"""Whether a running training still augments as it did at the last look: schedules that begin, end and change.

Looked at once an epoch, and cheaply: another loader, another train step, other transforms. Only then is it drawn from
again, and a look that finds nothing new makes the next one wait, for some transforms count their own calls. What a
train step of one's own does cannot be told from its looks: a witness comes back in ever fewer epochs.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ..record import Mirroring


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """What was found.

    Args:
        mark: what tells cheaply whether anything has changed (``evidence.mark_of``).
        observation: what ``evidence.observe`` returned.
        shown: what the loader alone showed, before any witness.
        edited: as ``rules.subjects.Training.edited_after_start``.
        next_epoch: the first at whose start another look may be due.
        wait: epochs until then.
        watch_epoch: the next in which a witness comes back; ``watch_wait`` how many later the one after that.
    """

    mark: tuple
    observation: Any
    shown: Mirroring
    edited: str | None
    next_epoch: int = 0
    wait: int = 1
    watch_epoch: int = 1
    watch_wait: int = 1


def look_at(trainer: Any, observation: Any, fruitless: Look | None = None) -> Look:
    """What was found now; ``fruitless``: the look before this one, where this one found nothing new."""
    from .. import evidence

    wait = 2 * fruitless.wait if fruitless is not None else 1
    epoch = int(getattr(trainer, "current_epoch", 0))
    return Look(
        mark=evidence.mark_of(trainer),
        observation=observation,
        shown=observation.record.mirroring,
        edited=observation.training.edited_after_start,
        next_epoch=epoch + wait if fruitless is not None else 0,
        wait=wait,
        watch_epoch=fruitless.watch_epoch if fruitless is not None else epoch + 1,
        watch_wait=fruitless.watch_wait if fruitless is not None else 1,
    )


def watched_again(trainer: Any, look: Look) -> Look | None:
    """The look with the watch after this one, where one is due now; ``None`` where it is not.

    Epochs 1, 3, 7, 15, ... after the first: nine watches of 32 steps in a thousand epochs.
    """
    epoch = int(getattr(trainer, "current_epoch", 0))
    if look.observation.training.own_train_step is None or epoch < look.watch_epoch:
        return None
    wait = 2 * look.watch_wait
    return msgspec.structs.replace(look, watch_epoch=epoch + wait, watch_wait=wait)


def is_due(trainer: Any, look: Look) -> bool:
    """Whether anything differs from the last look, and the training may be observed again."""
    from .. import evidence

    if int(getattr(trainer, "current_epoch", 0)) < look.next_epoch:
        return False
    now = evidence.mark_of(trainer)
    # Ranks look together or not at all: transforms may differ between them, the code that replaces a loader does not.
    return now[0] != look.mark[0] if getattr(trainer, "is_ddp", False) else now != look.mark


def shows_the_same(look: Look, observation: Any) -> bool:
    """Whether an observation comes to the same verdicts as the last look."""
    edited = observation.training.edited_after_start
    return verdicts_of(look.shown) == verdicts_of(observation.record.mirroring) and edited == look.edited


def verdicts_of(mirroring: Mirroring) -> tuple:
    """What of it a reader goes by: rates that differ by chance are the same."""
    return (mirroring.state, *((flip.axes, flip.verdict, flip.labels) for flip in mirroring.flips))
