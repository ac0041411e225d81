"""The driver behind scripts/compat: which versions, side by side, and what becomes of the results."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from . import environments, journey, page
from .claims import Wrong
from .sites import Site

PAGE = environments.ROOT / "docs" / "compatibility.md"
#: The oldest that is guarded, and the one in which DA5 and the other trainers hold different libraries' pipelines.
IN_CI = ("2.2.1", "2.5.2")
PARTS: dict[str, Callable[[Site, Callable[[str], None]], list[dict[str, Any]]]] = {
    "journey": journey.travel,
    "sweep": journey.sweep,
}


def options_of(arguments: list[str]) -> argparse.Namespace:
    """The command line. A version without pins ends it with one line and exit 2."""
    known = [*environments.versions(), *environments.forks()]
    parser = argparse.ArgumentParser(
        prog="scripts/compat",
        usage="scripts/compat [--ci] [--only PART] [VERSION...]",
        description="Runs issue 2552 and every built-in trainer under the guard with each VERSION of nnU-Net, or fork "
        "of it (all of them where none is given), and writes docs/compatibility.md. Environments and results stay in "
        ".cache/compat; versions that are not run keep their rows.",
        epilog=f"Versions: {' '.join(known)}",
    )
    parser.add_argument("versions", metavar="VERSION", nargs="*", default=[])
    parser.add_argument("--ci", action="store_true", help=f"only {' and '.join(IN_CI)}; the page stays as it is")
    parser.add_argument("--only", choices=tuple(PARTS), help="issue 2552 (journey) or the built-in trainers (sweep)")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1), help="how many parts side by side")
    options = parser.parse_args(arguments)
    unknown = [version for version in options.versions if version not in known]
    if unknown:
        print(f"scripts/compat: no pins for nnU-Net {unknown[0]}, only {', '.join(known)}", file=sys.stderr)
        raise SystemExit(2)
    options.versions = options.versions or list(IN_CI if options.ci else known)
    return options


def main(arguments: list[str]) -> int:
    options = options_of(arguments)
    begin = time.monotonic()
    parts = [options.only] if options.only else list(PARTS)
    pythons = {}
    for version in options.versions:  # one after the other: they share the downloads
        pythons[version] = environments.environment_of(version, os.environ["UV"])
        say(version, f"environment ready after {time.monotonic() - begin:.0f} s")
    with tempfile.TemporaryDirectory(prefix="compat-") as folder, ThreadPoolExecutor(max(1, options.jobs)) as pool:
        jobs = {
            version: {part: pool.submit(run, version, part, python, Path(folder) / version / part) for part in parts}
            for version, python in pythons.items()
        }
        rows = []
        for version, of_version in jobs.items():
            done = {part: job.result() for part, job in of_version.items()}
            keep(version, done)
            rows += [row for part in done.values() for row in part]
    if not options.ci:
        PAGE.write_text(page.written(known_results()), encoding="utf-8")
    failed = [row for row in rows if not row["passed"]]
    used = os.times()
    of_cpu = used.user + used.system + used.children_user + used.children_system
    say("all", f"{time.monotonic() - begin:.0f} s, {of_cpu:.0f} s of CPU")
    print(f"compat: {len(rows) - len(failed)} passed, {len(failed)} failed")
    return 1 if failed else 0


def run(version: str, part: str, python: Path, folder: Path) -> list[dict[str, Any]]:
    try:
        site = Site(version, python, folder)
        (environments.CACHE / version / "ran_on.json").write_text(json.dumps(site.inside("ran_on")))
        return PARTS[part](site, lambda text: say(version, text))
    except Wrong as error:
        say(version, f"FAILED: {error}")
        return [{"what": f"{part}, its data", "passed": False, "measured": str(error), "seconds": 0}]
    finally:
        log = folder / "commands.txt"
        if log.exists():
            (environments.CACHE / version / f"{part}.log").write_text(log.read_text())
        shutil.rmtree(folder, ignore_errors=True)  # half a gigabyte of checkpoints


def keep(version: str, rows: dict[str, list[dict[str, Any]]]) -> None:
    """Stores the results, beside those of the part that was not run."""
    file = environments.CACHE / version / "result.json"
    before = json.loads(file.read_text()) if file.exists() else {"journey": [], "sweep": []}
    ran_on = file.with_name("ran_on.json")
    known = json.loads(ran_on.read_text()) if ran_on.exists() else {}
    file.write_text(json.dumps({**before, **rows, "ran_on": known}, indent=1))


def known_results() -> dict[str, dict[str, Any]]:
    """What is stored, oldest version first."""
    files = {
        version: environments.CACHE / version / "result.json"
        for version in (*environments.versions(), *environments.forks())
    }
    return {version: json.loads(file.read_text()) for version, file in files.items() if file.exists()}


def say(version: str, text: str) -> None:
    print(f"{version}: {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
