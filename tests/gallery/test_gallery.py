"""The gallery: each trainer started for real under the guard, and its verdict compared with the truth beside it."""

from __future__ import annotations

import contextlib
import warnings
from pathlib import Path

import pytest
import torch

import nnguard
from nnguard.checkpoint import read_checkpoint
from nnguard.hooks import trainer as hook
from tests.gallery import out_of_the_way, own_transforms, steps_and_loaders, third_party
from tests.gallery.entries import EVERY_FLIP_2D, Entry
from tests.support import trainers

ENTRIES = [
    *own_transforms.gallery,
    *third_party.gallery,
    *steps_and_loaders.gallery,
    *out_of_the_way.gallery,
]


def small(plans):
    """A network of a few hundred weights; four cases a step."""
    for configuration in plans["configurations"].values():
        arguments = configuration.get("architecture", {}).get("arch_kwargs")
        if arguments:
            arguments["features_per_stage"] = [4] * len(arguments["features_per_stage"])
            configuration["batch_size"] = 4


@pytest.fixture
def started(tmp_path):
    """``started(entry)``: its trainer, started under ``NNGUARD=warn`` and stepped as far as the entry says."""
    with contextlib.ExitStack() as stack:

        def start(entry):
            stack.enter_context(trainers.nnunet_variables(tmp_path, nnUNet_n_proc_DA=str(entry.workers)))
            base = trainers.trainer_class("nnUNetTrainer")
            plans = [small, *([entry.change_plans] if entry.change_plans else [])]
            made = trainers.new_trainer(
                entry.kind, tmp_path, entry.make(base), change_plans=lambda made: [change(made) for change in plans]
            )
            stack.callback(trainers.shut_down, made)
            torch.manual_seed(1)
            made.on_train_start()
            begun = hook.record_of(made).mirroring.state
            made.network.train()
            for _ in range(entry.steps):
                made.train_step(next(made.dataloader_train))
            if hook.live_training(made).witness is not None:  # the watch ends with the epoch
                made.current_epoch += 1
                made.train_step(next(made.dataloader_train))
            return made, begun

        nnguard.install("warn")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield start
        nnguard.uninstall()


def test_the_gallery_is_large_and_nothing_hangs_twice():
    names = [entry.name for entry in ENTRIES]
    assert len(names) == len(set(names)) >= 30


#: Others' libraries take seconds to import, and torch.compile to compile.
SLOW = {*(entry.name for entry in third_party.gallery), "compiles_nnunets_own_step", "remaps_47_labels"}


@pytest.mark.parametrize(
    "entry",
    [pytest.param(entry, id=entry.name, marks=[pytest.mark.slow] * (entry.name in SLOW)) for entry in ENTRIES],
)
def test_the_verdict_is_the_truth(entry, started):
    made, begun = started(entry)
    mirroring = hook.record_of(made).mirroring
    assert mirroring.state == entry.state, mirroring.reasons
    assert begun == (entry.starts or entry.state)
    assert sorted(finding.code for finding in hook.findings_of(made)) == sorted(entry.finds)
    if entry.state == "unknown":
        assert mirroring.reasons
        assert mirroring.safe_axes is None
        return
    by_verdict = {"trained": set(), "rare": set(), "unseen": set()}
    for flip in mirroring.flips:
        by_verdict[flip.verdict].add(flip.axes)
    assert by_verdict["trained"] == set(entry.trained)
    assert by_verdict["rare"] <= set(entry.rare)
    for axes in entry.trained:
        assert mirroring.flip(axes).labels == entry.labels.get(axes, "kept")
    for axes, permutation in entry.permutation.items():
        assert mirroring.flip(axes).permutation == permutation
    if entry.name in EQUALLY_GOOD:
        assert len(mirroring.safe_axes) == len(entry.safe)
    else:
        assert mirroring.safe_axes == entry.safe


#: One of several equally frequent axes is safe; which, is a matter of counts.
EQUALLY_GOOD = ("flips_one_axis_or_the_other", "monai_rand_axis_flipd")


def test_a_replaced_save_checkpoint_still_gets_its_record(started, tmp_path):
    def saves_itself(base):
        def save_checkpoint(self, filename):
            torch.save(
                {
                    "network_weights": self.network.state_dict(),
                    "init_args": self.my_init_kwargs,
                    "trainer_name": type(self).__name__,
                    "inference_allowed_mirroring_axes": self.inference_allowed_mirroring_axes,
                },
                filename,
            )

        return type("nnUNetTrainerSavesItself", (base,), {"save_checkpoint": save_checkpoint})

    made, _ = started(Entry(make=saves_itself, trained=EVERY_FLIP_2D))
    path = Path(tmp_path) / "own.pth"
    made.save_checkpoint(str(path))
    assert read_checkpoint(path).record().mirroring.safe_axes == (0, 1)
