"""Records for verdicts that would take a special training each, written from counts of draws; used by ``make``."""

from __future__ import annotations

from typing import Any

from nnguard.record import Apart, Environment, Record, TrainerIdentity
from tests.support.records import AXIS_0_AND_HALF_TURNS, EVERY_FLIP, Flip, record_of

#: As the checkpoints that carry these records say of themselves.
_CARRIER: dict[str, Any] = {
    "trainer": TrainerIdentity(class_="nnUNetTrainerBefore", module="nnUNetTrainersBefore"),
    "dataset": "Dataset552_Discs",
}
_WRITTEN_BY: dict[str, Any] = {
    "environment": Environment(nnunetv2="2.8.1", torch="2.15.0", python="3.11"),
    "segments": [],
}
_FLIPTEST = {
    "cases": 8,
    "flips": [
        {"axes": [0], "verdict": "safe", "agreement": 0.95, "dice": 0.94},
        {"axes": [1], "verdict": "harmful", "agreement": 0.12, "dice": 0.1},
        {"axes": [0, 1], "verdict": "unsettled", "agreement": 0.5, "dice": 0.5},
    ],
    "safe_axes": [0],
    "plain_dice": 0.95,
    "tta_axes": [0, 1],
    "tta_dice": 0.5,
    "folds": [0],
    "written_at": "2025-01-02T03:04:05Z",
}
_VALIDATION = {
    "state": "measured",
    "by": "NNGUARD_FLIPTEST=4, nnguard 0.1.0",
    "written_at": "2025-01-02T03:04:05Z",
    "checkpoint": "checkpoint_final.pth",
    "cases": 4,
    "case_names": ["a", "b", "c", "d"],
    "plain": {"dice": 0.95, "labels": {"1": 0.95, "2": 0.95}},
    "tta": {"dice": 0.48, "labels": {"1": 0.48, "2": 0.48}, "axes": [0, 1]},
}


def _record(counts: dict[Flip, int], **changes: Any) -> Record:
    return record_of(counts, **{**_CARRIER, **_WRITTEN_BY, **changes})


RECORDS: dict[str, Record] = {
    "rare_flip_settled": _record({(0,): 200, (1,): 3}, clean=512),
    "rare_flip_by_estimate": _record(
        {(0,): 210, (1,): 25},
        clean=512,
        reasons=["flip {1} lies too near the threshold: judged by its estimate after 512 draws"],
    ),
    "trained_flip_by_estimate": _record({(0,): 80, (1,): 32, (0, 1): 90}, clean=512),
    "pending": _record({}, state="pending", reasons=["nnUNetTrainerX overrides train_step and may flip there"]),
    "pending_though_all_was_shown": _record(EVERY_FLIP, state="pending", reasons=["somebody may flip elsewhere"]),
    "unknown": _record({}, state="unknown", reasons=["only 3 of 64 draws show an orientation (unclean: 61)"]),
    "labels_swapped": _record({(1,): 32}, declared=(1,), labels={(1,): "swapped"}, permutation={1: 2, 2: 1}),
    "labels_mixed": _record({(0,): 32}, labels={(0,): "mixed"}),
    "always_flipped": _record({(0,): 64}, declared=(0,)),
    "image_apart": _record(EVERY_FLIP, apart=Apart(draws=64, clean=30, cases=0, compared=0)),
    "image_apart_in_step": _record(EVERY_FLIP, apart=Apart(draws=0, clean=64, cases=31, compared=64)),
    "measured": record_of(stated=(0,), state="measured", **_WRITTEN_BY),
    "measured_by_fliptest": _record(EVERY_FLIP, measured={"fliptest": _FLIPTEST}),
    "measured_validation": _record({}, measured={"validation": _VALIDATION}),
    "declared": record_of(stated=(0,), **_WRITTEN_BY),
    "declared_none": record_of(stated=(), **_WRITTEN_BY),
    "combined_flip_unseen": _record({(0,): 85, (1,): 85}, clean=256),
    "combined_flip_alone": _record({(0, 1): 32}),
    "axis_0_and_half_turns": _record(AXIS_0_AND_HALF_TURNS, clean=256),
    "narrowed": _record({(0,): 32}, effective=(0,), changed_by="correct"),
    "withheld": _record(EVERY_FLIP, declared=None),
    "malformed_axes": _record(EVERY_FLIP, declared=0),
    "three_axes_one_unseen": _record({(1,): 16, (2,): 16, (1, 2): 16}, declared=(0, 1, 2), dims=3),
    "three_axes_all_shown": _record(
        {(0,): 8, (1,): 8, (2,): 8, (0, 1): 8, (0, 2): 8, (1, 2): 8, (0, 1, 2): 8}, declared=(0, 1, 2), dims=3
    ),
}
