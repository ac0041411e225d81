"""A part of a checkpoint that keeps the weights and drops the rest, as conversions to other formats write it."""

import pytest
import torch

from nnguard.checkpoint import read_checkpoint


@pytest.fixture
def loaded(guard, model_folders):
    guard("warn")
    return torch.load(model_folders["unmirrored"] / "fold_0" / "checkpoint_final.pth", weights_only=False)


def saved(part, path):
    torch.save(part, path)
    return torch.load(path, weights_only=True)


def test_the_weights_take_their_record_along(loaded, tmp_path):
    part = {"network_weights": loaded["network_weights"]}
    assert saved(part, tmp_path / "model.pt")["nnguard"] == loaded["nnguard"]
    assert list(part) == ["network_weights"]


def test_a_predictor_finds_the_record_of_such_a_part(loaded, tmp_path):
    from nnguard.hooks import origins

    part = saved({"network_weights": dict(loaded["network_weights"])}, tmp_path / "model.pt")
    assert origins.origin_of(part["network_weights"]).record.mirroring.safe_axes == ()


def test_weights_that_were_trained_on_are_others(loaded, tmp_path):
    for value in loaded["network_weights"].values():
        value.add_(1)
    assert list(saved({"network_weights": loaded["network_weights"]}, tmp_path / "model.pt")) == ["network_weights"]


@pytest.mark.parametrize("weights", [{"layer": torch.zeros(2, 3)}, {}, "none"], ids=["own", "empty", "no weights"])
def test_weights_that_came_from_no_file_are_left_alone(loaded, tmp_path, weights):
    assert list(saved({"network_weights": weights}, tmp_path / "model.pt")) == ["network_weights"]


def test_a_whole_checkpoint_without_its_record_is_left_alone(loaded, tmp_path):
    stripped = {key: value for key, value in loaded.items() if key != "nnguard"}
    torch.save(stripped, tmp_path / "stripped.pth")
    assert read_checkpoint(tmp_path / "stripped.pth").record() is None
