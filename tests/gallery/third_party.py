"""Trainers that augment with MONAI, torchio, albumentations and kornia, as people put them into nnU-Net's list."""

from __future__ import annotations

import torch

from tests.gallery.entries import EVERY_FLIP_2D, EVERY_FLIP_3D, Gallery, flipping

gallery = Gallery()
KEYS = ("image", "segmentation")


class OnADict:
    """MONAI's transforms take one dict."""

    def __init__(self, transform):
        self.transform = transform

    def __call__(self, **data):
        return {**data, **self.transform({key: data[key] for key in KEYS})}


class OnASubject:
    """torchio's take a subject of 3D images."""

    def __init__(self, transform):
        self.transform = transform

    def __call__(self, **data):
        import torchio

        image = torchio.ScalarImage(tensor=data["image"])
        subject = torchio.Subject(image=image, segmentation=torchio.LabelMap(tensor=data["segmentation"]))
        done = self.transform(subject)
        return {**data, **{key: done[key].data for key in KEYS}}


class OnArrays:
    """albumentations' take channels last, and a mask."""

    def __init__(self, transform):
        self.transform = transform

    def __call__(self, **data):
        image, mask = (data[key].permute(1, 2, 0).contiguous().numpy() for key in KEYS)
        done = self.transform(image=image, mask=mask)
        names = zip(KEYS, ("image", "mask"), strict=True)
        return {
            **data,
            **{key: torch.from_numpy(done[name].copy()).permute(2, 0, 1).contiguous() for key, name in names},
        }


class OnTensors:
    """kornia's take batches of floats, and the data keys that share one draw."""

    def __init__(self, transform):
        self.transform = transform

    def __call__(self, **data):
        image, mask = self.transform(data["image"][None], data["segmentation"][None].float())
        return {**data, "image": image[0], "segmentation": mask[0].to(data["segmentation"].dtype)}


@gallery(trained=[(1,)], safe=(1,), finds=["NNG103"])
def monai_rand_flipd(base):
    from monai.transforms import RandFlipd

    return flipping(base, OnADict(RandFlipd(keys=KEYS, prob=0.5, spatial_axis=1)))


@gallery(trained=EVERY_FLIP_2D, safe=(0, 1))
def monai_compose_of_two_rand_flipd(base):
    from monai.transforms import Compose, RandFlipd

    return flipping(base, OnADict(Compose([RandFlipd(keys=KEYS, prob=0.5, spatial_axis=axis) for axis in (0, 1)])))


@gallery(trained=[(0,), (1,), (2,)], safe=(0,), finds=["NNG103"], kind="isotropic")
def monai_rand_axis_flipd(base):
    from monai.transforms import RandAxisFlipd

    return flipping(base, OnADict(RandAxisFlipd(keys=KEYS, prob=0.75)))


@gallery(trained=[(0,)], safe=(0,), finds=["NNG103"], kind="isotropic")
def torchio_flips_left_and_right_by_name(base):
    import torchio

    # With torchio's default affine, the identity, "Left" is the first axis of the array.
    return flipping(base, OnASubject(torchio.RandomFlip(axes=["Left"], flip_probability=0.5)))


@gallery(trained=EVERY_FLIP_3D, safe=(0, 1, 2), kind="isotropic")
def torchio_flips_every_axis(base):
    import torchio

    return flipping(base, OnASubject(torchio.RandomFlip(axes=(0, 1, 2), flip_probability=0.5)))


@gallery(trained=[(1,)], safe=(1,), finds=["NNG103"])
def albumentations_horizontal_flip(base):
    import albumentations

    return flipping(base, OnArrays(albumentations.Compose([albumentations.HorizontalFlip(p=0.5)])))


@gallery(trained=EVERY_FLIP_2D, safe=(0, 1))
def kornia_flips_both_ways(base):
    import kornia.augmentation

    flips = (kornia.augmentation.RandomHorizontalFlip(p=0.5), kornia.augmentation.RandomVerticalFlip(p=0.5))
    return flipping(base, OnTensors(kornia.augmentation.AugmentationSequential(*flips, data_keys=["input", "mask"])))
