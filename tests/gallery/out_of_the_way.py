"""Trainers that flip, swap or declare where nobody looks first: set on objects, decorated, copied, by fold."""

from __future__ import annotations

import copy
import functools
import os

import numpy as np
import torch
from batchgeneratorsv2.transforms.spatial.mirroring import MirrorTransform

from tests.gallery.entries import EVERY_FLIP_2D, NO_FLIP, Gallery, after_spatial, flipping, with_pipeline
from tests.gallery.steps_and_loaders import WATCHED, by_torch
from tests.support.pipelines import FlipBoth

gallery = Gallery()


def named(base, **methods):
    """A trainer with these methods, and nnU-Net's own pipeline."""
    return type("nnUNetTrainerOfTheGallery", (base,), methods)


def setting(put, *, when="__init__"):
    """A method that runs nnU-Net's and then lets ``put(trainer)`` set something on the object."""

    def __init__(self, plans, configuration, fold, dataset_json, device=torch.device("cpu")):  # noqa: B008
        super(type(self), self).__init__(plans, configuration, fold, dataset_json, device)
        put(self)

    def method(self, *arguments):
        result = getattr(super(type(self), self), when)(*arguments)
        put(self)
        return result

    return {when: __init__ if when == "__init__" else method}


def flips_before(step, axes=(0,)):
    """A decorator, as people write them: name and module are those of what it wraps."""
    flip = by_torch(axes)

    @functools.wraps(step)
    def flipped(*arguments):
        *trainer, batch = arguments
        return step(*trainer, flip(batch))

    return flipped


# ---------------------------------------------------------------- the train step


@gallery(trained=[(0,)], safe=(0,), finds=["NNG103"], steps=WATCHED, starts="pending")
def sets_a_decorated_step_on_the_object(base):
    def put(trainer):
        trainer.train_step = flips_before(trainer.train_step)

    return flipping(base, **setting(put))


@gallery(trained=[(1,)], safe=(1,), finds=["NNG103"], steps=WATCHED, starts="pending")
def sets_a_partial_on_the_object_when_training_starts(base):
    def put(trainer):
        trainer.train_step = functools.partial(lambda own, flip, batch: own(flip(batch)), trainer.train_step, flip)

    flip = by_torch((1,))
    return flipping(base, **setting(put, when="on_train_start"))


@gallery(trained=NO_FLIP, finds=["NNG103"])
def sets_a_partial_of_nnunets_own_step(base):
    def put(trainer):
        trainer.train_step = functools.partial(base.train_step, trainer)

    return flipping(base, **setting(put))


@gallery(trained=NO_FLIP, finds=["NNG103"], steps=1)
def compiles_nnunets_own_step(base):
    def put(trainer):
        trainer.train_step = torch.compile(trainer.train_step, backend="eager")

    return flipping(base, **setting(put))


@gallery(trained=[(1,)], safe=(1,), finds=["NNG103"], steps=WATCHED, starts="pending")
def decorates_nnunets_own_step_with_a_flip(base):
    return flipping(base, train_step=flips_before(base.train_step, (1,)))


@gallery(trained=EVERY_FLIP_2D, safe=(0, 1), steps=WATCHED, starts="pending")
def steps_flip_the_whole_batch_any_way(base):
    def train_step(self, batch):
        axes = [(), (2,), (3,), (2, 3)][torch.randint(4, ()).item()]
        flipped = {"data": batch["data"].flip(axes), "target": [target.flip(axes) for target in batch["target"]]}
        return super(type(self), self).train_step({**batch, **flipped})

    return flipping(base, train_step=train_step)


@gallery(trained=NO_FLIP, safe=None, finds=["NNG108"], state="unknown", steps=WATCHED, starts="pending")
def steps_train_each_case_beside_its_mirror_image(base):
    # The batch is twice as large as what was delivered: whose target is whose cannot be told.
    def train_step(self, batch):
        both = {"data": torch.cat([batch["data"], batch["data"].flip(2)])}
        both["target"] = [torch.cat([target, target.flip(2)]) for target in batch["target"]]
        return super(type(self), self).train_step({**batch, **both})

    return flipping(base, train_step=train_step)


# ---------------------------------------------------------------- loaders and data sets


@gallery(trained=NO_FLIP, safe=None, finds=["NNG108"], state="unknown")
def decorates_the_loaders_own_method(base):
    def get_dataloaders(self):
        loaders = base.get_dataloaders(self)
        own = loaders[0].data_loader.generate_train_batch

        @functools.wraps(own)
        def generate_train_batch():
            return by_torch((0,))(own())

        loaders[0].data_loader.generate_train_batch = generate_train_batch
        return loaders

    return flipping(base, get_dataloaders=get_dataloaders)


@gallery(trained=[(0,)], safe=(0,), finds=["NNG103"])
def copies_get_dataloaders_and_names_its_axes_there(base):
    from batchgenerators.dataloading.single_threaded_augmenter import SingleThreadedAugmenter
    from nnunetv2.training.dataloading.data_loader import nnUNetDataLoader
    from nnunetv2.training.dataloading.nnunet_dataset import infer_dataset_class

    def get_dataloaders(self):
        self.dataset_class = infer_dataset_class(self.preprocessed_dataset_folder)
        patch_size = self.configuration_manager.patch_size
        scales = self._get_deep_supervision_scales()
        rotation, dummy, initial, _ = self.configure_rotation_dummyDA_mirroring_and_inital_patch_size()
        labels = self.label_manager.foreground_labels
        training = self.get_training_transforms(patch_size, rotation, scales, (0,), dummy, foreground_labels=labels)
        validation = self.get_validation_transforms(scales, foreground_labels=labels)
        cases = zip(self.get_tr_and_val_datasets(), (initial, patch_size), (training, validation), strict=True)
        loaders = [
            nnUNetDataLoader(
                data,
                self.batch_size,
                size,
                patch_size,
                self.label_manager,
                oversample_foreground_percent=self.oversample_foreground_percent,
                transforms=transforms,
            )
            for data, size, transforms in cases
        ]
        return tuple(SingleThreadedAugmenter(loader, None) for loader in loaders)

    return named(base, get_dataloaders=get_dataloaders)


@gallery(trained=NO_FLIP, safe=None, finds=["NNG108"], state="unknown")
def trains_with_torchs_own_loader(base):
    def get_dataloaders(self):
        train, validation = base.get_dataloaders(self)

        class Batches(torch.utils.data.IterableDataset):
            def __iter__(self):
                while True:
                    yield next(train)

        return iter(torch.utils.data.DataLoader(Batches(), batch_size=None)), validation

    return with_pipeline(base, lambda transforms: None, get_dataloaders=get_dataloaders)


@gallery(trained=NO_FLIP, safe=None, finds=["NNG108"], state="unknown")
def a_data_set_of_its_own_swaps_labels_with_a_flip(base):
    def get_dataloaders(self):
        loaders = base.get_dataloaders(self)
        plain = type(loaders[0].data_loader._data)

        class SwappingDataset(plain):
            def load_case(self, identifier):
                data, seg, *rest = super().load_case(identifier)
                data, seg = data[:][..., ::-1], seg[:][..., ::-1]
                return (data, np.where(seg > 0, 3 - seg, seg), *rest)

        loaders[0].data_loader._data.__class__ = SwappingDataset
        return loaders

    return flipping(base, get_dataloaders=get_dataloaders)


# ---------------------------------------------------------------- the pipeline


@gallery(trained=EVERY_FLIP_2D, safe=(0, 1))
def empties_a_pipeline_of_which_it_returned_a_copy(base):
    def get_training_transforms(*arguments, **options):
        pipeline = base.get_training_transforms(*arguments, **options)
        returned = copy.deepcopy(pipeline)
        pipeline.transforms[:] = [step for step in pipeline.transforms if not isinstance(step, MirrorTransform)]
        return returned

    return named(base, get_training_transforms=staticmethod(get_training_transforms))


@gallery(trained=NO_FLIP, finds=["NNG103"])
def asks_an_attribute_whether_to_mirror(base):
    class Flip(FlipBoth):
        do_i_mirror = False

        def __call__(self, **data):
            return super().__call__(**data) if self.do_i_mirror else data

    return flipping(base, Flip((0,)), Flip((1,)))


@gallery(trained=[(0,)], safe=(0,), finds=["NNG103"])
def augments_in_a_method_of_the_trainer(base):
    def augment(self, **data):
        data = self.made_by_nnunet(**data)
        if torch.rand(1).item() < 0.5:
            data["image"] = data["image"].flip(1)
            segmentation = data["segmentation"]
            many = isinstance(segmentation, list)
            data["segmentation"] = [one.flip(1) for one in segmentation] if many else segmentation.flip(1)
        return data

    def get_dataloaders(self):
        loaders = base.get_dataloaders(self)
        self.made_by_nnunet = loaders[0].data_loader.transforms
        loaders[0].data_loader.transforms = self.augment
        return loaders

    return flipping(base, augment=augment, get_dataloaders=get_dataloaders)


# ---------------------------------------------------------------- what is declared


@gallery(trained=NO_FLIP, finds=["NNG103"])
def changes_three_of_four_settings(base):
    def configure_rotation_dummyDA_mirroring_and_inital_patch_size(self):
        super(type(self), self).configure_rotation_dummyDA_mirroring_and_inital_patch_size()
        return (-0.05, 0.05), False, self.configuration_manager.patch_size, None

    name = configure_rotation_dummyDA_mirroring_and_inital_patch_size.__name__
    return named(base, **{name: configure_rotation_dummyDA_mirroring_and_inital_patch_size})


@gallery(trained=NO_FLIP, finds=["NNG103"])
def declares_none_in_initialize_and_is_overruled_afterwards(base):
    def put(trainer):
        trainer.inference_allowed_mirroring_axes = None

    return flipping(base, **setting(put, when="initialize"))


@gallery(trained=NO_FLIP, finds=[])
def declares_none_when_training_starts(base):
    def put(trainer):
        trainer.inference_allowed_mirroring_axes = None

    return flipping(base, **setting(put, when="on_train_start"))


@gallery(trained=NO_FLIP, finds=["NNG103"])
def declares_by_a_property(base):
    axes = property(lambda self: (0, 1), lambda self, value: None)
    return flipping(base, inference_allowed_mirroring_axes=axes)


@gallery(trained=[(0,)], safe=(0,), finds=["NNG103"])
def mirrors_as_its_fold_says(base):
    def get_dataloaders(self):
        loaders = base.get_dataloaders(self)
        after_spatial(loaders[0].data_loader.transforms.transforms, MirrorTransform((self.fold,)))
        return loaders

    return flipping(base, get_dataloaders=get_dataloaders)


@gallery(trained=NO_FLIP, finds=["NNG103"])
def mirrors_as_the_environment_says(base):
    axes = tuple(int(axis) for axis in os.environ.get("GALLERY_MIRRORS", "").split())
    return with_pipeline(base, lambda transforms: None, mirror=axes)
