"""What stands beside each trainer of the gallery: the flips that it truly shows, its labels, its verdict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from nnguard.flips import flips_of
from nnguard.record import Axes

EVERY_FLIP_2D = flips_of((0, 1))
EVERY_FLIP_3D = flips_of((0, 1, 2))
NO_FLIP: list[Axes] = []


@dataclass(frozen=True)
class Entry:
    """One trainer and the truth about it.

    Args:
        make: base class -> trainer class.
        trained: the flips that training shows often enough; ``rare`` those that it shows seldom. All others never.
        labels: flip -> behaviour, where it is not ``kept``; ``permutation`` the labels that it renames.
        safe: the axes that are safe; ``None`` where nothing is known.
        finds: the codes found at training start, or when the first steps have settled what was pending.
        kind: a key of ``disc_datasets.KINDS``.
        state: of the record at the end; ``starts``: before the first step.
        steps: how many steps are trained; 0 where the start already tells.
        workers: augmentation workers.
    """

    make: Callable[[type], type]
    trained: Sequence[Axes]
    rare: Sequence[Axes] = ()
    labels: dict[Axes, str] = field(default_factory=dict)
    permutation: dict[Axes, dict[int, int]] = field(default_factory=dict)
    safe: Axes | None = ()
    finds: Sequence[str] = ()
    kind: str = "2d_oblong"
    state: str = "observed"
    starts: str | None = None
    steps: int = 0
    workers: int = 0
    change_plans: Callable[[dict[str, Any]], None] | None = None

    @property
    def name(self) -> str:
        return self.make.__name__


class Gallery(list[Entry]):
    """Collects entries: ``@gallery(trained=..., finds=...)`` above the function that makes the class."""

    def __call__(self, **truth: Any) -> Callable[[Callable[[type], type]], Callable[[type], type]]:
        def hang(make: Callable[[type], type]) -> Callable[[type], type]:
            self.append(Entry(make=make, **truth))
            return make

        return hang


def with_pipeline(base: type, change: Callable[[list[Any]], Any], mirror: Any = "as nnU-Net says", **more: Any) -> type:
    """A trainer whose ``get_training_transforms`` changes nnU-Net's list of transforms in place.

    Args:
        mirror: given to nnU-Net in place of its ``mirror_axes``; ``None`` leaves MirrorTransform out.
    """

    def get_training_transforms(patch_size, rotation, scales, mirror_axes, *args, **options):
        axes = mirror_axes if mirror == "as nnU-Net says" else mirror
        pipeline = base.get_training_transforms(patch_size, rotation, scales, axes, *args, **options)
        change(pipeline.transforms)
        return pipeline

    return type(
        "nnUNetTrainerOfTheGallery", (base,), {"get_training_transforms": staticmethod(get_training_transforms)} | more
    )


def after_spatial(transforms: list[Any], *added: Any) -> None:
    """Puts transforms where the image already has its final size and the labels are still labels."""
    place = 1 + max(n for n, step in enumerate(transforms) if "Spatial" in type(step).__name__)
    if any(type(step).__name__ == "Convert2DTo3DTransform" for step in transforms):
        place += 1
    transforms[place:place] = added


def flipping(base: type, *added: Any, **more: Any) -> type:
    """A trainer with these transforms in place of nnU-Net's mirror."""
    return with_pipeline(base, lambda transforms: after_spatial(transforms, *added), mirror=None, **more)


def declaring(axes: Any) -> dict[str, Any]:
    """Methods of a trainer that declares these axes, whatever nnU-Net would."""

    def configure_rotation_dummyDA_mirroring_and_inital_patch_size(self):
        *rest, mirror_axes = super(type(self), self).configure_rotation_dummyDA_mirroring_and_inital_patch_size()
        self.inference_allowed_mirroring_axes = axes
        return (*rest, mirror_axes)

    name = configure_rotation_dummyDA_mirroring_and_inital_patch_size.__name__
    return {name: configure_rotation_dummyDA_mirroring_and_inital_patch_size}
