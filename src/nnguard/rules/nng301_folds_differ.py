"""Folds of one ensemble differ in mirroring, trainers, plans or epochs.

## Why it matters

nnU-Net reads trainer, configuration and mirroring axes from the first fold's checkpoint, and loads
every other fold's weights into the network that it builds from them.

- **Mirroring**: if folds were trained with different mirroring, a sound first fold sends the others
  into NNG101. Harmful; advisory if the axes in use are safe for every fold.
- **Trainers or configurations**: where shapes fit by chance, everything runs without a word.
  Advisory.
- **Plans**: a model folder has one `plans.json`, so that at most some of the folds get images
  prepared as in training. Advisory.
- **A fold that is missing, or stands at another epoch**: nnU-Net stops at the first, and averages
  the second as if all were equal. Advisory.

## Bad

Fold 0 trained with `nnUNetTrainer`, fold 1 with a trainer edited to mirror no more, both in one
folder:

```
nnUNetv2_predict -i images -o out -d 2 -c 2d -f 0 1
```

## Good

```
nnUNetv2_predict -i images -o out -d 2 -c 2d -f 0 1 --disable_tta
```

or five folds of one trainer and one planning. Models of different trainers are predicted on their
own, and joined by `nnUNetv2_ensemble`.

## How to mend it

- Mirroring: use folds of one training only (`-f 0`), or `--disable_tta`. `nnguard repair` on each
  checkpoint sets axes that are safe for it; the first fold's still count for all.
- Trainers and plans: predict with the folds that agree, or train the others again.
- Missing folds and epochs: finish the training (`--c`), or name the folds to use.

## How to silence it

```
NNGUARD=warn,NNG301=ignore
```
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from ..axes import normalise, problem_with, same_axes, written
from ..findings import ADVISORY, HARMFUL, NOTE, SEVERITIES, Finding
from ..record import Axes
from .inference_settings import as_read, what_differs
from .remedies import model_folder_of
from .subjects import Member
from .verdicts import JUDGED, all_safe_axes, dimensions, narrowed_axes
from .words import joined

SEVERITY = HARMFUL

#: ``checkpoint_best.pth`` is from another epoch in every fold, as it should be.
COMPARABLE_CHECKPOINTS = ("checkpoint_final.pth", "checkpoint_latest.pth")


class Apart(msgspec.Struct, frozen=True, kw_only=True):
    """One way in which folds do not belong together; the texts are those of a ``Finding``, ``what`` completes "The
    folds of this ensemble ...", ``setting`` tells it from the same under other axes."""

    what: str
    seen: str
    effect: str
    remedy: str
    evidence: dict[str, Any]
    severity: str = ADVISORY
    setting: str = ""


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
        One finding at most. Only different mirroring is harmful.
    """
    there = [member for member in members if member.missing is None]
    found = []
    if len(there) > 1:
        found += [mirroring(there, use_mirroring, axes), trainers(there), plans(there)]
    found.append(gaps(members, there, checkpoint_name in COMPARABLE_CHECKPOINTS))
    apart = [one for one in found if one is not None]
    if not apart:
        return []
    return [
        Finding(
            "NNG301",
            subject,
            f"The folds of this ensemble {joined(one.what for one in apart)}.",
            seen="; ".join(one.seen for one in apart),
            effect=" ".join(one.effect for one in apart),
            remedy="\n".join(dict.fromkeys(one.remedy for one in apart)),
            evidence={key: value for one in apart for key, value in one.evidence.items()},
            severity=max((one.severity for one in apart), key=SEVERITIES.index),
            setting=" ".join(one.setting or one.what for one in apart),
        )
    ]


def mirroring(members: Sequence[Member], use_mirroring: bool, axes: Any = msgspec.UNSET) -> Apart | None:
    """Advisory where the axes in use are safe for every fold; harmful where they are not."""
    judged = [member for member in members if member.record and member.record.mirroring.state in JUDGED]
    trained = {member.fold: all_safe_axes(member.record) for member in judged if member.record is not None}
    first = members[0]
    if len(set(trained.values())) < 2 and all(same_axes(member.axes, first.axes) for member in members):
        return None
    used = used_axes(first, use_mirroring, axes)
    harmed = [member.fold for member in judged if (narrowed_axes(member.record, used) or ()) != used]
    shown = [f"fold {fold} trained with mirroring along {written(safe or None)}" for fold, safe in trained.items()]
    shown += [f"fold {member.fold} declares {written(member.axes)}" for member in members]
    effect = f"all of them are used with mirroring axes {written(used or None)}"
    if harmed:
        effect += f", in views that training did not show to {joined(f'fold {fold}' for fold in harmed)}"
    return Apart(
        what="mirror differently",
        seen="; ".join(shown),
        effect=f"{effect}.",
        remedy=(
            f"{_folds_of_one_training(first)}\nOr predict with --disable_tta, which is sound for every fold.\n"
            f"Or keep the axes that are safe for all of them:\n    nnguard repair {model_folder_of(first.subject)}"
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


def used_axes(first: Member, use_mirroring: bool, axes: Any = msgspec.UNSET) -> Axes:
    """What nnU-Net uses for all folds; malformed axes are NNG105's business and count as none here."""
    dims = dimensions(first.record.spatial_dims if first.record else None)
    chosen = first.axes if axes is msgspec.UNSET else axes
    if not use_mirroring or problem_with(chosen, dims):
        return ()
    return normalise(chosen)


def trainers(members: Sequence[Member]) -> Apart | None:
    folds = [str(member.fold) for member in members]
    named = {
        "trainers": [member.trainer for member in members],
        "configurations": [member.configuration for member in members],
    }
    differing = {
        what: dict(zip(folds, values, strict=True)) for what, values in named.items() if len({*values} - {None}) > 1
    }
    if not differing:
        return None
    told = [f"fold {fold}: {value or 'not known'}" for values in differing.values() for fold, value in values.items()]
    return Apart(
        what=f"come from different {joined(differing)}",
        seen=", ".join(told),
        effect=f"nnU-Net builds the network and prepares images as fold {members[0].fold} was trained, for all.",
        remedy=_folds_of_one_training(members[0]),
        evidence=differing,
    )


def plans(members: Sequence[Member]) -> Apart | None:
    """As far as inference reads them."""
    configuration = members[0].configuration
    first = as_read(members[0].plans, members[0].dataset, configuration)
    if first is None:
        return None
    fields: dict[str, list[str]] = {}
    severity = NOTE
    for member in members[1:]:
        other = as_read(member.plans, member.dataset, configuration)
        if other is not None and (changed := what_differs(first, other)):
            fields[str(member.fold)] = [one.field for one in changed]
            severity = NOTE if severity == NOTE and {one.severity for one in changed} == {NOTE} else ADVISORY
    if not fields:
        return None
    return Apart(
        what="were trained with different plans",
        seen="; ".join(
            f"fold {fold} differs from fold {members[0].fold} in {', '.join(names)}" for fold, names in fields.items()
        ),
        effect="the folder has one plans.json: at most some of the folds get images as they were trained on.",
        remedy=_folds_of_one_training(members[0]),
        evidence={"differences": fields},
        severity=severity,
    )


def _folds_of_one_training(first: Member) -> str:
    return f"Predict with folds of one training only, for example -f {first.fold}, and keep others in other folders."


def gaps(members: Sequence[Member], there: Sequence[Member], comparable: bool) -> Apart | None:
    missing = {str(member.fold): member.missing for member in members if member.missing is not None}
    epochs = {str(member.fold): member.epoch for member in there if member.epoch is not None}
    apart = comparable and len(set(epochs.values())) > 1
    if not missing and not apart:
        return None
    shown = [f"fold {fold}: {why}" for fold, why in missing.items()]
    shown += [f"fold {fold} stands at epoch {epoch}" for fold, epoch in epochs.items()] if apart else []
    what = [words for words, holds in (("are not all there", missing), ("stand at different epochs", apart)) if holds]
    usable = [member for member in there if not apart or member.epoch == max(epochs.values())]
    which = "those that were trained longest" if apart else "those that are there"
    use = f", or predict with {which}: -f {' '.join(str(member.fold) for member in usable)}" if usable else "."
    return Apart(
        what=" and ".join(what),
        seen="; ".join(shown),
        effect="nnU-Net stops at a missing fold; folds that were stopped early weigh as much as finished ones.",
        remedy=f"Train the folds to their end (nnUNetv2_train ... --c){use}",
        evidence={"missing": missing, "epochs": epochs},
    )
