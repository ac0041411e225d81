"""What the hooks cost: saving a checkpoint, starting a predictor, each patch. Ratios within one run.

Run it as ``python benchmarks/bench_hooks.py``: a real trainer with nnU-Net's own 2D network, on the tests' small data.
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
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import nnguard
from tests.support import fliptests, trainers

ROUNDS = 15
BUDGET_SAVE, BUDGET_BYTES, BUDGET_START, BUDGET_PATCH = 0.02, 16 * 1024, 0.01, 2.0


def in_turns(actions: dict[str, Callable[[], Any]]) -> dict[str, list[float]]:
    """Seconds of each action. They take turns, so that a busy moment or a growing cache hits all of them."""
    times: dict[str, list[float]] = {mode: [] for mode in actions}
    for _ in range(ROUNDS):
        for mode, action in actions.items():
            nnguard.install(mode)
            started = time.perf_counter()
            action()
            times[mode].append(time.perf_counter() - started)
    return times


def inside_hooks(action: Callable[[], Any]) -> tuple[float, float]:
    """Seconds spent in guards and in the whole of ``action``: immune to the noise of disk and memory around them."""
    from nnguard.hooks import patching

    spent = 0.0

    def timed(guard: Any) -> Any:
        def run(*arguments: Any) -> Any:
            nonlocal spent
            started = time.perf_counter()
            try:
                return guard(*arguments)
            finally:
                spent += time.perf_counter() - started

        return run if guard is not None else None

    nnguard.uninstall()
    nnguard.install("warn")
    for patch in patching.patches():
        patch.before, patch.after = timed(patch.before), timed(patch.after)
    started = time.perf_counter()
    action()
    whole = time.perf_counter() - started
    nnguard.uninstall()
    return spent, whole


def row(name: str, value: str, budget: str, kept: bool) -> bool:
    print(f"{name:<44} {value:>22} {budget:>14}   {'kept' if kept else 'EXCEEDED'}")
    return kept


def main() -> int:
    warnings.simplefilter("ignore")
    results = Path(tempfile.mkdtemp())
    nnguard.install("warn")
    quiet = io.StringIO()
    with trainers.nnunet_variables(results, nnUNet_n_proc_DA="0"), contextlib.redirect_stdout(quiet):
        trainer = trainers.new_trainer("2d", results)
        trainer.on_train_start()
        trainer.network.train()
        trainer.train_step(next(trainer.dataloader_train))  # fills the optimiser's state
        fold = Path(trainer.output_folder)
        files = {mode: fold / f"checkpoint_{mode}.pth" for mode in ("off", "warn")}
        saves = in_turns({mode: lambda mode=mode: trainer.save_checkpoint(str(files[mode])) for mode in files})
        in_save = [inside_hooks(lambda: trainer.save_checkpoint(str(files["warn"]))) for _ in range(ROUNDS)]

        import torch
        from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

        predictor = nnUNetPredictor(device=torch.device("cpu"))

        def start() -> None:
            predictor.initialize_from_trained_model_folder(trainer.output_folder_base, (0,), files["warn"].name)

        starts = in_turns({"off": start, "warn": start})
        in_start = [inside_hooks(start) for _ in range(ROUNDS)]
        model = Path(trainer.output_folder_base)
        fliptests.written(model, fliptests.document(model, (0, 1), folds=(0,), checkpoint_name=files["warn"].name))
        in_tested = [inside_hooks(start) for _ in range(ROUNDS)]
        per_patch = patch_cost(nnUNetPredictor, predictor)
    size = {mode: path.stat().st_size for mode, path in files.items()}
    shares = {
        name: statistics.median(spent / whole for spent, whole in pairs)
        for name, pairs in (("save", in_save), ("start", in_start), ("tested", in_tested))
    }
    more = size["warn"] - size["off"]
    print(f"{'checkpoint of ' + str(size['off'] >> 20) + ' MB':<44} {'measured':>22} {'budget':>14}")
    kept = [
        row(
            "save_checkpoint, share of it spent in hooks",
            f"{shares['save']:.2%}",
            f"{BUDGET_SAVE:.0%}",
            shares["save"] <= BUDGET_SAVE,
        ),
        row("save_checkpoint, bytes more", f"{more}", f"{BUDGET_BYTES}", more <= BUDGET_BYTES),
        row(
            "predictor start, share spent in hooks",
            f"{shares['start']:.2%}",
            f"{BUDGET_START:.0%}",
            shares["start"] <= BUDGET_START,
        ),
        row(
            "the same with a fliptest in the model folder",
            f"{shares['tested']:.2%}",
            f"{BUDGET_START:.0%}",
            shares["tested"] <= BUDGET_START,
        ),
        row("each patch, microseconds", f"{per_patch:.2f}", f"{BUDGET_PATCH:.0f}", per_patch <= BUDGET_PATCH),
    ]
    for name, times in (("save_checkpoint", saves), ("predictor start", starts)):
        fastest = {mode: min(values) for mode, values in times.items()}
        print(f"{name}, fastest of {ROUNDS}: {fastest['off']:.3f} s unguarded, {fastest['warn']:.3f} s guarded")
    return 0 if all(kept) else 1


def patch_cost(base: type, initialised: Any) -> float:
    """Microseconds that a guarded call of the mirroring method takes more than a plain one."""

    class Trivial(base):  # type: ignore[misc, valid-type]
        def _internal_maybe_mirror_and_predict(self, x: Any) -> Any:
            return x

    fastest = {}
    for mode in ("warn", "off"):
        nnguard.install(mode)
        predictor = Trivial(device=initialised.device)
        vars(predictor).update(vars(initialised))
        predictor._internal_maybe_mirror_and_predict(None)
        # Looked up anew at each call, as nnU-Net does: binding the method is part of the cost.
        statement = "predictor._internal_maybe_mirror_and_predict(None)"
        calls = timeit.repeat(statement, globals={"predictor": predictor}, number=20_000, repeat=15)
        fastest[mode] = min(calls) / 20_000 * 1e6
    return fastest["warn"] - fastest["off"]


if __name__ == "__main__":
    sys.exit(main())
