"""What observing a training costs at its start, against the rest of that start. Ratios within one run.

Run it as ``python benchmarks/bench_probe.py [SIDE]``: nnU-Net's default trainer, one that mirrors
one axis of the three that it declares (which takes the most draws to settle), and nnU-Net's heaviest augmentation,
DA5, with a patch of 128 voxels a side. Start-up is what a user waits for without the guard: imports, the trainer, its
network as planned for such a patch, its loaders and their first batches, augmented at full size. Seconds are of
this process's CPU: observing runs on one thread and waits for nothing, and a neighbour on the machine would make
ten of every second.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

#: Nothing may arm the guard while the start without it is timed.
os.environ["NNGUARD"] = "off"
sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.support import trainers

BUDGET_SECONDS, BUDGET_SHARE = 3.0, 0.10
ROUNDS = 3


def main() -> int:
    side = int(sys.argv[1]) if len(sys.argv) > 1 else 128
    warnings.simplefilter("ignore")
    results = Path(tempfile.mkdtemp())
    imports = seconds_to_import()
    print(f"{f'patch {side}x{side}x{side}':<20}{'start-up':>10}{'observe':>10}{'share':>8}{'draws':>7}{'clean':>7}")
    # The share is the default trainer's, the seconds are everybody's; DA5 is there to be looked at.
    kept = measured("nnUNetTrainer", side, results, imports)
    kept &= measured(one_axis_of_three(), side, results, imports, share_counts=False)
    measured("nnUNetTrainerDA5", side, results, imports)
    print(f"budget: {BUDGET_SECONDS:.0f} s, {BUDGET_SHARE:.0%} of start-up: {'kept' if kept else 'EXCEEDED'}")
    return 0 if kept else 1


def seconds_to_import() -> float:
    """Seconds that nnU-Net's own imports take; every training pays for them before anything else."""
    started = time.process_time()
    import nnunetv2.run.run_training

    assert nnunetv2.run.run_training
    return time.process_time() - started


def one_axis_of_three() -> type:
    base = trainers.trainer_class("nnUNetTrainer")

    class MirrorsOneOfThree(base):  # type: ignore[misc, valid-type]
        @staticmethod
        def get_training_transforms(
            patch_size: Any, rotation: Any, scales: Any, mirror_axes: Any, *more: Any, **o: Any
        ):
            return base.get_training_transforms(patch_size, rotation, scales, (0,), *more, **o)

    return MirrorsOneOfThree


def measured(kind: type | str, side: int, results: Path, imports: float, share_counts: bool = True) -> bool:
    from nnguard import probe

    def enlarge(plans: dict[str, Any]) -> None:
        configuration = plans["configurations"]["3d_fullres"]
        configuration["patch_size"] = [side] * 3
        # The network that nnU-Net plans for 128^3: six stages. Building it is part of the start.
        stages = 6 if side >= 128 else 4
        configuration["architecture"]["arch_kwargs"] |= {
            "n_stages": stages,
            "features_per_stage": [32, 64, 128, 256, 320, 320][:stages],
            "kernel_sizes": [[3, 3, 3]] * stages,
            "strides": [[1, 1, 1]] + [[2, 2, 2]] * (stages - 1),
            "n_conv_per_stage": [2] * stages,
            "n_conv_per_stage_decoder": [2] * (stages - 1),
        }

    started = time.process_time()
    with trainers.nnunet_variables(results, nnUNet_n_proc_DA="0"), contextlib.redirect_stdout(io.StringIO()):
        trainer = trainers.new_trainer("isotropic", results, kind, change_plans=enlarge)
        trainer.on_train_start()
        start_up = imports + time.process_time() - started
        observed, record = fastest(probe, trainer)
        trainers.shut_down(trainer)
    share = observed / start_up
    name = kind if isinstance(kind, str) else kind.__name__
    print(
        f"{name:<20}{start_up:>8.1f} s{observed:>8.2f} s{share:>8.1%}"
        f"{record.mirroring.draws:>7}{record.mirroring.clean:>7}",
        flush=True,
    )
    return observed <= BUDGET_SECONDS and (share <= BUDGET_SHARE or not share_counts)


def fastest(probe: Any, trainer: Any) -> tuple[float, Any]:
    """The best of several rounds: the others were disturbed."""
    times = []
    for _ in range(ROUNDS):
        started = time.process_time()
        record = probe.observe(trainer).record
        times.append(time.process_time() - started)
    return min(times), record


if __name__ == "__main__":
    sys.exit(main())
