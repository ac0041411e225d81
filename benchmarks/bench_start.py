"""What the start of an interpreter costs: bare, with nnguard installed and unset, off, armed, and ``import nnguard``.

Run it as ``python benchmarks/bench_start.py [ROUNDS]`` with hatchling installed. Two fresh environments, one with
nnguard's wheel unpacked into it; the variants take turns, so that a busy moment hits all of them.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
BUDGET_UNSET, BUDGET_ARMED = 1.0, 5.0

#: name -> (environment, NNGUARD, code)
VARIANTS = {
    "bare": ("bare", None, "pass"),
    "installed, unset": ("guarded", None, "pass"),
    "installed, off": ("guarded", "off", "pass"),
    "installed, warn": ("guarded", "warn", "pass"),
    "import nnguard": ("guarded", None, "import nnguard"),
}


def environments(folder: Path) -> dict[str, str]:
    build = f"import hatchling.build; print(hatchling.build.build_wheel({str(folder)!r}))"
    wheel = folder / subprocess.check_output([sys.executable, "-c", build], cwd=ROOT, text=True).split()[-1]
    pythons = {}
    for name in ("bare", "guarded"):
        venv.create(folder / name)
        pythons[name] = str(folder / name / "bin" / "python")
    where = [pythons["guarded"], "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])"]
    site_packages = subprocess.check_output(where, text=True).strip()
    zipfile.ZipFile(wheel).extractall(site_packages)
    subprocess.check_call([pythons["guarded"], "-m", "compileall", "-q", site_packages])
    return pythons


def milliseconds(python: str, setting: str | None, code: str) -> float:
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("NNGUARD", "PYTHON"))}
    if setting is not None:
        environment["NNGUARD"] = setting
    started = time.perf_counter()
    subprocess.run([python, "-c", code], env=environment, check=True)
    return (time.perf_counter() - started) * 1e3


def main(rounds: int) -> int:
    with tempfile.TemporaryDirectory() as folder:
        pythons = environments(Path(folder))
        times: dict[str, list[float]] = {name: [] for name in VARIANTS}
        for _ in range(rounds):
            for name, (environment, setting, code) in VARIANTS.items():
                times[name].append(milliseconds(pythons[environment], setting, code))
    bare = times["bare"]
    print(f"{'':<20} {'fastest':>9} {'median':>9} {'over bare':>10} {'budget':>8}   ms, {rounds} rounds")
    kept = True
    for name, measured in times.items():
        # Noise only ever adds, so the fastest runs are compared, a few of them for steadiness.
        over = statistics.fmean(sorted(measured)[:5]) - statistics.fmean(sorted(bare)[:5])
        budget = {"bare": None, "installed, unset": BUDGET_UNSET, "installed, off": BUDGET_UNSET}.get(
            name, BUDGET_ARMED
        )
        kept = kept and (budget is None or over <= budget)
        limit = "" if budget is None else f"{budget:8.1f}"
        print(f"{name:<20} {min(measured):9.2f} {statistics.median(measured):9.2f} {over:10.2f} {limit}")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 40))
