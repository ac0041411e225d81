"""Ranks of a distributed training: each tells what its pipeline shows, and all refuse and correct alike."""

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
from nnguard.record import FlipEvidence, Mirroring

PROCESS = Path(__file__).with_name("rank_process.py")
SUBJECT = "a training"


def shows(*axes, state="observed"):
    flips = [
        FlipEvidence(axes=flip, count=30, rate=0.5, low=0.4, high=0.6, verdict="trained", labels="kept")
        for flip in axes
    ]
    return Mirroring(state=state, draws=64, clean=64, plain_rate=0.5, flips=flips, safe_axes=())


def word(*axes, fingerprint=None, state="observed"):
    return ranks.Word(fingerprint=fingerprint, mirroring=shows(*axes, state=state))


@pytest.fixture
def store(monkeypatch):
    """The store of two ranks; this process is rank 0, and what rank 1 says is put there by the test."""
    from torch.distributed import HashStore

    made = HashStore()
    monkeypatch.setattr(ranks, "_group", lambda: (made, 0, 2))
    monkeypatch.setattr(ranks, "PATIENCE", 0.3)
    ranks._told.clear()
    return made


def says(store, said, turn=1, stage="start"):
    store.set(f"nnguard/{stage}/{SUBJECT}/{turn}/1", msgspec.json.encode(said))


def test_outside_of_a_distributed_training_nobody_is_asked():
    assert ranks.exchange("start", SUBJECT, word()) is None


def test_ranks_that_show_the_same_agree(store):
    says(store, word((0,), fingerprint="a"))
    heard = ranks.exchange("start", SUBJECT, word((0,), fingerprint="a"))
    assert set(heard.words) == {0, 1}
    assert heard.silent == ()
    assert ranks.difference(heard) is None


def test_ranks_that_show_other_flips_disagree_and_go_by_the_first(store):
    says(store, word(fingerprint="b"))
    heard = ranks.exchange("start", SUBJECT, word((0,), fingerprint="a"))
    assert ranks.difference(heard) == "rank 0 shows the flips (0,); rank 1 shows no flip"
    assert heard.verdict == shows((0,))


def test_rates_of_one_pipeline_may_differ_by_chance(store):
    says(store, word(fingerprint="a"))
    heard = ranks.exchange("start", SUBJECT, word((0,), fingerprint="a"))
    assert ranks.difference(heard) is None


def test_other_transforms_that_flip_alike_are_told_apart_from_other_flips(store):
    says(store, word((0,), fingerprint="b"))
    heard = ranks.exchange("start", SUBJECT, word((0,), fingerprint="a"))
    assert heard.same_flips
    assert "other ways" in ranks.difference(heard)


def test_the_verdict_is_that_of_the_first_rank_that_observed_anything(store):
    says(store, word((1,)))
    assert ranks.exchange("start", SUBJECT, word(state="unknown")).verdict == shows((1,))


def test_a_silent_rank_is_named_and_not_waited_for_for_ever(store):
    begin = time.monotonic()
    heard = ranks.exchange("start", SUBJECT, word((0,)))
    assert time.monotonic() - begin < 5
    assert heard.silent == (1,)
    assert heard.verdict == shows((0,))


def test_a_second_start_does_not_read_the_words_of_the_first(store):
    says(store, word((0,)))
    says(store, word((1,)), turn=2)
    ranks.exchange("start", SUBJECT, word((0,)))
    assert ranks.exchange("start", SUBJECT, word((0,))).words[1] == word((1,))


def two_ranks(tmp_path, scenario, mode):
    """Two processes with a real gloo group and a real trainer each; what came of each, by rank."""
    environment = os.environ | {
        "NNGUARD": mode,
        "PYTHONPATH": os.pathsep.join([str(PROCESS.parents[1]), os.environ.get("PYTHONPATH", "")]),
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
    for process, error in zip(running, errors, strict=True):
        assert process.returncode == 0, error[-3000:]
    return [json.loads((tmp_path / f"{scenario}{rank}.json").read_text()) for rank in range(2)]


@pytest.mark.slow
def test_two_real_ranks_with_one_pipeline_are_silent(tmp_path):
    for came in two_ranks(tmp_path, "same", "exact"):
        assert came == {"findings": [], "axes": [0, 1], "effective": [0, 1], "copy": came["copy"]}


@pytest.mark.slow
def test_two_real_ranks_that_differ_are_both_refused_for_the_same_reasons(tmp_path):
    first, second = two_ranks(tmp_path, "differ", "strict")
    assert first["findings"] == second["findings"] == ["NNG103", "NNG111"]


@pytest.mark.slow
def test_two_real_ranks_that_differ_are_corrected_alike_and_the_first_writes(tmp_path):
    first, second = two_ranks(tmp_path, "differ", "correct")
    assert first["axes"] is second["axes"] is None
    assert (first["copy"], second["copy"]) == (True, False)


@pytest.mark.slow
def test_a_rank_that_never_starts_keeps_nobody_waiting(tmp_path):
    first, second = two_ranks(tmp_path, "absent", "exact")
    assert (first["findings"], first["axes"]) == ([], [0, 1])
    assert second == {}


def test_train_steps_seen_by_two_real_ranks_settle_to_one_verdict(tmp_path):
    first, second = two_ranks(tmp_path, "step", "correct")
    assert first["axes"] == second["axes"] == [0]
    assert first["safe"] == second["safe"] == [0]
    assert first["rates"] == second["rates"]
