"""Records made from counts of draws, as the probe would make them, for tests of rules and reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nnguard.flips import alpha_at, flips_of, interval, safe_axes, verdict_of
from nnguard.record import AxesHistory, Environment, FlipEvidence, Mirroring, Record, Segment, TrainerIdentity

Flip = tuple[int, ...]

#: What nnU-Net's own 2D trainer shows, and the trainer of nnU-Net's issue #2552.
EVERY_FLIP = {(0,): 16, (1,): 16, (0, 1): 16}
NO_FLIP: dict[Flip, int] = {}
#: Stock rotation turns by up to 180 degrees: half turns are flips of both axes, and flip the true axis into the other.
AXIS_0_AND_HALF_TURNS = {(0,): 120, (1,): 2, (0, 1): 2}
#: In 256 draws too rare by its estimate, and a tenth as often as the plain view by what chance allows.
AXIS_1_BY_ESTIMATE_RARE = {(0,): 120, (1,): 6, (0, 1): 6}


def record_of(
    counts: Mapping[Flip, int] | None = None,
    *,
    mirrored: Flip | None = None,
    stated: Flip | None = None,
    declared: Any = (0, 1),
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
    """A record of a training that mirrors along both axes, as it declares, unless the arguments say otherwise.

    Args:
        counts: how many of ``clean`` draws showed each flip; the others showed the plain view.
        mirrored: instead of ``counts``: the axes along which training mirrors as nnU-Net does, every other draw.
        stated: instead of both: the safe axes that the owner states (or that were measured), with nothing seen.
        effective: the axes in the checkpoint, where they are not those that are declared.
        changes: fields of ``Record`` that replace those made here.
    """
    if stated is not None:
        mirroring = Mirroring(state="declared" if state == "observed" else state, safe_axes=stated)
        changed_by, changes = "annotate", {"segments": [], **changes}
    else:
        if counts is None:
            counts, clean = _mirroring_along(range(dims) if mirrored is None else mirrored, dims)
        mirroring = _seen(counts, clean, dims, state, labels or {}, permutation, reasons)
    fields = {
        "nnguard": "0.1.0",
        "written_at": "2025-01-02T03:04:05Z",
        "trainer": TrainerIdentity(class_="nnUNetTrainer", module="nnunetv2.training.nnUNetTrainer.nnUNetTrainer"),
        "dataset": "Dataset002_Discs",
        "plans": "nnUNetPlans",
        "configuration": "2d" if dims == 2 else "3d_fullres",
        "fold": 0,
        "spatial_dims": dims,
        "transpose_forward": [0, 1, 2],
        "axes": AxesHistory(
            declared=_as_json(declared),
            effective=_as_json(declared if effective == "as declared" else effective),
            changed_by=changed_by,
        ),
        "mirroring": mirroring,
        "segments": [Segment(epoch=0, steps=100, fingerprint="f" * 8, mirroring=mirroring)],
        "environment": Environment(python="3.11"),
    }
    return Record(**{**fields, **changes})


def _mirroring_along(axes: Sequence[int], dims: int) -> tuple[dict[Flip, int], int]:
    """Counts, and of how many draws: the probe draws longer where only some axes are mirrored, until all is settled."""
    clean = 64 if len(axes) in (0, dims) else 512
    return dict.fromkeys(flips_of(axes), clean // 2 ** len(axes)), clean


def _seen(
    counts: Mapping[Flip, int],
    clean: int,
    dims: int,
    state: Any,
    labels: Mapping[Flip, str],
    permutation: dict[int, int] | None,
    reasons: list[str] | None,
) -> Mirroring:
    counts = {**counts, (): clean - sum(counts.values())}
    flips = []
    for flip in flips_of(range(dims)):
        count = counts.get(flip, 0)
        low, high = interval(count, clean, alpha_at(clean))
        kept: Any = labels.get(flip, "kept" if count else "unknown")
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
    return Mirroring(
        state=state,
        reasons=reasons or [],
        draws=clean,
        clean=clean,
        plain_rate=counts[()] / clean,
        flips=flips,
        safe_axes=safe_axes({flip.axes: flip for flip in flips}, range(dims)) if settled else None,
    )


def _as_json(axes: Any) -> Any:
    return list(axes) if isinstance(axes, tuple) else axes
