"""Claims about ``NNGUARD_PREVIEW``: a sheet at training start, which no fault of its own can stop."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from nnguard.errors import NNGuardError
from nnguard.hooks import preview_picture
from nnguard.probe.preview import previews
from nnguard.settings import PREVIEW_VARIABLE
from tests.support.pipelines import composed
from tests.support.trainers import trainer_on


@pytest.fixture
def started(guard, new_trainer, monkeypatch):
    """``started("1")``: the folder of a training that has started under that value, and its log."""

    def start(value, **attributes):
        monkeypatch.setenv(PREVIEW_VARIABLE, value)
        guard("strict")
        made = new_trainer()
        for name, entry in attributes.items():
            setattr(made, name, entry)
        made.on_train_start()
        return Path(made.output_folder), Path(made.log_file).read_text()

    return start


def test_a_sheet_lies_beside_the_log(started):
    folder, _ = started("1")
    assert (folder / preview_picture.FILE_NAME).read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("value", ["0", "off", ""])
def test_switched_off_there_is_none(started, value):
    folder, _ = started(value)
    assert not (folder / preview_picture.FILE_NAME).exists()


def fails_with(error):
    def fail(*_):
        raise error

    return fail


def test_a_sheet_that_cannot_be_drawn_is_a_line_in_the_log_and_the_training_starts(started, monkeypatch):
    monkeypatch.setattr(preview_picture, "write_preview", fails_with(NNGuardError("no preview: too odd")))
    folder, log = started("1")
    assert "nnguard: no preview: too odd" in log
    assert (folder / "nnguard.json").is_file()


@pytest.mark.expects_internal_error
@pytest.mark.parametrize("error", [RuntimeError("a broken font"), OSError(28, "no space left"), MemoryError()])
def test_a_fault_of_ours_is_kept_in_and_the_training_starts(started, monkeypatch, error):
    monkeypatch.setattr(preview_picture, "write_preview", fails_with(error))
    folder, _ = started("1")
    assert (folder / "nnguard.json").is_file()


def test_the_stated_turn_is_what_the_patch_received(base, tmp_path):
    from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform

    turned = SpatialTransform(
        (64, 64), 0, random_crop=False, p_rotation=1, rotation=(math.radians(20), math.radians(20)), p_scaling=0
    )
    own = type(
        "nnUNetTrainerTurns",
        (base,),
        {"__module__": __name__, "get_training_transforms": staticmethod(lambda *a, **k: composed((64, 64), turned))},
    )
    with trainer_on("2d", tmp_path, own) as trainer:
        plain, *draws = previews(trainer, 3)
    assert plain.turn == 0
    assert [draw.turn for draw in draws] == pytest.approx([20] * 3, abs=4)
    assert all(draw.flip == () for draw in draws)
    assert preview_picture.title_of(draws[0]).startswith("not flipped, turned ")
