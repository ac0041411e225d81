"""Trainers that override ``get_training_transforms``: their own transforms, lists, names and labels."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from batchgeneratorsv2.transforms.spatial.mirroring import MirrorTransform
from batchgeneratorsv2.transforms.spatial.rot90 import Rot90Transform
from batchgeneratorsv2.transforms.spatial.transpose import TransposeAxesTransform
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from batchgeneratorsv2.transforms.utils.random import OneOfTransform, RandomTransform

from tests.gallery.entries import (
    EVERY_FLIP_2D,
    EVERY_FLIP_3D,
    NO_FLIP,
    Gallery,
    declaring,
    flipping,
    with_pipeline,
)
from tests.support.pipelines import FlipBoth, FlipImageOnly, OwnGenerator, SwapLabels

gallery = Gallery()

#: 47 labels: 1 to 23 lie left, 24 to 46 right, 47 in the middle.
SIDES = {label: label + 23 for label in range(1, 24)} | {label: label - 23 for label in range(24, 47)}


def as_second_stage(plans):
    plans["configurations"]["3d_fullres"]["previous_stage"] = "3d_lowres"


@gallery(trained=EVERY_FLIP_2D, safe=(0, 1))
def as_nnunet_ships_it(base):
    return base


@gallery(trained=EVERY_FLIP_3D, safe=(0, 1, 2), kind="isotropic")
def as_nnunet_ships_it_in_3d(base):
    return base


@gallery(trained=EVERY_FLIP_3D, safe=(0, 1, 2), kind="anisotropic")
def as_nnunet_ships_it_with_slices(base):
    return base


@gallery(trained=NO_FLIP, finds=["NNG103"])
def drops_mirror_axes(base):
    return with_pipeline(base, lambda transforms: None, mirror=None)


@gallery(trained=NO_FLIP, finds=["NNG103"], kind="isotropic")
def drops_mirror_axes_in_3d(base):
    return with_pipeline(base, lambda transforms: None, mirror=None)


@gallery(trained=NO_FLIP, finds=["NNG103"])
def makes_a_mirror_and_never_appends_it(base):
    return with_pipeline(base, lambda transforms: MirrorTransform((0, 1)), mirror=None)


@gallery(trained=NO_FLIP, finds=["NNG103"])
def removes_the_mirror_after_composition(base):
    return with_pipeline(base, lambda transforms: transforms.remove(_mirror_in(transforms)))


@gallery(trained=[(0,)], safe=(0,), finds=["NNG103"])
def changes_the_mirrors_axes_after_composition(base):
    return with_pipeline(base, lambda transforms: setattr(_mirror_in(transforms), "allowed_axes", (0,)))


@gallery(trained=[(1,)], safe=(1,), finds=["NNG103"])
def reads_its_axes_from_json(base):
    return with_pipeline(
        base, lambda transforms: None, mirror=json.loads('{"augmentation": {"flip": [1]}}')["augmentation"]["flip"]
    )


@gallery(trained=EVERY_FLIP_2D, safe=(0, 1))
def flips_in_classes_of_its_own(base):
    return flipping(base, FlipBoth((0,)), FlipBoth((1,), draw=lambda: torch.rand(1).item()))


@gallery(trained=EVERY_FLIP_2D, safe=(0, 1))
def flips_by_generators_of_its_own(base):
    return flipping(base, FlipBoth((0,), draw=OwnGenerator(3)), FlipBoth((1,), draw=OwnGenerator(4)))


@gallery(trained=[(1,)], safe=(1,), finds=["NNG103"])
def flips_in_a_plain_function(base):
    def flip(**data):
        if np.random.random() < 0.5:
            data["image"], data["segmentation"] = (torch.flip(data[key], [2]) for key in ("image", "segmentation"))
        return data

    return flipping(base, flip)


@gallery(trained=[(0,)], safe=(0,), finds=["NNG103"])
def subclasses_the_mirror_and_leaves_an_axis_out(base):
    class Mirror(MirrorTransform):
        def get_parameters(self, **data):
            return {"axes": [axis for axis in super().get_parameters(**data)["axes"] if axis == 0]}

    return flipping(base, Mirror((0, 1)))


@gallery(trained=NO_FLIP, finds=["NNG103"])
def subclasses_the_mirror_and_does_nothing(base):
    class SafeMirror(MirrorTransform):
        def __call__(self, **data):
            return data

    return flipping(base, SafeMirror((0, 1)))


@gallery(trained=EVERY_FLIP_2D, safe=(0, 1), kind="2d")
def turns_what_it_has_transposed(base):
    turn = Rot90Transform(1, num_rot_per_combination=(0, 1, 2, 3), allowed_axes={0, 1})
    return flipping(base, TransposeAxesTransform({0, 1}), turn, **_hardly_rotated(base))


@gallery(trained=NO_FLIP, rare=[(0, 1)], finds=["NNG103"], kind="2d")
def leaves_only_the_half_turns_of_stock_rotation(base):
    return with_pipeline(base, lambda transforms: None, mirror=None)


@gallery(trained=[(0,)], rare=[(1,), (0, 1)], safe=(0,), finds=["NNG103"], kind="2d")
def mirrors_one_axis_under_stock_rotation(base):
    return with_pipeline(base, lambda transforms: None, mirror=(0,))


@gallery(trained=EVERY_FLIP_2D, safe=(0, 1))
def nests_composes(base):
    return flipping(base, ComposeTransforms([ComposeTransforms([MirrorTransform((0,))]), MirrorTransform((1,))]))


@gallery(trained=[(0,), (1,)], safe=(0,), finds=["NNG103"])
def flips_one_axis_or_the_other(base):
    # Which of the two equally frequent axes is called safe is a matter of counts: see the runner.
    return flipping(base, OneOfTransform([MirrorTransform((0,)), MirrorTransform((1,))]))


@gallery(trained=EVERY_FLIP_2D, safe=(0, 1), finds=["NNG112"])
def mirrors_under_a_condition(base):
    return flipping(base, RandomTransform(MirrorTransform((0, 1)), apply_probability=0.6))


@gallery(trained=NO_FLIP, finds=["NNG103"])
def mirrors_under_a_condition_that_never_holds(base):
    return flipping(base, RandomTransform(MirrorTransform((0, 1)), apply_probability=0.0))


@gallery(trained=NO_FLIP, rare=[(0,), (1,), (0, 1)], finds=["NNG103"])
def mirrors_hardly_ever(base):
    return flipping(base, *[RandomTransform(FlipBoth(axes, p=1.0), 0.02) for axes in ((0,), (1,), (0, 1))])


@gallery(trained=[(0,)], finds=["NNG103", "NNG113"], safe=(0,))
def always_flips(base):
    return flipping(base, FlipBoth((0,), p=1.0))


@gallery(trained=NO_FLIP, finds=["NNG103"])
def flips_twice_and_so_never(base):
    return flipping(base, FlipBoth((0,), p=1.0), FlipBoth((0,), p=1.0))


@gallery(trained=NO_FLIP, finds=["NNG103", "NNG114"])
def flips_the_image_alone(base):
    # An image that its labels do not follow was not mirrored: it was given wrong labels.
    return flipping(base, FlipImageOnly((0,)))


@gallery(
    trained=EVERY_FLIP_2D,
    labels={(1,): "swapped", (0, 1): "swapped"},
    permutation={(1,): {1: 2, 2: 1}},
    safe=(0,),
    finds=["NNG106"],
)
def exchanges_left_and_right(base):
    return flipping(base, MirrorTransform((0,)), SwapLabels(1, {1: 2, 2: 1}))


@gallery(trained=EVERY_FLIP_2D, labels={(1,): "swapped", (0, 1): "swapped"}, safe=(0,), finds=[])
def exchanges_left_and_right_and_declares_the_other_axis(base):
    return flipping(base, MirrorTransform((0,)), SwapLabels(1, {1: 2, 2: 1}), **declaring((0,)))


@gallery(trained=EVERY_FLIP_2D, labels={(1,): "mixed", (0, 1): "mixed"}, safe=(0,), finds=["NNG106"])
def exchanges_left_and_right_every_other_time(base):
    return flipping(base, MirrorTransform((0,)), SwapLabels(1, {1: 2, 2: 1}, swap=0.5))


@gallery(
    trained=EVERY_FLIP_3D,
    labels={(2,): "swapped", (0, 2): "swapped", (1, 2): "swapped", (0, 1, 2): "swapped"},
    permutation={(2,): SIDES},
    safe=(0, 1),
    finds=["NNG106"],
    kind="isotropic",
)
def remaps_47_labels(base):
    def __init__(self, plans, configuration, fold, dataset_json, device=torch.device("cpu")):  # noqa: B008
        labels = {"background": 0} | {f"structure {label}": label for label in range(1, 48)}
        super(type(self), self).__init__(plans, configuration, fold, {**dataset_json, "labels": labels}, device)

    return flipping(base, MirrorTransform((0, 1)), SwapLabels(2, SIDES), __init__=__init__)


@gallery(trained=EVERY_FLIP_2D, safe=(0, 1), kind="regions")
def trains_regions(base):
    return base


@gallery(
    trained=EVERY_FLIP_2D,
    labels={(1,): "swapped", (0, 1): "swapped"},
    permutation={(1,): {1: 2, 2: 1}},
    safe=(0,),
    finds=["NNG106"],
    kind="regions",
)
def exchanges_labels_before_they_are_regions(base):
    return flipping(base, MirrorTransform((0,)), SwapLabels(1, {1: 2, 2: 1}))


@gallery(trained=EVERY_FLIP_3D, safe=(0, 1, 2), kind="isotropic", change_plans=as_second_stage)
def is_a_cascades_second_stage(base):
    return flipping(base, MirrorTransform((0, 1, 2)), get_dataloaders=_with_a_first_stage(base))


@gallery(trained=NO_FLIP, finds=["NNG103"], kind="isotropic", change_plans=as_second_stage)
def is_a_cascades_second_stage_and_does_not_mirror(base):
    return flipping(base, get_dataloaders=_with_a_first_stage(base))


@gallery(
    trained=[(2,)],
    labels={(2,): "swapped"},
    permutation={(2,): {1: 2, 2: 1}},
    finds=["NNG103", "NNG106"],
    kind="isotropic",
    change_plans=as_second_stage,
)
def is_a_cascades_second_stage_and_exchanges_left_and_right(base):
    return flipping(base, SwapLabels(2, {1: 2, 2: 1}), get_dataloaders=_with_a_first_stage(base))


@gallery(trained=NO_FLIP, rare=[(0, 1)], finds=["NNG103"], kind="ignore")
def ignores_a_label_and_does_not_mirror(base):
    return with_pipeline(base, lambda transforms: None, mirror=None)


@gallery(trained=EVERY_FLIP_2D, safe=(0, 1), kind="ignore")
def ignores_a_label_and_mirrors(base):
    return base


@gallery(trained=EVERY_FLIP_2D, safe=(0, 1), finds=["NNG104"])
def mirrors_and_forbids_it_when_predicting(base):
    return with_pipeline(base, lambda transforms: None, **declaring(None))


@gallery(trained=NO_FLIP, finds=[])
def neither_mirrors_nor_declares(base):
    return with_pipeline(base, lambda transforms: None, mirror=None, **declaring(None))


@gallery(trained=EVERY_FLIP_2D, safe=(0, 1), finds=["NNG105"])
def declares_an_empty_tuple(base):
    return with_pipeline(base, lambda transforms: None, **declaring(()))


@gallery(trained=EVERY_FLIP_2D, safe=(0, 1))
def inverts_images_and_mirrors(base):
    return flipping(base, _Inverts(), MirrorTransform((0, 1)))


@gallery(trained=NO_FLIP, finds=["NNG103"])
def inverts_images_and_does_not_mirror(base):
    return flipping(base, _Inverts())


class _Inverts:
    """An image's negative looks like nothing that a flip makes."""

    def __call__(self, **data):
        if torch.rand(1).item() < 0.5:
            data["image"] = data["image"].mean() * 2 - data["image"]
        return data


def _with_a_first_stage(base):
    """``get_dataloaders`` of a second stage whose first one predicted the truth."""

    import blosc2
    from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2

    def get_dataloaders(self):
        predicted = Path(self.folder_with_segs_from_previous_stage)
        predicted.mkdir(parents=True, exist_ok=True)
        for truth in Path(self.preprocessed_dataset_folder).glob("*_seg.b2nd"):
            segmentation = blosc2.open(str(truth))[:][0]
            nnUNetDatasetBlosc2.save_seg(segmentation, str(predicted / truth.name.replace("_seg.b2nd", "")))
        return base.get_dataloaders(self)

    return get_dataloaders


def _mirror_in(transforms):
    return next(step for step in transforms if isinstance(step, MirrorTransform))


def _hardly_rotated(base):
    def configure_rotation_dummyDA_mirroring_and_inital_patch_size(self):
        _, *rest = super(type(self), self).configure_rotation_dummyDA_mirroring_and_inital_patch_size()
        return ((-0.05, 0.05), *rest)

    name = configure_rotation_dummyDA_mirroring_and_inital_patch_size.__name__
    return {name: configure_rotation_dummyDA_mirroring_and_inital_patch_size}
