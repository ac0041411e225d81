"""``nnguard audit`` on 1,000 single-fold models (budget: 10 s on 2 cores) and ``nnguard inspect`` on one (150 ms).

Run it as ``python benchmarks/bench_audit.py [NUMBER]``. The models are copies of one made checkpoint with as
many tensors as a 3d_fullres nnU-Net has, so that ``data.pkl`` has its real length; half carry a record, half a
``debug.json``.
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.support.checkpoints import DATASET, DEBUG_MIRRORED, PLANS, checkpoint_dict, write_debug
from tests.support.records import record_of

BUDGET_AUDIT = 10.0
BUDGET_INSPECT = 0.150
#: Convolutions, norms and their momentum buffers of a 3d_fullres PlainConvUNet.
TENSORS = 160
STARTS = 20
NNGUARD = [sys.executable, "-c", "import sys; from nnguard.cli import main; sys.exit(main())"]


def make_checkpoint(path: Path, with_record: bool) -> None:
    import torch

    weights = {f"encoder.stages.{number}.0.convs.0.all_modules.0.weight": torch.zeros(8) for number in range(TENSORS)}
    state = {number: {"momentum_buffer": torch.zeros(8)} for number in range(TENSORS)}
    logging = {"mean_fg_dice": [0.9] * 1000, "ema_fg_dice": [0.9] * 1000, "train_losses": [-0.8] * 1000}
    checkpoint = checkpoint_dict(
        record=record_of() if with_record else None,
        network_weights=weights,
        optimizer_state={"state": state, "param_groups": [{"lr": 0.01, "params": list(range(TENSORS))}]},
        logging=logging,
    )
    torch.save(checkpoint, path)


def make_tree(root: Path, number: int) -> None:
    for with_record in (True, False):
        make_checkpoint(root / f"{with_record}.pth", with_record)
    for index in range(number):
        fold = root / "results" / f"Dataset{index:04}_Made" / "nnUNetTrainer__nnUNetPlans__2d" / "fold_0"
        fold.mkdir(parents=True)
        with_record = index % 2 == 0
        shutil.copyfile(root / f"{with_record}.pth", fold / "checkpoint_final.pth")
        (fold.parent / "plans.json").write_text(json.dumps(PLANS))
        (fold.parent / "dataset.json").write_text(json.dumps(DATASET))
        if not with_record:
            write_debug(fold, DEBUG_MIRRORED)


def seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


def main() -> int:
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make_tree(root, number)
        one = next(root.glob("results/*/*/fold_0/checkpoint_final.pth"))
        bare = [seconds([sys.executable, "-c", "pass"]) for _ in range(STARTS)]
        inspect = [seconds([*NNGUARD, "inspect", str(one)]) for _ in range(STARTS)]
        rows = {jobs: seconds([*NNGUARD, "audit", str(root / "results"), "--jobs", str(jobs)]) for jobs in (1, 2)}
        print(f"{'what':<44}{'measured':>12}{'budget':>10}")
        print(f"{'python start (best, median of 20)':<44}{_ms(bare):>12}")
        print(f"{'nnguard inspect, whole process':<44}{_ms(inspect):>12}{'150 ms':>10}")
        for jobs, took in rows.items():
            print(f"{f'nnguard audit, {number} models, {jobs} processes':<44}{took:>10.2f} s{'10 s':>10}")
    within = rows[2] <= BUDGET_AUDIT * number / 1000 and statistics.median(inspect) <= BUDGET_INSPECT
    return 0 if within or number < 1000 else 1


def _ms(times: list[float]) -> str:
    return f"{min(times) * 1000:.0f}, {statistics.median(times) * 1000:.0f} ms"


if __name__ == "__main__":
    sys.exit(main())
