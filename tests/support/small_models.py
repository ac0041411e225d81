"""Model folders of nnU-Net's own trainers with a narrow network, a few steps long or untrained, in seconds."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

from tests.support import disc_datasets
from tests.support.trainers import new_trainer, nnunet_variables, trainer_class


def narrow(plans: dict[str, Any], kind: str) -> None:
    """A network that learns in seconds."""
    configuration = plans["configurations"][disc_datasets.KINDS[kind].configuration]
    configuration["batch_size"] = 8 if len(configuration["patch_size"]) == 2 else 2
    arguments = configuration["architecture"]["arch_kwargs"]
    arguments["features_per_stage"] = [min(2 ** (3 + stage), 64) for stage in range(arguments["n_stages"])]


def small_model(
    kind: str,
    results: Path,
    *,
    steps: int = 0,
    mirrors: tuple[int, ...] | None = (0, 1),
    folds: tuple[int, ...] = (0,),
    whole: bool = False,
) -> Path:
    """The model folder. Each fold is trained by itself; all are seeded.

    Args:
        kind: a key of ``disc_datasets.KINDS``.
        results: its output goes below this folder.
        steps: of training; none leaves the weights as they were initialised.
        mirrors: what training mirrors along, whatever nnU-Net declares ((0, 1) in 2D).
        folds: which to make.
        whole: train both halves of a disc as label 1, which every flip keeps.
    """
    import torch

    base = trainer_class("nnUNetTrainer")

    def get_training_transforms(patch_size, rotation, scales, mirror_axes, *args, **options):
        pipeline = base.get_training_transforms(patch_size, (-0.05, 0.05), scales, mirrors, *args, **options)
        if whole:
            pipeline.transforms.insert(0, one_label)
        return pipeline

    own = type("nnUNetTrainer", (base,), {"get_training_transforms": staticmethod(get_training_transforms)})
    for fold in folds:
        torch.manual_seed(fold)
        made = new_trainer(kind, results, own, fold=fold, change_plans=lambda plans: narrow(plans, kind))
        made.num_epochs, made.num_iterations_per_epoch, made.num_val_iterations_per_epoch = 1, steps, 1
        with nnunet_variables(results, nnUNet_n_proc_DA="0"), contextlib.redirect_stdout(io.StringIO()):
            if steps:
                made.run_training()
            else:
                made.initialize()
                made.configure_rotation_dummyDA_mirroring_and_inital_patch_size()
                made.save_checkpoint(str(Path(made.output_folder) / "checkpoint_final.pth"))
                save_settings(made)
    return Path(made.output_folder_base)


def one_label(**data: Any) -> dict[str, Any]:
    return {**data, "segmentation": data["segmentation"].clip(max=1)}


def save_settings(trainer: Any) -> None:
    """What ``on_train_start`` would write beside the folds."""
    import json

    folder = Path(trainer.output_folder_base)
    (folder / "plans.json").write_text(json.dumps(trainer.plans_manager.plans))
    (folder / "dataset.json").write_text(json.dumps(trainer.dataset_json))


def raw(kind: str) -> Path:
    """The dataset's raw folder; ``2d`` alone has ``imagesTs`` and ``labelsTs``."""
    return disc_datasets.root() / "raw" / disc_datasets.KINDS[kind].name
