"""Runs every test in a process of its own: ``scripts/test-each``.

A test that passes only after another one has run fails here. Each process is forked from one that has imported torch,
nnU-Net and nnguard, which saves ten seconds. That one imports no tests, so no test finds what another file changed.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import pytest

#: What is imported once. Nothing here arms the guard or reads nnU-Net's variables.
IMPORTED = (
    "torch",
    "nnunetv2.training.nnUNetTrainer.nnUNetTrainer",
    "nnunetv2.inference.predict_from_raw_data",
    "nnguard",
    "nnguard.cli",
    "nnguard.hooks",
    "nnguard.models",
)
#: The plugins that tests need; xdist knows a marker. All that is installed would take half a second of each process.
PLUGINS = ("_hypothesis_pytestplugin", "pytest_timeout", "xdist.plugin")
ALONE = ("-q", "-p", "no:cacheprovider", *(word for plugin in PLUGINS for word in ("-p", plugin)))
#: The end of a failed test's output that the summary repeats.
LINES_SHOWN = 40


class Started(NamedTuple):
    """A test that runs: its node id, and the folder for its output and its temporary files."""

    test: str
    folder: Path


class _Collection:
    """A plugin that writes down which tests pytest would run."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.file.write_text(json.dumps([item.nodeid for item in session.items]))


def main(arguments: list[str]) -> int:
    """The exit status: 0 if every test passes by itself, 1 if any fails, 2 if there is none."""
    options = _options(arguments)
    for name in (*IMPORTED, *PLUGINS):
        importlib.import_module(name)
    # What is imported stays; the collector, which pytest calls at its end, need not look at it in each process.
    gc.freeze()
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    with tempfile.TemporaryDirectory(prefix="test-each-") as folder:
        tests = _collected(options, Path(folder))
        if not tests:
            print("test-each: no test is selected", file=sys.stderr)
            return 2
        begin = time.monotonic()
        failed = _run_each(tests, Path(folder), options.jobs)
    gc.unfreeze()
    for test, output in failed.items():
        print(f"\n== {test}\n{output}")
    print(f"\n{len(tests) - len(failed)} passed, {len(failed)} failed, in {time.monotonic() - begin:.0f} s")
    for test in failed:
        print(f"FAILED {test}")
    return 1 if failed else 0


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/test-each", description="Runs every test in a process of its own.")
    parser.add_argument("paths", metavar="PATH", nargs="*", default=["tests"], help="files, folders or tests; all")
    parser.add_argument("-k", metavar="WORDS", default="", help="only tests whose names match, as pytest's -k says it")
    parser.add_argument("--slow", action="store_true", help="the slow tests too")
    parser.add_argument("--jobs", type=int, default=2, help="how many at a time (2)")
    return parser.parse_args(arguments)


def _collected(options: argparse.Namespace, folder: Path) -> list[str]:
    """The node ids of the tests; a process of its own collects them, because collecting imports every test's file."""
    file = folder / "collected.json"
    selection = ["-k", options.k, *([] if options.slow else ["-m", "not slow"])]
    started = _start(["--collect-only", *selection, *options.paths], folder / "collection", _Collection(file))
    _, status = os.waitpid(started, 0)
    if not file.exists() or os.waitstatus_to_exitcode(status) not in (
        pytest.ExitCode.OK,
        pytest.ExitCode.NO_TESTS_COLLECTED,
    ):
        print(_end_of(folder / "collection"), file=sys.stderr)
        raise SystemExit(2)
    return list(json.loads(file.read_text()))


def _run_each(tests: list[str], folder: Path, jobs: int) -> dict[str, str]:
    """Runs the tests, ``jobs`` at a time. Returns those that failed, each with the end of its output."""
    running: dict[int, Started] = {}
    failed: dict[str, str] = {}

    def wait_for_one() -> None:
        process, status = os.wait()
        test, place = running.pop(process)
        # The test's own processes: it is their group's first, and has ended.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process, signal.SIGKILL)
        if status:
            failed[test] = _end_of(place)
            print(f"FAILED {test}", flush=True)
        shutil.rmtree(place, ignore_errors=True)

    for number, test in enumerate(tests):
        if len(running) == jobs:
            wait_for_one()
        place = folder / str(number)
        running[_start([test], place)] = Started(test, place)
        if number % 100 == 0:
            print(f"test-each: {number} of {len(tests)} started, {len(failed)} failed", flush=True)
    while running:
        wait_for_one()
    return {test: failed[test] for test in tests if test in failed}


def _start(arguments: list[str], place: Path, *plugins: object) -> int:
    """Forks a process in which pytest runs with these arguments; its output and temporary files go to ``place``."""
    place.mkdir()
    sys.stdout.flush()
    sys.stderr.flush()
    process = os.fork()
    if process:
        return process
    status = 3
    try:
        os.setpgid(0, 0)
        output = os.open(place / "output", os.O_WRONLY | os.O_CREAT)
        os.dup2(output, 1)
        os.dup2(output, 2)
        status = int(pytest.main([*ALONE, f"--basetemp={place / 'tmp'}", *arguments], plugins=list(plugins)))
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        # Not sys.exit: what the parent left to be done at its end is not the child's to do.
        os._exit(status)


def _end_of(place: Path) -> str:
    return "\n".join((place / "output").read_text(errors="replace").splitlines()[-LINES_SHOWN:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
