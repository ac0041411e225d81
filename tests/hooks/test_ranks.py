"""Ranks of a distributed training: the first one decides, and tells the others its axes before they validate."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from nnguard.hooks import ranks

PROCESS = Path(__file__).with_name("rank_process.py")


@pytest.fixture
def store(monkeypatch):
    """The store of a process group."""
    from torch.distributed import HashStore

    made = HashStore()
    monkeypatch.setattr(ranks, "_store", lambda: made)
    monkeypatch.setattr(ranks, "PATIENCE", 0.3)
    return made


@pytest.mark.parametrize("axes", [(0, 1), None, "malformed"])
def test_what_the_first_rank_tells_is_heard(store, axes):
    ranks.tell("axes/1", axes)
    assert ranks.told("axes/1") == (list(axes) if isinstance(axes, tuple) else axes)


def test_a_second_validation_does_not_read_the_axes_of_the_first(store):
    ranks.tell("axes/1", (0,))
    ranks.tell("axes/2", None)
    assert ranks.told("axes/2") is None


def test_a_first_rank_that_says_nothing_is_not_waited_for_for_ever(store):
    begin = time.monotonic()
    assert ranks.told("axes/1") is msgspec.UNSET
    assert time.monotonic() - begin < 5


def test_outside_of_a_distributed_training_nobody_is_told_or_asked():
    ranks.tell("axes/1", (0,))
    assert ranks.told("axes/1") is msgspec.UNSET


def two_ranks(tmp_path, scenario, mode):
    """Two processes with a real gloo group and a real trainer each: exit status, what came of it, stderr, by rank."""
    environment = os.environ | {
        "NNGUARD": mode,
        "PYTHONPATH": os.pathsep.join([str(PROCESS.parents[2]), os.environ.get("PYTHONPATH", "")]),
        "CUDA_VISIBLE_DEVICES": "",
    }
    running = [
        subprocess.Popen(
            [sys.executable, str(PROCESS), scenario, str(rank), str(tmp_path)],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    errors = [process.communicate(timeout=240)[1] for process in running]
    files = [tmp_path / f"{scenario}{rank}.json" for rank in range(2)]
    came = [json.loads(file.read_text()) if file.is_file() else None for file in files]
    return list(zip([process.returncode for process in running], came, errors, strict=True))


@pytest.mark.slow
def test_two_ranks_with_one_pipeline_are_silent_and_the_first_writes(tmp_path):
    (_, first, said), (_, second, others_said) = two_ranks(tmp_path, "same", "exact")
    assert first == {"axes": [0, 1], "state": "observed", "copy": True}
    assert second == {"axes": [0, 1], "state": None, "copy": False}
    assert "NNG" not in said + others_said


def test_both_ranks_validate_with_the_axes_that_the_first_has_narrowed(tmp_path):
    (_, first, said), (_, second, others_said) = two_ranks(tmp_path, "unmirrored", "correct")
    assert first["axes"] is second["axes"] is None
    assert "NNG103" in said
    assert "NNG103" not in others_said


@pytest.mark.slow
def test_a_train_step_is_watched_on_the_first_rank_and_both_go_by_what_it_showed(tmp_path):
    (_, first, _), (_, second, _) = two_ranks(tmp_path, "step", "correct")
    assert first["axes"] == second["axes"] == [0]
    assert (first["state"], second["state"]) == ("observed", None)


@pytest.mark.slow
def test_a_refusal_of_the_first_rank_ends_the_other_in_its_next_collective(tmp_path):
    first, second = two_ranks(tmp_path, "unmirrored", "strict")
    assert "NNG103" in first[2]
    assert "NNG103" not in second[2]
    assert first[0] != 0
    assert second[0] != 0


@pytest.mark.slow
def test_a_rank_that_is_told_nothing_goes_on_and_says_so(tmp_path):
    _, (_, second, said) = two_ranks(tmp_path, "silent", "correct")
    assert second["axes"] == [0, 1]
    assert "nnguard: rank 1 was not told which axes rank 0 mirrors along, and goes on with its own" in said
