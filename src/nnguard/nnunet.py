"""How nnU-Net spells things: the keys of its checkpoints, the names of its files, what people call a training."""

from __future__ import annotations

import re
from typing import Any

# The keys of a checkpoint.
WEIGHTS_KEY = "network_weights"
TRAINER_KEY = "trainer_name"
ARGUMENTS_KEY = "init_args"
AXES_KEY = "inference_allowed_mirroring_axes"
EPOCH_KEY = "current_epoch"
BEST_EMA_KEY = "_best_ema"
LOGGING_KEY = "logging"
#: Without these nnU-Net's predictor stops with a KeyError.
NEEDED_KEYS = (WEIGHTS_KEY, TRAINER_KEY, ARGUMENTS_KEY)

#: What ``nnUNetv2_predict`` loads unless ``-chk`` says otherwise.
CHECKPOINT_NAME = "checkpoint_final.pth"
# Files of a model folder.
PLANS_FILE, DATASET_FILE = "plans.json", "dataset.json"
# Files of a fold's folder.
DEBUG_FILE, SUMMARY_FILE = "debug.json", "validation/summary.json"
FOLD_FOLDER = re.compile(r"fold_(\d+|all)")
#: Its folds predict only if they are asked for; nnU-Net does not find it by itself.
FOLD_ALL = "fold_all"


def fold_folder(fold: int | str) -> str:
    """The name of the folder that nnU-Net trains this fold into."""
    return f"fold_{fold}"


def training_name(trainer: str | None, dataset: str | None, configuration: str | None, fold: int | str | None) -> str:
    """``nnUNetTrainerX, Dataset002_Discs, 2d, fold 0``; what is not known is left out."""
    return ", ".join(str(part) for part in (trainer, dataset, configuration) if part) + (
        "" if fold is None else f", fold {fold}"
    )


def name_of_trainer(trainer: Any) -> str:
    """The same of a live trainer."""
    dataset = getattr(getattr(trainer, "plans_manager", None), "dataset_name", None)
    configuration = getattr(trainer, "configuration_name", None)
    return training_name(type(trainer).__name__, dataset, configuration, getattr(trainer, "fold", None))


#: Classes that hold the network of a training as their one module.
_WRAPPERS = ("DistributedDataParallel", "DataParallel", "OptimizedModule")


def bare_network(network: Any) -> Any:
    """The network inside DistributedDataParallel and torch.compile, in whatever order they were put around it."""
    while type(network).__name__ in _WRAPPERS:
        inside = network.__dict__["_modules"]
        network = inside["_orig_mod"] if "_orig_mod" in inside else inside["module"]
    return network
