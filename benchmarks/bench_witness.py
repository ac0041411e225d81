"""What a trainer's own ``train_step`` costs under the guard: once it is settled, and while it is watched.

Run it as ``python benchmarks/bench_witness.py``: a small 2D network of nnU-Net's own architecture, on the tests' data,
whose step flips each case and then calls nnU-Net's. Blocks of steps with and without the guard take turns, 500 each,
all of one trainer. Seconds are of this process's CPU. Two blocks without the guard show how far the ratio can be
trusted; what the budget is held against is counted by itself: what a guarded call takes more than a plain one, of a
step that does nothing.
"""

from __future__ import annotations

import contextlib
import io
import statistics
import sys
import tempfile
import time
import timeit
import warnings
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import nnguard
from tests.support import trainers

#: Of one step, once it is settled. What is left counts optimiser steps, which segments of a record are weighted by.
BUDGET_SHARE = 0.005
STEPS, BLOCK = 500, 25


def flipping_trainer() -> type:
    import torch

    base = trainers.trainer_class("nnUNetTrainer")

    class FlipsInItsStep(base):  # type: ignore[misc, valid-type]
        def train_step(self, batch: dict) -> dict:
            flipped = [bool(torch.rand(1).item() < 0.5) for _ in batch["data"]]
            for tensor in (batch["data"], *batch["target"]):
                for case, is_flipped in enumerate(flipped):
                    if is_flipped:
                        tensor[case] = torch.flip(tensor[case], [1])
            return super().train_step(batch)

        def configure_rotation_dummyDA_mirroring_and_inital_patch_size(self) -> tuple:
            *others, _ = super().configure_rotation_dummyDA_mirroring_and_inital_patch_size()
            self.inference_allowed_mirroring_axes = (0,)
            return (*others, None)

    FlipsInItsStep.__name__ = "nnUNetTrainer"  # by which a predictor finds a class that builds the same network
    return FlipsInItsStep


def small(plans: dict[str, Any]) -> None:
    arguments = plans["configurations"]["2d"]["architecture"]["arch_kwargs"]
    arguments["features_per_stage"] = [8] * len(arguments["features_per_stage"])


def steps(trainer: Any, batches: list[dict]) -> list[float]:
    """CPU seconds of each step."""
    times = []
    for batch in batches:
        started = time.process_time()
        trainer.train_step(batch)
        times.append(time.process_time() - started)
    return times


def guarded_microseconds(kind: type, results: Path) -> float:
    """What a guarded call of a settled ``train_step`` takes more than a plain one."""
    idle = type("Idle", (kind,), {"train_step": lambda self, batch: None})
    fastest = {}
    for mode in ("warn", "off"):
        nnguard.install(mode)
        trainer = trainers.new_trainer("2d", results, idle, change_plans=small)
        if mode == "warn":
            from nnguard.hooks.trainer import live_training

            live_training(trainer).observed = True
        calls = timeit.repeat("trainer.train_step(None)", globals={"trainer": trainer}, number=20_000, repeat=9)
        fastest[mode] = min(calls) / 20_000 * 1e6
    return fastest["warn"] - fastest["off"]


def weights_check_microseconds(trainer: Any) -> float:
    """What it takes, at each prediction, to see that nobody has loaded other weights into the network."""
    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    from nnguard.hooks import predictor as hook

    nnguard.install("warn")
    predictor = nnUNetPredictor(device=torch.device("cpu"))
    checkpoint = Path(trainer.output_folder) / "checkpoint_final.pth"
    trainer.save_checkpoint(str(checkpoint))
    predictor.initialize_from_trained_model_folder(trainer.output_folder_base, (0,), checkpoint.name)
    hook.check(predictor, as_it_is=True)
    return min(timeit.repeat(lambda: hook.check(predictor, as_it_is=True), number=200, repeat=9)) / 200 * 1e6


def main() -> int:
    warnings.simplefilter("ignore")
    results = Path(tempfile.mkdtemp())
    nnguard.install("warn")
    with trainers.nnunet_variables(results, nnUNet_n_proc_DA="0"), contextlib.redirect_stdout(io.StringIO()):
        from nnguard.hooks.trainer import live_training

        kind = flipping_trainer()
        trainer = trainers.new_trainer("2d", results, kind, change_plans=small)
        trainer.on_train_start()
        trainer.network.train()
        batches = [next(trainer.dataloader_train) for _ in range(BLOCK)]
        watched = []
        while live_training(trainer).witness is not None:
            watched += steps(trainer, batches[:1])
        times: dict[str, list[float]] = {"off": [], "warn": [], "off again": []}
        modes = list(times)
        for turn in range(STEPS // BLOCK):
            # Each goes first as often as the others: what comes later finds other caches.
            for mode in (*modes[turn % 3 :], *modes[: turn % 3]):
                taken = times[mode]
                nnguard.install(mode.removesuffix(" again"))
                trainers.new_trainer("2d", results, kind)  # what its class overrides is guarded when one is made
                steps(trainer, batches[:1])
                taken += steps(trainer, batches)
        left = guarded_microseconds(kind, results)
        weights_check = weights_check_microseconds(trainer)
    median = {mode: statistics.median(taken) for mode, taken in times.items()}
    share = left / 1e6 / median["off"]
    kept = share <= BUDGET_SHARE
    print(f"{STEPS} steps of {median['off'] * 1000:.1f} ms after {len(watched)} that were watched")
    print(f"guarded against unguarded, settled: {median['warn'] / median['off']:.4f}")
    print(f"unguarded against unguarded:        {median['off again'] / median['off']:.4f}")
    print(f"left on each step:                  {left:.1f} microseconds, {share:.3%} of it", end="")
    print(f" (budget {BUDGET_SHARE:.1%}: {'kept' if kept else 'EXCEEDED'})")
    # The first is not like the others: caches fill.
    more = statistics.median(watched[1:]) - median["warn"]
    print(f"more on each watched step:          {more * 1000:.2f} ms")
    print(f"other weights? at each prediction:  {weights_check:.0f} microseconds")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
