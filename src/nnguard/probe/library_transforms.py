"""What the transforms of nnU-Net's own libraries can change, by exact class and module.

Only exact library classes are listed. A subclass may do anything, so the probe runs it as it is.
"""

from __future__ import annotations

import functools
from types import FunctionType, MethodType
from typing import Any

#: Every transform in these modules changes intensities only, or changes nothing.
_INTENSITY_MODULES = (
    "batchgeneratorsv2.transforms.intensity.",
    "batchgeneratorsv2.transforms.noise.",
    "batchgeneratorsv2.transforms.local.",
    "batchgenerators.transforms.color_transforms",
    "batchgenerators.transforms.noise_transforms",
    "batchgenerators.transforms.local_transforms",
    "batchgenerators.transforms.resample_transforms",
    "batchgenerators.transforms.sample_normalization_transforms",
)
_INTENSITY = {
    ("batchgeneratorsv2.transforms.spatial.low_resolution", "SimulateLowResolutionTransform"),
}

#: These write the same labels in other channels, shapes or resolutions.
_REPRESENTATION_MODULES = (
    "batchgeneratorsv2.transforms.nnunet.",
    "nnunetv2.training.data_augmentation.custom_transforms.cascade_transforms",
    "nnunetv2.training.data_augmentation.custom_transforms.deep_supervision_donwsampling",
    "nnunetv2.training.data_augmentation.custom_transforms.region_based_training",
)
_REPRESENTATION = {
    ("batchgeneratorsv2.transforms.utils.deep_supervision_downsampling", "DownsampleSegForDSTransform"),
    ("batchgeneratorsv2.transforms.utils.seg_to_regions", "ConvertSegmentationToRegionsTransform"),
    ("batchgenerators.transforms.utility_transforms", "ConvertSegToOnehotTransform"),
    ("batchgenerators.transforms.utility_transforms", "ConvertMultiSegToOnehotTransform"),
}

_LIBRARIES = (
    "batchgenerators.",
    "batchgeneratorsv2.",
    "nnunetv2.training.data_augmentation.",
)
#: These rotate, zoom and crop. They neither mirror nor relabel.
_RESAMPLING = {
    ("batchgeneratorsv2.transforms.spatial.spatial", "SpatialTransform"),
    ("batchgenerators.transforms.spatial_transforms", "SpatialTransform"),
}


def _name(transform: Any) -> tuple[str, str]:
    return type(transform).__module__, type(transform).__qualname__


def changes_only_intensity(transform: Any) -> bool:
    """Whether this is a library transform that changes neither geometry nor labels."""
    return _name(transform) in _INTENSITY or _name(transform)[0].startswith(_INTENSITY_MODULES)


def changes_only_representation(transform: Any) -> bool:
    """Whether this is a library transform that writes the same labels in another form."""
    return _name(transform) in _REPRESENTATION or _name(transform)[0].startswith(_REPRESENTATION_MODULES)


def only_resamples(transform: Any) -> bool:
    """Whether this is a library transform that moves image and labels alike, without a flip."""
    return _name(transform) in _RESAMPLING


def is_from_a_library(transform: Any) -> bool:
    """Whether the class is one that batchgenerators, batchgeneratorsv2 or nnU-Net ships."""
    return _name(transform)[0].startswith(_LIBRARIES)


#: The ``train_step`` of these modules is nnU-Net's own, and flips nothing.
_OWN_TRAIN_STEPS = (
    "nnunetv2.training.nnUNetTrainer.nnUNetTrainer",
    "nnunetv2.training.nnUNetTrainer.primus.primus_trainers",
)


#: A function that ``torch.compile`` returns belongs to this module and does what the original function does.
_COMPILER = "torch._dynamo.eval_frame"
#: At most this many layers (partial, bound method, compiled) are unwrapped.
WRAPPED = 8


def train_step_of_a_stranger(trainer: Any) -> str | None:
    """``module.Class`` whose ``train_step`` is not nnU-Net's own code; ``None`` if it is nnU-Net's."""
    kind = type(trainer)
    own = vars(trainer).get("train_step")
    if own is not None:
        return None if home_of(own) in _OWN_TRAIN_STEPS else f"{kind.__module__}.{kind.__qualname__} (on the object)"
    for owner in kind.__mro__:
        if "train_step" in vars(owner):
            module = home_of(vars(owner)["train_step"])
            # A function assigned to nnU-Net's class from elsewhere has the class's name but not its module.
            return None if module in _OWN_TRAIN_STEPS else f"{module}.{owner.__qualname__}"
    return None


def home_of(function: Any) -> str:
    """The module whose code a callable runs first. Names cannot tell, because ``functools.wraps`` copies them."""
    for _ in range(WRAPPED):
        if isinstance(function, (functools.partial, functools.partialmethod)):
            function = function.func
        elif isinstance(function, (MethodType, staticmethod, classmethod)):
            function = function.__func__
        elif isinstance(function, FunctionType):
            home = function.__globals__.get("__name__", "?")
            if home != _COMPILER:
                return home
            function = vars(function).get("_torchdynamo_orig_callable")
        else:
            break
    return type(function).__module__
