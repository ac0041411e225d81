"""Records made from counts of draws, as the probe would make them, for tests of rules and reports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nnguard.flips import alpha_at, flips_of, interval, safe_axes, verdict_of
from nnguard.record import AxesHistory, Environment, FlipEvidence, Mirroring, Record, TrainerIdentity

Flip = tuple[int, ...]

#: What nnU-Net's own 2D trainer shows, and the trainer of nnU-Net's issue #2552.
EVERY_FLIP = {(0,): 16, (1,): 16, (0, 1): 16}
NO_FLIP: dict[Flip, int] = {}
#: Stock rotation turns by up to 180 degrees: half turns are flips of both axes, and flip the true axis into the other.
AXIS_0_AND_HALF_TURNS = {(0,): 120, (1,): 2, (0, 1): 2}
#: In 256 draws too rare by its estimate, and a tenth as often as the plain view by what chance allows.
AXIS_1_BY_ESTIMATE_RARE = {(0,): 120, (1,): 6, (0, 1): 6}


def record_of(
    counts: Mapping[Flip, int],
    declared: Any = (0, 1),
    *,
    effective: Any = "as declared",
    changed_by: Any = None,
    clean: int = 64,
    dims: int = 2,
    state: Any = "observed",
    labels: Mapping[Flip, str] | None = None,
    permutation: dict[int, int] | None = None,
    reasons: list[str] | None = None,
    **changes: Any,
) -> Record:
    """A record of a training in which ``counts`` of ``clean`` draws showed each flip, and the others the plain view."""
    counts = {**counts, (): clean - sum(counts.values())}
    flips = []
    for flip in flips_of(range(dims)):
        count = counts.get(flip, 0)
        low, high = interval(count, clean, alpha_at(clean))
        kept: Any = (labels or {}).get(flip, "kept" if count else "unknown")
        flips.append(
            FlipEvidence(
                axes=flip,
                count=count,
                rate=count / clean,
                low=low,
                high=high,
                verdict=verdict_of(flip, counts),
                labels=kept,
                permutation=permutation if kept == "swapped" else None,
            )
        )
    settled = state in ("observed", "measured")
    mirroring = Mirroring(
        state=state,
        reasons=reasons or [],
        draws=clean,
        clean=clean,
        plain_rate=counts[()] / clean,
        flips=flips,
        safe_axes=safe_axes({flip.axes: flip for flip in flips}, range(dims)) if settled else None,
    )
    return _record(mirroring, declared, effective, changed_by, dims, changes)


def stated_record(axes: Flip, declared: Any = (0, 1), dims: int = 2, state: Any = "declared") -> Record:
    """A record that its owner states: safe axes, and nothing that was seen."""
    return _record(Mirroring(state=state, safe_axes=axes), declared, "as declared", "annotate", dims, {})


def _record(mirroring: Mirroring, declared: Any, effective: Any, changed_by: Any, dims: int, changes: Any) -> Record:
    fields = {
        "nnguard": "0.1.0",
        "written_at": "2025-01-02T03:04:05Z",
        "trainer": TrainerIdentity(class_="nnUNetTrainerX", module="x"),
        "dataset": "Dataset002_Discs",
        "plans": "nnUNetPlans",
        "configuration": "2d" if dims == 2 else "3d_fullres",
        "fold": 0,
        "spatial_dims": dims,
        "transpose_forward": [0, 1, 2],
        "axes": AxesHistory(
            declared=declared, effective=declared if effective == "as declared" else effective, changed_by=changed_by
        ),
        "mirroring": mirroring,
        "environment": Environment(nnunetv2="2.8.1", torch="2.15.0", python="3.11"),
    }
    return Record(**{**fields, **changes})
