"""Whether a running training still augments as it did at the last look: schedules that begin, end and change.

Looked at once an epoch, and cheaply: another loader, another train step, other transforms. Only then is it drawn from
again, and a look that finds nothing new makes the next one wait, for some transforms count their own calls.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ..record import Mirroring


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """What was found.

    Args:
        mark: what tells cheaply whether anything has changed (``evidence.mark_of``).
        shown: what the loader alone showed, before any witness.
        edited: as ``rules.subjects.Training.edited_after_start``.
        next_epoch: the first at whose start another look may be due.
        wait: epochs until then.
    """

    mark: tuple
    shown: Mirroring
    edited: str | None
    next_epoch: int = 0
    wait: int = 1


def look_at(trainer: Any, observation: Any, fruitless: Look | None = None) -> Look:
    """What was found now; ``fruitless``: the look before this one, where this one found nothing new."""
    from .. import evidence

    wait = 2 * fruitless.wait if fruitless is not None else 1
    return Look(
        mark=evidence.mark_of(trainer),
        shown=observation.record.mirroring,
        edited=observation.training.edited_after_start,
        next_epoch=int(getattr(trainer, "current_epoch", 0)) + wait if fruitless is not None else 0,
        wait=wait,
    )


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
    return _verdicts(look.shown) == _verdicts(observation.record.mirroring) and edited == look.edited


def _verdicts(mirroring: Mirroring) -> tuple:
    return (mirroring.state, *((flip.axes, flip.verdict, flip.labels) for flip in mirroring.flips))
