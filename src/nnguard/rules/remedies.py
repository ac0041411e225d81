"""What to do about a mirroring finding, ready to paste."""

from __future__ import annotations

from shlex import quote

import msgspec

from ..axes import same_axes, written
from .subjects import Prediction

TRAINER_METHOD = "configure_rotation_dummyDA_mirroring_and_inital_patch_size"


def declare_in_trainer(axes: tuple[int, ...] | None, shown: tuple[int, ...] = ()) -> str:
    """The lines that make a trainer declare ``axes`` and nothing else. ``None`` also ends its mirroring.

    Args:
        axes: at most what was declared: a trainer may withhold what it shows, and nobody asked it why.
        shown: the safe axes among all axes of the data; said, where that is more.
    """
    more = not set(shown) <= set(axes or ())
    return (
        f"In your trainer, declare {'only what training shows of these axes' if more else 'what training shows'}:\n"
        f"    def {TRAINER_METHOD}(self):\n"
        f"        settings = super().{TRAINER_METHOD}()\n"
        f"        self.inference_allowed_mirroring_axes = {written(axes)}\n"
        f"        return settings"
    ) + (f"\nTraining shows {written(shown)} in all; to declare that is sound, too." if more else "")


def train_with_mirroring() -> str:
    """How a trainer that overrides the transforms keeps nnU-Net's mirroring.

    Appending a MirrorTransform would not do: behind deep supervision's downsampling targets are lists.
    """
    return (
        "Or train with mirroring, if left and right may be exchanged in your data: where get_training_transforms is "
        "overridden, hand mirror_axes\n"
        "on to nnU-Net's as it came, and where transforms are listed by hand, put this before "
        "DownsampleSegForDSTransform:\n"
        "    MirrorTransform(allowed_axes=mirror_axes)"
    )


def let_nnguard_narrow() -> str:
    return "Or let nnguard narrow the axes: NNGUARD=correct"


def for_training(
    safe: tuple[int, ...], shown: tuple[int, ...], correctable: bool = True, exchanges: bool = False
) -> str:
    """For a trainer that declares more than its training shows: ``safe`` of what it declares, ``shown`` in all.

    Args:
        correctable: whether ``NNGUARD=correct`` would narrow the axes.
        exchanges: training exchanges labels with a flip; to mirror more would not undo that.
    """
    lines = [declare_in_trainer(safe or None, shown)]
    lines += [] if exchanges else [train_with_mirroring()]
    return "\n".join([*lines, *([let_nnguard_narrow()] if correctable else [])])


def for_prediction(
    prediction: Prediction,
    safe: tuple[int, ...],
    correctable: bool = True,
    repaired: tuple[int, ...] | None = None,
) -> str:
    """For a predictor that mirrors more than training showed; ``safe`` is what it may keep.

    Args:
        correctable: whether ``NNGUARD=correct`` would narrow the axes.
        repaired: what ``nnguard repair`` would leave of them, which an estimate does not narrow; ``None``: ``safe``.
    """
    narrow = [let_nnguard_narrow()] if correctable else []
    if prediction.validation:
        return "\n".join([declare_in_trainer(safe or None), *narrow])
    if not axes_come_from_checkpoint(prediction):
        return f"Where the predictor's axes are set:\n    predictor.allowed_mirroring_axes = {written(safe or None)}"
    lines = [f"Predict without mirroring:\n    {without_mirroring(prediction)}"]
    if not prediction.repairable:
        return "\n".join([*lines, state_what_is_known(prediction, safe)])
    left = safe if repaired is None else repaired
    if same_axes(prediction.axes, left):
        measure = f"nnguard fliptest {model_folder_of(prediction.subject)} -i IMAGES -l LABELS"
        return "\n".join([*lines, f"Or measure what mirroring costs; no repair goes by an estimate:\n    {measure}"])
    lines.append(
        f"Or put the checkpoint right for everybody (mirroring axes {written(left or None)}; a backup is kept):\n"
        f"    nnguard repair {quote(prediction.subject)}"
    )
    return "\n".join([*lines, *narrow])


def state_what_is_known(prediction: Prediction, safe: tuple[int, ...]) -> str:
    """For a checkpoint without a record: its owner's word lets ``nnguard repair`` narrow its axes."""
    return (
        "If you know how it was trained, say so, and the checkpoint's axes can be repaired:\n"
        f"    nnguard repair {quote(prediction.subject)} --state {','.join(map(str, safe)) or 'none'}"
    )


def model_folder_of(checkpoint: str) -> str:
    """The model folder of a checkpoint in a fold folder, ready to paste; a placeholder where it lies elsewhere."""
    folder, _, name = checkpoint.replace("\\", "/").rpartition("/")
    above, _, fold = folder.rpartition("/")
    in_fold = fold.startswith("fold_") and name.endswith(".pth") and "!" not in checkpoint
    return quote(above or ".") if in_fold else "MODEL_FOLDER"


def folder_of(prediction: Prediction) -> str:
    """The model folder that the predictor was loaded from; a placeholder if nobody knows it."""
    known = prediction.checkpoint_axes is not msgspec.UNSET
    return model_folder_of(prediction.subject) if known else "MODEL_FOLDER"


def without_mirroring(prediction: Prediction) -> str:
    """The user's command with ``--disable_tta``, or nnU-Net's own where the command is not known."""
    command = prediction.predict_command or "nnUNetv2_predict ..."
    return command if "--disable_tta" in command.split() else f"{command} --disable_tta"


def axes_come_from_checkpoint(prediction: Prediction) -> bool:
    """Whether mending the file would change what this predictor uses."""
    return prediction.checkpoint_axes is not msgspec.UNSET and same_axes(prediction.axes, prediction.checkpoint_axes)
