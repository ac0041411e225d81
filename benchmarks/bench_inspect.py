"""``nnguard inspect`` against ``torch.load``, on made checkpoints of 62 MB and 1 GB.

Run it as ``python benchmarks/bench_inspect.py [MEGABYTES...]``. What is in each figure:

- A figure is of a whole, fresh process, from its start to its exit: interpreter, imports, work.
- ``nnguard inspect`` is the console command with its text on a pipe. ``torch.load`` is a process that imports torch
  (and not nnU-Net, which takes seconds more) and loads the file as nnU-Net does: ``map_location="cpu",
  weights_only=False``.
- The file is shaped as nnU-Net's after 1,000 epochs: 320 tensors, the curves of each epoch in numpy's numbers, plans,
  a record. It has been read before, so that the disk plays no part.
- Both have their bytecode cached, as every installed package has from its second start on.
- Arms take turns, so that a busy moment hits all of them. Times are the best of all rounds, for noise only adds;
  a ratio is the median of the rounds' own ratios, for a round's arms ran side by side; memory is the worst peak.

Budgets: ``inspect`` 150 ms and 40 MB, at least 20 times faster than ``torch.load``, flat in file size.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

BUDGET_SECONDS, BUDGET_MEGABYTES, BUDGET_RATIO, BUDGET_GROWTH = 0.150, 40, 20, 1.5
ROUNDS = 9
#: As many tensors as a 3d_fullres nnU-Net has, and as many buffers of its optimiser.
TENSORS = 160
#: nnU-Net's own number; each logs nine numbers, six of them numpy's.
EPOCHS = 1_000
INSPECT, LOAD = "nnguard inspect", "torch.load"
ARMS = {
    "python -c pass": ("-c", "pass"),
    "read_checkpoint": (
        "-c",
        "import sys; from nnguard.checkpoint import read_checkpoint; read_checkpoint(sys.argv[1])",
    ),
    INSPECT: ("-c", "import sys; from nnguard.cli import main; sys.exit(main())", "inspect"),
    LOAD: ("-c", "import sys, torch; torch.load(sys.argv[1], map_location='cpu', weights_only=False)"),
}


def make(path: Path, megabytes: int) -> None:
    import torch

    from tests.support.checkpoints import checkpoint_dict
    from tests.support.records import record_of

    numbers = (megabytes << 20) // (2 * TENSORS * 4)
    weights = {f"encoder.stages.{n}.0.convs.0.all_modules.0.weight": torch.randn(numbers) for n in range(TENSORS)}
    state = {n: {"momentum_buffer": torch.randn(numbers)} for n in range(TENSORS)}
    torch.save(
        checkpoint_dict(
            record=record_of(),
            network_weights=weights,
            optimizer_state={"state": state, "param_groups": [{"lr": 0.01, "params": list(range(TENSORS))}]},
            logging=curves(),
            current_epoch=EPOCHS,
        ),
        path,
    )


def curves() -> dict[str, list[Any]]:
    """nnU-Net's logging of a whole training with two labels, numpy's numbers and Python's as it logs them."""
    import numpy as np

    numbers = np.random.default_rng(0)

    def logged() -> list[Any]:
        return list(numbers.random(EPOCHS, dtype=np.float32))

    names = ("mean_fg_dice", "ema_fg_dice", "train_losses", "val_losses")
    times = ("lrs", "epoch_start_timestamps", "epoch_end_timestamps")
    return {
        **{name: logged() for name in names},
        "dice_per_class_or_region": [list(of_epoch) for of_epoch in zip(logged(), logged(), strict=True)],
        **{name: numbers.random(EPOCHS).tolist() for name in times},
    }


class Run(NamedTuple):
    """One process: wall-clock seconds and peak MB."""

    seconds: float
    megabytes: float


def run(arguments: tuple[str, ...], environment: dict[str, str]) -> Run:
    begin = time.perf_counter()
    process = subprocess.Popen([sys.executable, *arguments], env=environment, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - begin
    process.stdout.close()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{arguments} ended with {process.returncode}")
    return Run(seconds, usage.ru_maxrss / 1024)


def with_bytecode(folder: Path) -> dict[str, str]:
    """The environment of processes that keep bytecode in ``folder``, whatever this one does."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**environment, "PYTHONPYCACHEPREFIX": str(folder), "OMP_NUM_THREADS": "1"}


def in_turns(file: Path, environment: dict[str, str]) -> dict[str, list[Run]]:
    """All rounds of all arms; a first round, which writes bytecode, is not counted."""
    rounds = [{name: run((*arm, str(file)), environment) for name, arm in ARMS.items()} for _ in range(ROUNDS + 1)]
    return {name: [one[name] for one in rounds[1:]] for name in ARMS}


def main() -> int:
    sizes = [int(size) for size in sys.argv[1:]] or [62, 1024]
    found: dict[int, dict[str, list[Run]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        environment = with_bytecode(Path(folder) / "bytecode")
        for size in sizes:
            file = Path(folder) / f"{size}.pth"
            # In a process of its own: the peak of a child begins at its parent's size.
            subprocess.run([sys.executable, __file__, "--make", str(file), str(size)], check=True)
            found[size] = in_turns(file, environment)
            file.unlink()
    print(f"{'best of':>9} {ROUNDS:<8}" + "".join(f"{size:>10} MB{'':9}" for size in sizes))
    for name in ARMS:
        runs = [found[size][name] for size in sizes]
        cells = (f"{best(of_size):8.3f} s {max(of_size, key=peak).megabytes:6.0f} MB   " for of_size in runs)
        print(f"{name:18}" + "".join(cells))
    return verdict(found)


def best(runs: list[Run]) -> float:
    return min(one.seconds for one in runs)


def peak(one: Run) -> float:
    return one.megabytes


def ratio(over: list[Run], under: list[Run]) -> float:
    """The median of the rounds' own ratios."""
    return statistics.median(a.seconds / b.seconds for a, b in zip(over, under, strict=True))


def verdict(found: dict[int, dict[str, list[Run]]]) -> int:
    missed = []
    for size, arms in found.items():
        seconds, most = best(arms[INSPECT]), max(map(peak, arms[INSPECT]))
        times = ratio(arms[LOAD], arms[INSPECT])
        print(f"{size} MB: inspect is {times:.1f} times as fast as torch.load (median of {ROUNDS} rounds)")
        if seconds > BUDGET_SECONDS or most > BUDGET_MEGABYTES or times < BUDGET_RATIO:
            missed.append(f"{size} MB: {seconds:.3f} s, {most:.0f} MB, {times:.1f} times")
    smallest, largest = found[min(found)], found[max(found)]
    growth = best(largest[INSPECT]) / best(smallest[INSPECT])
    print(f"from {min(found)} to {max(found)} MB its time grows {growth:.2f}-fold")
    if growth > BUDGET_GROWTH:
        missed.append(f"grows {growth:.2f}-fold")
    print("over budget: " + "; ".join(missed) if missed else "within budget")
    return bool(missed)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--make"]:
        make(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        sys.exit(main())
