"""``nnguard preflight`` on real trainings that are built and not run."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from nnguard.demo import workspace
from nnguard.errors import NNGuardError
from nnguard.foreign_calls import Failed
from nnguard.hooks import trial_start
from nnguard.probe.preview import previews
from tests.support import disc_datasets
from tests.support.pipelines import composed, mirror
from tests.support.trainers import trainer_class, trainer_on

TRAINERS = Path(workspace.__file__).with_name("trainers")


#: A train step of its own over nnU-Net's loader without mirrors: only training's first steps could tell.
OWN_STEP = """
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer


class nnUNetTrainerOwnStep(nnUNetTrainer):
    @staticmethod
    def get_training_transforms(patch_size, rotation, scales, mirror_axes, *args, **kwargs):
        return nnUNetTrainer.get_training_transforms(patch_size, rotation, scales, None, *args, **kwargs)

    def train_step(self, batch):
        return super().train_step(batch)
"""


def nnguard(folder, *arguments, trainers=TRAINERS, terminal=subprocess.PIPE):
    """The command in a process of its own: it points nnU-Net at a results folder before importing it."""
    variables = disc_datasets.environment(folder / "results") | {"nnUNet_extTrainer": str(trainers)}
    return subprocess.run(
        [sys.executable, "-c", "import sys; from nnguard.cli import main; sys.exit(main())", *map(str, arguments)],
        stdout=terminal,
        stderr=terminal,
        text=True,
        env={name: value for name, value in os.environ.items() if not name.startswith("NNGUARD")} | variables,
        cwd=folder,
        timeout=300,
        check=False,
    )


def on_a_terminal(folder, *arguments):
    """What a person would see of both streams."""
    master, slave = os.openpty()
    try:
        with ThreadPoolExecutor(1) as pool:
            seen = pool.submit(_everything_from, master)
            done = nnguard(folder, *arguments, terminal=slave)
            os.close(slave)
            return done.returncode, seen.result(timeout=60)
    finally:
        os.close(master)


def _everything_from(descriptor):
    seen = b""
    with contextlib.suppress(OSError):  # Linux's answer once the other end is closed
        while piece := os.read(descriptor, 1 << 16):
            seen += piece
    return seen.decode("utf-8", "replace")


def left_behind(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.slow
@pytest.mark.parametrize(("dataset", "configuration"), [("552", "2d"), ("Dataset562_Discs", "3d_fullres")])
def test_preflight_finds_the_trap_before_training_and_leaves_nothing(tmp_path, dataset, configuration):
    done = nnguard(
        tmp_path, "preflight", dataset, configuration, 0, "-tr", "nnUNetTrainerIssue2552", "--format", "json"
    )
    assert done.returncode == 1, done.stderr
    document = json.loads(done.stdout)
    assert [finding["code"] for finding in document["findings"]] == ["NNG103"]
    assert document["record"]["mirroring"]["safe_axes"] == []
    assert left_behind(tmp_path) == []


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "openpty"), reason="no terminals here")
def test_a_person_at_a_terminal_is_told_once(tmp_path):
    status, seen = on_a_terminal(tmp_path, "preflight", 552, "2d", 0, "-tr", "nnUNetTrainerIssue2552")
    assert status == 1
    assert seen.count("nnguard: what this training shows") == 1
    assert seen.count("NNG103 trainer-allows-untrained-flip") == 1
    assert seen.count("1 finding; nothing was trained") == 1


@pytest.mark.slow
def test_preflight_passes_the_default_trainer(tmp_path):
    done = nnguard(tmp_path, "preflight", 552, "2d", 0)
    assert done.returncode == 0, done.stderr
    assert "no findings; nothing was trained, and nothing written to the results folder" in done.stdout
    assert "safe for test-time mirroring: (0, 1)" in done.stdout
    assert left_behind(tmp_path) == []


@pytest.mark.slow
def test_what_only_training_can_settle_is_unverified_and_no_pass(tmp_path):
    own, work = tmp_path / "trainers", tmp_path / "work"
    own.mkdir()
    work.mkdir()
    (own / "nnUNetTrainerOwnStep.py").write_text(OWN_STEP)
    arguments = ("preflight", 552, "2d", 0, "-tr", "nnUNetTrainerOwnStep", "--format", "json")
    document = json.loads(nnguard(work, *arguments, trainers=own).stdout)
    assert document["record"]["mirroring"]["state"] == "pending"
    assert [finding["code"] for finding in document["findings"]] == ["NNG108"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("2d", 0, "-tr", "nnUNetTrainerTypo"), "there is no trainer class nnUNetTrainerTypo"),
        (("3d_lowres", 0), "configuration 3d_lowres"),
    ],
)
def test_an_unknown_trainer_or_configuration_is_one_clear_line(tmp_path, arguments, said):
    done = nnguard(tmp_path, "preflight", 552, *arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert said in done.stderr.splitlines()[-1]
    assert left_behind(tmp_path) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("999", "2d", "0"), "no data set 999"),
        (("552", "2d", "first"), "FOLD is a number or 'all'"),
        (("552", "2d", "0", "-p", "nnUNetOtherPlans"), "nnUNetOtherPlans.json does not exist"),
        (("Discs", "2d", "0"), "DATASET is a number or DatasetXXX_NAME"),
        (("999", "2d"), "no data set 999"),
        (("552", "2d", "0", "--picture", "nowhere/sheet.png"), "its folder does not exist"),
    ],
)
def test_wrong_arguments_are_one_clear_line_before_nnunet_is_imported(arguments, said, tmp_path, monkeypatch, capsys):
    from nnguard.cli import main

    for name, value in disc_datasets.environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    assert main(["preflight", *arguments]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert said in told.err


@pytest.mark.slow
@pytest.mark.parametrize(("dataset", "configuration"), [("552", "2d"), ("562", "3d_fullres")])
def test_a_picture_shows_what_each_draw_received_beside_the_findings(tmp_path, dataset, configuration):
    arguments = ("preflight", dataset, configuration, "-tr", "nnUNetTrainerIssue2552", "--picture", "sheet.png")
    done = nnguard(tmp_path, *arguments, "--format", "json")
    document = json.loads(done.stdout)
    assert (done.returncode, [finding["code"] for finding in document["findings"]]) == (1, ["NNG103"])
    assert document["picture"]["file"] == "sheet.png"
    assert len(document["picture"]["draws"]) == 16
    assert (tmp_path / "sheet.png").read_bytes().startswith(b"\x89PNG")
    assert left_behind(tmp_path) == ["sheet.png"]


def test_a_picture_that_cannot_be_drawn_takes_no_finding_away(tmp_path, monkeypatch, capsys):
    from nnguard.cli import main
    from nnguard.hooks import preview_picture

    def fails(*_):
        raise NNGuardError("no preview: too odd")

    for name, value in disc_datasets.environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(preview_picture, "write_preview", fails)
    monkeypatch.setattr(trial_start, "rehearsed", lambda *_: trainer_on("2d", tmp_path))
    picture = str(tmp_path / "sheet.png")
    assert main(["preflight", "552", "2d", "--picture", picture, "--format", "json"]) == 2
    told = capsys.readouterr()
    assert json.loads(told.out)["errors"] == ["no preview: too odd"]
    assert told.err.endswith("nnguard: no preview: too odd\n")


def only_mirrors(kind, *axes):
    """A trainer whose augmentation is the cut to the patch and a mirror: pixels can be compared exactly."""
    patch = disc_datasets.KINDS[kind].shape
    return type(
        "nnUNetTrainerOnlyMirrors",
        (trainer_class("nnUNetTrainer"),),
        {
            "__module__": __name__,
            "get_training_transforms": staticmethod(lambda *args, **options: composed(patch, mirror(*axes))),
        },
    )


@pytest.mark.parametrize(("kind", "axes"), [("2d", (0, 1)), ("isotropic", (0, 2))])
def test_the_stated_flip_is_what_the_pixels_received(kind, axes, tmp_path):
    with trainer_on(kind, tmp_path, only_mirrors(kind, *axes)) as trainer:
        plain, *draws = previews(trainer)
    assert len({draw.flip for draw in draws}) == 2 ** len(axes)
    for draw in draws:
        assert np.array_equal(draw.image, np.flip(plain.image, draw.flip) if draw.flip else plain.image)
        assert np.array_equal(draw.labels, np.flip(plain.labels, draw.flip) if draw.flip else plain.labels)


def test_a_pipeline_that_drops_the_codes_is_not_labelled_at_a_guess(tmp_path):
    def drops(**data):
        return {**data, "segmentation": data["segmentation"][:1]}

    own = type(
        "nnUNetTrainerDrops",
        (trainer_class("nnUNetTrainer"),),
        {"__module__": __name__, "get_training_transforms": staticmethod(lambda *a, **k: composed((64, 64), drops))},
    )
    with trainer_on("2d", tmp_path, own) as trainer:
        found = previews(trainer)
    assert isinstance(found, Failed)
    assert "no draw could be labelled truthfully" in found


def test_previewing_changes_nothing_that_a_training_draws(tmp_path):
    batches = []
    for previewed in (False, True):
        with trainer_on("2d", tmp_path) as trainer:
            np.random.seed(1), torch.manual_seed(1)
            if previewed:
                previews(trainer, 2)
            batches.append(next(trainer.dataloader_train)["data"])
    assert np.array_equal(*batches)


def test_a_trainer_that_fails_is_told_with_its_line(tmp_path, monkeypatch, capsys):
    from nnguard.cli import main

    @contextlib.contextmanager
    def fails(*arguments):
        yield {}["a"]

    for name, value in disc_datasets.environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(trial_start, "rehearsed", fails)
    assert main(["preflight", "552", "2d", "0"]) == 2
    line = fails.__wrapped__.__code__.co_firstlineno + 2
    told = f"the training cannot be started: KeyError: 'a' (test_preflight.py, line {line}, in fails)"
    assert told in capsys.readouterr().err
