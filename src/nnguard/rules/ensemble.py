"""NNG301-304: folds of one ensemble that do not belong together.

nnU-Net takes trainer, configuration and mirroring axes from the first fold and loads every other
fold's weights into that.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from ..axes import normalise, problem_with, written
from ..findings import ADVISORY, HARMFUL, Finding
from ..record import Axes
from .remedies import same_axes
from .settings import differences, settings
from .subjects import Member
from .verdicts import JUDGED, all_safe_axes, dimensions, narrowed_axes
from .wording import joined

#: ``checkpoint_best.pth`` is from another epoch in every fold, as it should be.
COMPARABLE_CHECKPOINTS = ("checkpoint_final.pth", "checkpoint_latest.pth")


def check_ensemble(
    subject: str,
    members: Sequence[Member],
    *,
    use_mirroring: bool = True,
    axes: Any = msgspec.UNSET,
    checkpoint_name: str = "checkpoint_final.pth",
) -> list[Finding]:
    """Compares the folds of one prediction with each other.

    Args:
        subject: the model folder, for people.
        members: in the order in which the predictor loads them, missing ones included.
        use_mirroring: the predictor's switch.
        axes: the predictor's axes, verbatim; ``UNSET`` where it takes those that the first fold declares.
        checkpoint_name: epochs are compared for ``checkpoint_final.pth`` and ``checkpoint_latest.pth`` alone.

    Returns:
        One finding for each rule at most.
    """
    there = [member for member in members if member.missing is None]
    findings = []
    if len(there) > 1:
        findings += mirroring(subject, there, use_mirroring, axes)
        findings += trainers(subject, there)
        findings += plans(subject, there)
    return findings + gaps(subject, members, there, checkpoint_name in COMPARABLE_CHECKPOINTS)


def mirroring(subject: str, members: Sequence[Member], use_mirroring: bool, axes: Any = msgspec.UNSET) -> list[Finding]:
    """NNG301. Advisory where the axes in use are safe for every fold; harmful where they are not."""
    judged = [member for member in members if _state(member) in JUDGED]
    trained = {member.fold: all_safe_axes(member.record) for member in judged if member.record is not None}
    first = members[0]
    if len(set(trained.values())) < 2 and all(same_axes(member.axes, first.axes) for member in members):
        return []
    used = used_axes(first, use_mirroring, axes)
    harmed = [member.fold for member in judged if (narrowed_axes(member.record, used) or ()) != used]
    shown = [f"fold {fold} trained with mirroring along {written(safe or None)}" for fold, safe in trained.items()]
    shown += [f"fold {member.fold} declares {written(member.axes)}" for member in members]
    effect = f"{_whose(first, axes)}, {written(used or None)}, for all of them"
    if harmed:
        effect += f": {_folds(harmed)} average{'' if len(harmed) > 1 else 's'} in views that training did not show."
    else:
        effect += "."
    return [
        Finding(
            "NNG301",
            subject,
            "The folds of this ensemble were not trained, or do not declare, the same mirroring.",
            seen="; ".join(shown),
            effect=effect,
            remedy=(
                f"Use folds of one training only, for example -f {first.fold}, or predict with --disable_tta, "
                "which is sound for every fold; nnguard repair on each checkpoint sets axes that are safe for it."
            ),
            evidence={
                "trained": {str(fold): list(safe) for fold, safe in trained.items()},
                "declared": {str(member.fold): written(member.axes) for member in members},
                "used": list(used),
                "harmed": [str(fold) for fold in harmed],
            },
            severity=HARMFUL if harmed else ADVISORY,
            setting=written(used),
        )
    ]


def used_axes(first: Member, use_mirroring: bool, axes: Any = msgspec.UNSET) -> Axes:
    """What nnU-Net uses for all folds; malformed axes are NNG105's business and count as none here."""
    dims = dimensions(first.record.spatial_dims if first.record else None)
    chosen = first.axes if axes is msgspec.UNSET else axes
    if not use_mirroring or problem_with(chosen, dims):
        return ()
    return normalise(chosen)


def _whose(first: Member, axes: Any) -> str:
    theirs = axes is not msgspec.UNSET and not same_axes(axes, first.axes)
    return "the predictor uses the axes it was given" if theirs else "nnU-Net uses the first fold's axes"


def trainers(subject: str, members: Sequence[Member]) -> list[Finding]:
    """NNG302."""
    differing = [
        (what, {str(member.fold): value for member, value in zip(members, values, strict=True)})
        for what, values in (
            ("trainers", [member.trainer for member in members]),
            ("configurations", [member.configuration for member in members]),
        )
        if len({value for value in values if value is not None}) > 1
    ]
    if not differing:
        return []
    return [
        Finding(
            "NNG302",
            subject,
            f"The folds of this ensemble come from different {joined(what for what, _ in differing)}.",
            seen="; ".join(_by_fold(values) for _, values in differing),
            effect=(f"nnU-Net builds the network and prepares images as fold {members[0].fold} was trained, for all."),
            remedy=(
                f"Predict with folds of one training only, for example -f {members[0].fold}, "
                "and keep others in other folders."
            ),
            evidence=dict(differing),
        )
    ]


def plans(subject: str, members: Sequence[Member]) -> list[Finding]:
    """NNG303: as far as inference reads them."""
    first = settings(members[0].plans, members[0].dataset, members[0].configuration or "")
    if first is None:
        return []
    fields: dict[str, list[str]] = {}
    for member in members[1:]:
        other = settings(member.plans, member.dataset, members[0].configuration or "")
        changed = differences(first, other) if other is not None else []
        if changed:
            fields[str(member.fold)] = [one.field for one in changed]
    if not fields:
        return []
    return [
        Finding(
            "NNG303",
            subject,
            "The folds of this ensemble were trained with different plans.",
            seen="; ".join(
                f"fold {fold} differs from fold {members[0].fold} in {', '.join(names)}"
                for fold, names in fields.items()
            ),
            effect="the folder has one plans.json: at most some of the folds get images as they were trained on.",
            remedy=(
                f"Predict with folds of one training only, for example -f {members[0].fold}, or train the others again."
            ),
            evidence={"differences": fields},
        )
    ]


def gaps(subject: str, members: Sequence[Member], there: Sequence[Member], comparable: bool) -> list[Finding]:
    """NNG304."""
    missing = {str(member.fold): member.missing for member in members if member.missing is not None}
    epochs = {str(member.fold): member.epoch for member in there if member.epoch is not None}
    apart = comparable and len(set(epochs.values())) > 1
    if not missing and not apart:
        return []
    shown = [f"fold {fold}: {why}" for fold, why in missing.items()]
    shown += [f"fold {fold} stands at epoch {epoch}" for fold, epoch in epochs.items()] if apart else []
    what = " and ".join(words for words, holds in (("is incomplete", missing), ("mixes epochs", apart)) if holds)
    return [
        Finding(
            "NNG304",
            subject,
            f"This ensemble {what}.",
            seen="; ".join(shown),
            effect=("nnU-Net stops at a missing fold; folds that were stopped early weigh as much as finished ones."),
            remedy="Train the folds to their end (nnUNetv2_train ... --c)" + _or_use(there, apart),
            evidence={"missing": missing, "epochs": epochs},
        )
    ]


def _or_use(there: Sequence[Member], apart: bool) -> str:
    """``, or predict with those that are there: -f 0 2``; where they stand apart, with the longest trained ones."""
    last = max((member.epoch for member in there if member.epoch is not None), default=None)
    usable = [member for member in there if not apart or member.epoch == last]
    if not usable:
        return "."
    what = "those that were trained longest" if apart else "those that are there"
    return f", or predict with {what}: -f {' '.join(str(member.fold) for member in usable)}"


def _state(member: Member) -> str | None:
    return member.record.mirroring.state if member.record is not None else None


def _folds(folds: Iterable[Any]) -> str:
    folds = list(folds)
    return f"fold{'s' if len(folds) > 1 else ''} {joined(str(fold) for fold in folds)}"


def _by_fold(values: dict[str, Any]) -> str:
    return ", ".join(f"fold {fold}: {value or 'not known'}" for fold, value in values.items())
