"""Small made checkpoints and model folders, shaped as nnU-Net 2.8.1 writes them.

A real trainer's checkpoint is a plain ``torch.save`` of nine keys; these have the same nine, with a
few hundred weights. Shared by the tests of models, command line and checkpoint.
"""

from __future__ import annotations

import copy
import importlib.util
import json
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

from nnguard.record import Record

PLANS: dict[str, Any] = {
    "dataset_name": "Dataset002_Discs",
    "plans_name": "nnUNetPlans",
    "original_median_spacing_after_transp": [999.0, 1.0, 1.0],
    "original_median_shape_after_transp": [1, 64, 64],
    "image_reader_writer": "NaturalImage2DIO",
    "transpose_forward": [0, 1, 2],
    "transpose_backward": [0, 1, 2],
    "configurations": {
        "2d": {
            "data_identifier": "nnUNetPlans_2d",
            "preprocessor_name": "DefaultPreprocessor",
            "batch_size": 12,
            "patch_size": [64, 64],
            "median_image_size_in_voxels": [64.0, 64.0],
            "spacing": [1.0, 1.0],
            "normalization_schemes": ["ZScoreNormalization"],
            "use_mask_for_norm": [False],
            "resampling_fn_data": "resample_data_or_seg_to_shape",
            "resampling_fn_seg": "resample_data_or_seg_to_shape",
            "resampling_fn_data_kwargs": {"is_seg": False, "order": 3, "order_z": 0, "force_separate_z": None},
            "resampling_fn_seg_kwargs": {"is_seg": True, "order": 1, "order_z": 0, "force_separate_z": None},
            "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
            "resampling_fn_probabilities_kwargs": {
                "is_seg": False,
                "order": 1,
                "order_z": 0,
                "force_separate_z": None,
            },
            "architecture": {"network_class_name": "PlainConvUNet", "arch_kwargs": {"n_stages": 4}},
            "batch_dice": True,
        }
    },
    "experiment_planner_used": "ExperimentPlanner",
    "label_manager": "LabelManager",
    "foreground_intensity_properties_per_channel": {"0": {"mean": 100.0, "std": 20.0}},
}
DATASET: dict[str, Any] = {
    "channel_names": {"0": "grey"},
    "labels": {"background": 0, "left": 1, "right": 2},
    "numTraining": 20,
    "file_ending": ".png",
}

#: The pipelines as nnU-Net 2.8.1 with batchgeneratorsv2 0.3.6 prints them, shortened.
DEBUG_MIRRORED = (
    "ComposeTransforms( transforms = [SpatialTransform( patch_size = array([64, 64]), p_rotation = 0.2 ), "
    "RandomTransform(p=0.1, transform=GaussianNoiseTransform( noise_variance = (0, 0.1) )), "
    "MirrorTransform( allowed_axes = (0, 1) ), RemoveLabelTransform( label_value = -1, set_to = 0 )] )"
)
DEBUG_PLAIN = DEBUG_MIRRORED.replace("MirrorTransform( allowed_axes = (0, 1) ), ", "")


def checkpoint_dict(
    *, axes: Any = (0, 1), record: Record | str | None = None, fold: int | str = 0, **changes: Any
) -> dict[str, Any]:
    """What nnU-Net's ``save_checkpoint`` hands to ``torch.save``; ``changes`` replace or add keys."""
    import numpy
    import torch

    generator = torch.Generator().manual_seed(0)
    entries = plain_entries(axes=axes, record=record, fold=fold)
    entries["network_weights"] = OrderedDict(
        (f"encoder.stages.{stage}.weight", torch.randn(8, 4, 3, 3, generator=generator)) for stage in range(3)
    )
    entries["logging"]["mean_fg_dice"] = list(map(numpy.float32, entries["logging"]["mean_fg_dice"]))
    entries["_best_ema"] = numpy.float64(entries["_best_ema"])
    entries["init_args"]["device"] = torch.device("cpu")
    return {**entries, **changes}


def plain_entries(
    *, axes: Any = (0, 1), record: Record | str | None = None, fold: int | str = 0, **changes: Any
) -> dict[str, Any]:
    """The same with plain data alone: no weights, no scalars of numpy's, no device."""
    checkpoint: dict[str, Any] = {
        "network_weights": {},
        "optimizer_state": {"state": {}, "param_groups": [{"lr": 0.01, "params": [0, 1, 2]}]},
        "grad_scaler_state": None,
        "logging": {
            "mean_fg_dice": [0.5, 0.94],
            "ema_fg_dice": [0.5, 0.7],
            "train_losses": [0.1, -0.8],
        },
        "_best_ema": 0.7,
        "current_epoch": 4,
        "init_args": {
            "plans": copy.deepcopy(PLANS),
            "configuration": "2d",
            "fold": fold,
            "dataset_json": copy.deepcopy(DATASET),
        },
        "trainer_name": "nnUNetTrainer",
        "inference_allowed_mirroring_axes": axes,
    }
    if record is not None:
        checkpoint["nnguard"] = record if isinstance(record, str) else record.to_json()
    return {**checkpoint, **changes}


def save_checkpoint(path: Path, **options: Any) -> Path:
    """Writes a made checkpoint; options as ``checkpoint_dict``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if importlib.util.find_spec("torch") is None:
        from tests.support.checkpoints_without_torch import written

        path.write_bytes(written(plain_entries(**options), with_weights="network_weights" not in options))
        return path
    import torch

    torch.save(checkpoint_dict(**options), path)
    return path


def save_model(
    folder: Path,
    folds: tuple[int | str, ...] = (0,),
    *,
    debug: str | None = None,
    checkpoint_name: str = "checkpoint_final.pth",
    **options: Any,
) -> Path:
    """Writes a model folder; ``debug`` is the pipeline's text for each ``debug.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "plans.json").write_text(json.dumps(PLANS))
    (folder / "dataset.json").write_text(json.dumps(DATASET))
    for fold in folds:
        save_checkpoint(folder / f"fold_{fold}" / checkpoint_name, fold=fold, **options)
        if debug is not None:
            write_debug(folder / f"fold_{fold}", debug, options.get("axes", (0, 1)))
    return folder


def export(archive: Path, *models: Path, checkpoint_name: str = "checkpoint_final.pth") -> Path:
    """A zip of what ``nnUNetv2_export_model_to_zip`` takes of each model folder, under the names that it gives."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as exported:
        for model in models:
            for name in (f"fold_*/{checkpoint_name}", "fold_*/debug.json", "fold_*/validation/summary.json", "*.json"):
                for path in sorted(model.glob(name)):
                    exported.write(path, path.relative_to(model.parents[1]))
    return archive


def write_debug(fold_folder: Path, pipeline: str, axes: Any = (0, 1)) -> Path:
    """A ``debug.json`` as nnU-Net 2.8.1 leaves it, shortened to what matters here."""
    path = fold_folder / "debug.json"
    entries = {
        "dataloader_train.generator.transforms": pipeline,
        "dataloader_train.transform": "None",
        "inference_allowed_mirroring_axes": str(axes),
        "torch_version": "2.15.0",
    }
    path.write_text(json.dumps(entries, indent=2))
    return path
