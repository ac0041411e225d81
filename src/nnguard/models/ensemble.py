"""The folds of one prediction, held against their folder and against each other.

``check`` and ``audit`` come here with what they read from files, a predictor that starts with what it holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from ..findings import Finding
from ..fold import Fold, argument_of, configuration_of
from ..record import Environment
from ..rules.nng201_folder_differs_from_training import check_settings
from ..rules.nng301_folds_differ import check_ensemble
from ..rules.nng501_versions_differ import check_versions
from ..rules.subjects import Member


def judge_together(
    folder: str,
    plans: object,
    dataset: object,
    members: Sequence[Member],
    *,
    use_mirroring: bool = True,
    axes: Any = msgspec.UNSET,
    checkpoint_name: str,
    here: Environment | None = None,
) -> list[Finding]:
    """NNG201 for each fold, NNG301 for all of them, NNG501 for the first that has a record.

    Args:
        folder: the model folder, for people.
        plans, dataset: the content of its ``plans.json`` and ``dataset.json``.
        members: the folds in the order in which the predictor loads them, missing ones included.
        use_mirroring, axes: the predictor's; ``UNSET`` axes are those that the first fold declares.
        checkpoint_name: the name of the folds' files.
        here: the versions that would predict; ``None`` where it will be done elsewhere.
    """
    findings = [finding for member in members for finding in _settings(member, plans, dataset)]
    recorded = next((member for member in members if member.record is not None), None)
    if here is not None and recorded is not None and recorded.record is not None:
        findings += check_versions(recorded.subject, recorded.record.environment, here)
    return findings + check_ensemble(
        folder, members, use_mirroring=use_mirroring, axes=axes, checkpoint_name=checkpoint_name
    )


def member_of(fold: Fold) -> Member:
    """A fold as its checkpoint tells of itself."""
    checkpoint = fold.checkpoint
    if checkpoint is None:
        return Member(fold=fold.fold, subject=fold.subject, missing=fold.error or "cannot be read")
    return Member(
        fold=fold.fold,
        subject=fold.subject,
        record=fold.record,
        axes=checkpoint.declared_axes,
        trainer=checkpoint.trainer_name,
        configuration=configuration_of(fold),
        plans=argument_of(fold, "plans"),
        dataset=argument_of(fold, "dataset_json"),
        epoch=checkpoint.epoch,
    )


def _settings(member: Member, plans: object, dataset: object) -> list[Finding]:
    if member.missing is not None or member.configuration is None:
        return []
    if member.plans == plans and member.dataset == dataset:  # the rule, for a thousandth of what it takes
        return []
    return check_settings(member.subject, plans, dataset, member.plans, member.dataset, member.configuration)
