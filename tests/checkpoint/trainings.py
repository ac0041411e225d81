"""Checkpoints of a small training, as PyTorch writes them."""

import copy
from functools import cache

import numpy as np
import torch

from tests.support.agreement import AXES

RECORD = '{"schema": 1, "note": "' + "x" * 3000 + '"}'


@cache
def states():
    """State dicts of a small network after one step, and of its optimiser, momentum and all."""
    network = torch.nn.Sequential(torch.nn.Conv2d(2, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Conv2d(4, 3, 1))
    optimiser = torch.optim.SGD(network.parameters(), 1e-2, momentum=0.99, nesterov=True)
    network(torch.randn(2, 2, 8, 8)).square().mean().backward()
    optimiser.step()
    return network.state_dict(), optimiser.state_dict()


def trained(**changes):
    """The dict that a small trainer's ``save_checkpoint`` writes."""
    network, optimiser = copy.deepcopy(states())
    logging = {
        "mean_fg_dice": [np.float64(0.5), np.float32(0.75)],
        "ema_fg_dice": [np.float64(0.5), np.float64(0.525)],
        "dice_per_class_or_region": [[np.float64(0.1), np.float64("nan")], [np.float64(0.2), np.float64(0.3)]],
        "train_losses": [np.float32(-0.1), -0.25],
        "lrs": [0.01, 0.0099],
        "epoch_start_timestamps": [1.5e9, 1.6e9],
    }
    return {
        "network_weights": network,
        "optimizer_state": optimiser,
        "grad_scaler_state": torch.amp.GradScaler(enabled=False).state_dict(),
        "logging": logging,
        "_best_ema": np.float64(0.525),
        "current_epoch": 2,
        "init_args": {
            "plans": {"plans_name": "nnUNetPlans", "transpose_forward": [0, 1, 2], "patch": (64, 64), "flag": True},
            "configuration": "2d",
            "fold": 0,
            "dataset_json": {"labels": {"background": 0, "left": 1}, "numTraining": 20, "ending": ".png"},
            "device": torch.device("cuda", 0),
        },
        "trainer_name": "nnUNetTrainer",
        AXES: (0, 1),
        **changes,
    }


def saved(tmp_path, content, **how):
    """The file that ``torch.save`` makes of it."""
    path = tmp_path / "checkpoint_final.pth"
    torch.save(content, path, **how)
    return path
