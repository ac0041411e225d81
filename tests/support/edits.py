"""One field of ``plans.json`` or ``dataset.json`` edited after training, and NNG201 must say so."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

IN_PLANS = ("NNG201",)
AMONG_FOLDS = ("NNG301",)
#: Whatever these rules find, notes included, reaches the user as a warning, and nothing is refused.
ALL_TOLD = ",".join(["warn", *(f"{code}=warn" for code in (*IN_PLANS, *AMONG_FOLDS))])

Change = Callable[[dict[str, Any]], Any]
#: The file, less its ending, and the edit.
Edit = tuple[str, Change]


def rewritten(path: Path, change: Change, **how: Any) -> None:
    """Reads a JSON file, changes what it says in place, and writes it back."""
    content = json.loads(path.read_text())
    path.write_text(json.dumps(change(content) or content, **how))


def configured(**changes: Any) -> Change:
    return lambda plans: plans["configurations"]["2d"].update(changes)


def top(**changes: Any) -> Change:
    return lambda content: content.update(changes)


def architecture(**changes: Any) -> Change:
    return lambda plans: plans["configurations"]["2d"]["architecture"]["arch_kwargs"].update(changes)


def statistics(plans: dict[str, Any]) -> None:
    plans["foreground_intensity_properties_per_channel"]["0"]["mean"] += 1


#: Name of the case: file, edit. After each of them nnU-Net still loads the model.
EDITS = {
    "spacing": ("plans", configured(spacing=[1.0, 2.0])),
    "normalization_schemes": ("plans", configured(normalization_schemes=["NoNormalization"])),
    "use_mask_for_norm": ("plans", configured(use_mask_for_norm=[True])),
    "preprocessor_name": ("plans", configured(preprocessor_name="MyPreprocessor")),
    "intensities": ("plans", statistics),
    "patch_size": ("plans", configured(patch_size=[32, 32])),
    "transpose_forward": ("plans", top(transpose_forward=[0, 2, 1])),
    "transpose_backward": ("plans", top(transpose_backward=[0, 2, 1])),
    "labels exchanged": ("dataset", top(labels={"background": 0, "left": 2, "right": 1})),
    "labels renamed": ("dataset", top(labels={"background": 0, "L": 1, "R": 2})),
    "channel_names": ("dataset", top(channel_names={"0": "CT"})),
    "resampling_fn_data": ("plans", configured(resampling_fn_data="resample_torch_fornnunet")),
    "resampling_fn_data_kwargs": ("plans", configured(resampling_fn_data_kwargs={"order": 0})),
    "resampling_fn_seg": ("plans", configured(resampling_fn_seg="resample_torch_fornnunet")),
    "resampling_fn_seg_kwargs": ("plans", configured(resampling_fn_seg_kwargs={"order": 0})),
    "resampling_fn_probabilities": ("plans", configured(resampling_fn_probabilities="no_resampling_hack")),
    "resampling_fn_probabilities_kwargs": (
        "plans",
        configured(resampling_fn_probabilities_kwargs={"order": 0}),
    ),
    "image_reader_writer": ("plans", top(image_reader_writer="SimpleITKIO")),
    "file_ending": ("dataset", top(file_ending=".nii.gz")),
    "nonlinearity": ("plans", architecture(nonlin="torch.nn.ReLU")),
}

#: After these nnU-Net fails by itself, and its own error is what the user gets; ``check`` says why beforehand.
FATAL = {
    "label_manager": ("plans", top(label_manager="MyLabelManager")),
    "another label": ("dataset", top(labels={"background": 0, "left": 1, "right": 2, "more": 3})),
    "another channel": ("dataset", top(channel_names={"0": "grey", "1": "CT"})),
    "previous_stage": ("plans", configured(previous_stage="3d_lowres")),
    "features": ("plans", architecture(features_per_stage=[8] * 4)),
}

#: Plans of nnU-Net before 2.5 spell the network out in the configuration; weights of another shape stop nnU-Net.
OLD_ARCHITECTURE = {"features, in old plans": ("plans", configured(UNet_base_num_features=8))}


def edits_of(plans: Mapping[str, Any]) -> dict[str, Edit]:
    """The edits that fit a version's plans, by name."""
    edits = EDITS | FATAL
    if "architecture" in plans["configurations"]["2d"]:
        return edits
    edits = {name: edit for name, edit in edits.items() if name not in ("nonlinearity", "features")}
    return edits | OLD_ARCHITECTURE
