"""What the reader says of a file against what PyTorch loads from it."""

import torch

from nnguard.checkpoint import Opaque, read_checkpoint

AXES = "inference_allowed_mirroring_axes"


def loaded(path):
    return torch.load(path, weights_only=False, map_location="cpu")


def same(ours, theirs):
    """Equal in value and, for containers, in type; NaN equals NaN; numpy's numbers count as Python's."""
    if isinstance(ours, Opaque):
        return not isinstance(theirs, (dict, list, tuple, str, int, float, type(None)))
    if isinstance(ours, dict):
        return list(ours) == list(theirs) and all(same(ours[key], theirs[key]) for key in ours)
    if isinstance(ours, (list, tuple)):
        return type(ours) is type(theirs) and len(ours) == len(theirs) and all(map(same, ours, theirs))
    return ours == theirs or (ours != ours and theirs != theirs)


def assert_agrees(path):
    ours, theirs = read_checkpoint(path), loaded(path)
    assert ours.keys == tuple(theirs)
    assert same(ours.init_args, theirs["init_args"])
    assert same(ours.logging, theirs["logging"])
    assert ours.epoch == theirs["current_epoch"]
    assert same(ours.best_ema, theirs["_best_ema"])
    assert ours.trainer_name == theirs["trainer_name"]
    assert ours.has_declared_axes == (AXES in theirs)
    assert same(ours.declared_axes, theirs.get(AXES))
    assert ours.record_text == theirs.get("nnguard")
    return ours
