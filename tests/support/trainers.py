"""Real ``nnUNetTrainer`` objects on real preprocessed data: ``with trainer_on("2d", folder) as trainer``.

The first call of a machine prepares the datasets (ten seconds); the first of a process imports nnU-Net
(seven); every further trainer takes 0.03 to 0.15 seconds.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.support import disc_datasets

# Torch's threads wait by spinning: beside another busy process, a step takes ten times as long (measured).
# nnU-Net's own commands set the number of threads again on the CPU, so the waiting is what has to change.
# Both have to be set before torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")


@contextlib.contextmanager
def nnunet_variables(results: Path, **more: str) -> Iterator[None]:
    """nnU-Net's environment variables, put back afterwards."""
    changed = disc_datasets.environment(results) | more
    before = {name: os.environ.get(name) for name in changed}
    os.environ.update(changed)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.__setitem__(name, value)


def trainer_class(name: str) -> type:
    """A built-in trainer class by its name, as ``-tr`` would find it."""
    try:
        from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name
    except ImportError:  # an older nnU-Net
        import nnunetv2
        from nnunetv2.utilities.find_class_by_name import recursive_find_python_class

        package = "nnunetv2.training.nnUNetTrainer"
        return recursive_find_python_class(str(Path(nnunetv2.__path__[0], "training", "nnUNetTrainer")), name, package)
    return recursive_find_trainer_class_by_name(name)


def new_trainer(
    kind: str,
    results: Path,
    trainer: type | str = "nnUNetTrainer",
    *,
    fold: int | str = 0,
    change_plans: Callable[[dict[str, Any]], None] | None = None,
) -> Any:
    """A constructed trainer on the CPU, as ``nnUNetv2_train`` would make it; nothing is initialised yet.

    Args:
        kind: a key of ``disc_datasets.KINDS``.
        results: its output goes below this folder.
        trainer: a class, or the name of a built-in one.
        change_plans: edits the plans in place, for patch sizes, batch sizes, transposes.
    """
    import torch

    description = disc_datasets.KINDS[kind]
    folder = disc_datasets.root() / "preprocessed" / description.name
    plans = json.loads((folder / "nnUNetPlans.json").read_text())
    plans["continue_training"] = False
    if change_plans is not None:
        change_plans(plans)
    with nnunet_variables(results):
        return (trainer_class(trainer) if isinstance(trainer, str) else trainer)(
            plans=plans,
            configuration=description.configuration,
            fold=fold,
            dataset_json=json.loads((folder / "dataset.json").read_text()),
            device=torch.device("cpu"),
        )


@contextlib.contextmanager
def trainer_on(
    kind: str,
    results: Path,
    trainer: type | str = "nnUNetTrainer",
    *,
    workers: int = 0,
    network: bool = False,
    **options: Any,
) -> Iterator[Any]:
    """A trainer whose ``dataloader_train`` and ``dataloader_val`` run; they are shut down at the end.

    The network is not built unless asked for: what is observed at training start is the data.

    Args:
        workers: augmentation workers, ``nnUNet_n_proc_DA``; 0 loads in this process.
        options: as ``new_trainer``.
    """
    made = new_trainer(kind, results, trainer, **options)
    with nnunet_variables(results, nnUNet_n_proc_DA=str(workers)):
        if network:
            made.initialize()
        else:
            made._set_batch_size_and_oversample()
        try:
            made.dataloader_train, made.dataloader_val = made.get_dataloaders()
            yield made
        finally:
            shut_down(made)


def validating_predictor(trainer: Any) -> Any:
    """The predictor that nnU-Net's own validation builds, for validations of a test's own: without processes."""
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    predictor = nnUNetPredictor(device=trainer.device, allow_tqdm=False)
    predictor.manual_initialization(
        trainer.network,
        trainer.plans_manager,
        trainer.configuration_manager,
        None,
        trainer.dataset_json,
        type(trainer).__name__,
        trainer.inference_allowed_mirroring_axes,
    )
    return predictor


def shut_down(trainer: Any) -> None:
    """Ends the loaders' workers, where there are any."""
    for loader in (trainer.dataloader_train, trainer.dataloader_val):
        finish = getattr(loader, "_finish", None)
        if finish is not None:
            finish()
