"""``nnguard inspect`` and the reader against ``torch.load``, on made checkpoints of 62 MB and 1 GB.

Run it as ``python benchmarks/bench_inspect.py [MEGABYTES...]``. Every figure is of a whole process, imports
included: the best of several, in seconds and peak MB. Budgets (DESIGN 10): ``inspect`` 150 ms and 40 MB, at least
20 times faster than ``torch.load``, flat in file size.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

BUDGET_SECONDS, BUDGET_MEGABYTES, BUDGET_RATIO, BUDGET_GROWTH = 0.150, 40, 20, 1.5
#: As many tensors as a 3d_fullres nnU-Net has, and as many buffers of its optimiser.
TENSORS = 160
ARMS = {
    "python -c pass": ("-c", "pass"),
    "read_checkpoint": (
        "-c",
        "import sys; from nnguard.checkpoint import read_checkpoint; read_checkpoint(sys.argv[1])",
    ),
    "nnguard inspect": ("-c", "import sys; from nnguard.cli import main; sys.exit(main())", "inspect"),
    "torch.load, mmap": (
        "-c",
        "import sys, torch; torch.load(sys.argv[1], weights_only=False, map_location='cpu', mmap=True)",
    ),
    "torch.load": ("-c", "import sys, torch; torch.load(sys.argv[1], weights_only=False, map_location='cpu')"),
}


def make(path: Path, megabytes: int) -> None:
    import numpy as np
    import torch

    from checkpoints import checkpoint_dict, make_record

    numbers = (megabytes << 20) // (2 * TENSORS * 4)
    weights = {f"encoder.stages.{n}.0.convs.0.all_modules.0.weight": torch.randn(numbers) for n in range(TENSORS)}
    state = {n: {"momentum_buffer": torch.randn(numbers)} for n in range(TENSORS)}
    epochs = 1_000
    logging = {
        name: [np.float64(0.9)] * epochs for name in ("mean_fg_dice", "ema_fg_dice", "train_losses", "val_losses")
    }
    torch.save(
        checkpoint_dict(
            record=make_record(),
            network_weights=weights,
            optimizer_state={"state": state, "param_groups": [{"lr": 0.01, "params": list(range(TENSORS))}]},
            logging=logging,
        ),
        path,
    )


def measure(arguments: tuple[str, ...]) -> tuple[float, float]:
    """Seconds and peak MB of one process."""
    begin = time.perf_counter()
    process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, _, usage = os.wait4(process.pid, 0)
    process.returncode = 0
    return time.perf_counter() - begin, usage.ru_maxrss / 1024


def best(arguments: tuple[str, ...], rounds: int) -> tuple[float, float]:
    runs = [measure(arguments) for _ in range(rounds)]
    return min(run[0] for run in runs), min(run[1] for run in runs)


def main() -> int:
    sizes = [int(size) for size in sys.argv[1:]] or [62, 1024]
    found: dict[tuple[str, int], tuple[float, float]] = {}
    print(f"{'':18}" + "".join(f"{size:>10} MB{'':9}" for size in sizes))
    with tempfile.TemporaryDirectory() as folder:
        files = {size: Path(folder) / f"{size}.pth" for size in sizes}
        for size, file in files.items():
            # In a process of its own: the peak of a child begins at its parent's size.
            subprocess.run([sys.executable, __file__, "--make", str(file), str(size)], check=True)
        for name, arm in ARMS.items():
            rounds = 3 if name.startswith("torch") else 10
            for size, file in files.items():
                found[name, size] = best((*arm, str(file)), rounds)
            cells = (f"{found[name, size][0]:8.3f} s {found[name, size][1]:6.0f} MB   " for size in sizes)
            print(f"{name:18}" + "".join(cells), flush=True)
    return verdict(found, sizes)


def verdict(found: dict[tuple[str, int], tuple[float, float]], sizes: list[int]) -> int:
    missed = []
    for size in sizes:
        seconds, megabytes = found["nnguard inspect", size]
        ratio = found["torch.load", size][0] / seconds
        print(f"{size} MB: inspect is {ratio:.0f} times as fast as torch.load")
        if seconds > BUDGET_SECONDS or megabytes > BUDGET_MEGABYTES or ratio < BUDGET_RATIO:
            missed.append(f"{size} MB: {seconds:.3f} s, {megabytes:.0f} MB, {ratio:.0f} times")
    growth = found["nnguard inspect", sizes[-1]][0] / found["nnguard inspect", sizes[0]][0]
    print(f"from {sizes[0]} to {sizes[-1]} MB its time grows {growth:.2f}-fold")
    if growth > BUDGET_GROWTH:
        missed.append(f"grows {growth:.2f}-fold")
    print("over budget: " + "; ".join(missed) if missed else "within budget")
    return bool(missed)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--make"]:
        make(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        sys.exit(main())
