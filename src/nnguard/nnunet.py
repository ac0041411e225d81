"""What nnU-Net's own things are called where people read of them."""

from __future__ import annotations

from typing import Any


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
