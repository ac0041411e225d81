"""Trainers that flip outside of the pipeline: in ``train_step``, in a loader or a data set of their own."""

from __future__ import annotations

import numpy as np
import torch

from tests.gallery.entries import EVERY_FLIP_2D, NO_FLIP, Gallery, after_spatial, declaring, flipping, with_pipeline
from tests.support.pipelines import FlipBoth, SwapLabels

gallery = Gallery()
#: Steps after which nearly every train step is settled; those that flip whole batches have a vote a step.
WATCHED, WATCHED_LONG = 64, 192


def stepping(base: type, flip, *loader_transforms, **more) -> type:
    """A trainer that changes each batch before nnU-Net's own train step; its loader does not mirror."""

    def train_step(self, batch):
        return super(type(self), self).train_step(flip(batch))

    return flipping(base, *loader_transforms, train_step=train_step, **more)


def by_torch(axes, p=0.5):
    def flip(batch):
        for case in range(len(batch["data"])):
            if torch.rand(1).item() < p:
                for tensor in (batch["data"], *batch["target"]):
                    tensor[case] = torch.flip(tensor[case], [axis + 1 for axis in axes])
        return batch

    return flip


def by_numpy(axis):
    def flip(batch):
        if np.random.random() < 0.5:
            data = np.flip(batch["data"].numpy(), axis + 2).copy()
            targets = [np.flip(target.numpy(), axis + 2).copy() for target in batch["target"]]
            return {**batch, "data": torch.from_numpy(data), "target": [torch.from_numpy(t) for t in targets]}
        return batch

    return flip


def by_kornia(batch):
    import kornia.geometry

    if torch.rand(1).item() < 0.5:
        return {
            **batch,
            "data": kornia.geometry.hflip(batch["data"]),
            "target": [kornia.geometry.hflip(t) for t in batch["target"]],
        }
    return batch


@gallery(trained=[(0,)], safe=(0,), steps=WATCHED, starts="pending")
def steps_flip_what_is_declared(base):
    return stepping(base, by_torch((0,)), **declaring((0,)))


@gallery(trained=[(0,)], safe=(0,), finds=["NNG103"], steps=WATCHED, starts="pending")
def steps_flip_less_than_is_declared(base):
    return stepping(base, by_torch((0,)))


@gallery(trained=[(1,)], safe=(1,), finds=["NNG103"], steps=WATCHED_LONG, starts="pending")
def steps_flip_with_kornia(base):
    return stepping(base, by_kornia)


@gallery(trained=[(1,)], safe=(1,), steps=WATCHED, starts="pending")
def steps_flip_with_numpy(base):
    return stepping(base, by_numpy(1), **declaring((1,)))


@gallery(trained=EVERY_FLIP_2D, safe=(0, 1), steps=WATCHED, starts="pending")
def loader_mirrors_one_axis_and_the_step_the_other(base):
    return stepping(base, by_torch((1,)), FlipBoth((0,)))


@gallery(trained=NO_FLIP, finds=["NNG103"], steps=WATCHED, starts="pending")
def loader_and_step_both_always_flip(base):
    return stepping(base, by_torch((0,), p=1.0), FlipBoth((0,), p=1.0))


@gallery(trained=NO_FLIP, finds=["NNG103"], steps=WATCHED, starts="pending")
def steps_that_flip_nothing(base):
    return stepping(base, lambda batch: batch)


@gallery(trained=EVERY_FLIP_2D, safe=(0, 1), steps=WATCHED, starts="observed")
def steps_that_flip_nothing_after_a_mirroring_loader(base):
    def train_step(self, batch):
        return super(type(self), self).train_step(batch)

    return with_pipeline(base, lambda transforms: None, train_step=train_step)


@gallery(trained=NO_FLIP, safe=None, finds=["NNG108"], state="unknown", steps=WATCHED, starts="pending")
def steps_that_hide_their_target(base):
    return flipping(base, train_step=lambda self, batch: {"loss": np.float32(0)})


@gallery(trained=NO_FLIP, safe=None, finds=["NNG108"], state="unknown", steps=WATCHED, starts="pending")
def steps_flip_images_and_flip_the_answers_back(base):
    def train_step(self, batch):
        answers = self.network(batch["data"].flip(2))
        loss = self.loss([answer.flip(2) for answer in answers], batch["target"])
        return {"loss": loss.detach().numpy()}

    return flipping(base, train_step=train_step)


@gallery(trained=[(0,)], safe=(0,), finds=["NNG103"], steps=WATCHED, starts="pending")
def steps_with_a_compiled_loss(base):
    def _build_loss(self):
        return torch.compile(base._build_loss(self), backend="eager")

    return stepping(base, by_torch((0,)), _build_loss=_build_loss)


@gallery(trained=NO_FLIP, safe=None, finds=["NNG108"], state="unknown", steps=1)
def steps_with_a_loss_that_is_compiled_in_place(base):
    def _build_loss(self):
        loss = base._build_loss(self)
        loss.compile(backend="eager")
        return loss

    return stepping(base, lambda batch: batch, _build_loss=_build_loss)


@gallery(
    trained=[(1,)],
    labels={(1,): "swapped"},
    permutation={(1,): {1: 2, 2: 1}},
    finds=["NNG106"],
    steps=WATCHED,
    starts="pending",
)
def steps_exchange_left_and_right(base):
    def flip(batch):
        for case in range(len(batch["data"])):
            if torch.rand(1).item() < 0.5:
                batch["data"][case] = torch.flip(batch["data"][case], [2])
                for target in batch["target"]:
                    turned = torch.flip(target[case], [2])
                    target[case] = torch.where(turned > 0, 3 - turned, turned)
        return batch

    return stepping(base, flip, **declaring((1,)))


@gallery(
    trained=EVERY_FLIP_2D,
    labels={(1,): "swapped", (0, 1): "swapped"},
    permutation={(1,): {1: 2, 2: 1}, (0, 1): {1: 2, 2: 1}},
    safe=(0,),
    finds=["NNG106"],
    steps=WATCHED,
    starts="pending",
)
def loader_exchanges_left_and_right_and_the_step_flips_the_other_axis(base):
    return stepping(base, by_torch((0,)), SwapLabels(1, {1: 2, 2: 1}))


@gallery(trained=NO_FLIP, safe=None, finds=["NNG108"], state="unknown")
def a_loader_of_its_own_flips(base):
    def get_dataloaders(self):
        loaders = base.get_dataloaders(self)
        plain = type(loaders[0].data_loader)

        class FlippingLoader(plain):
            def generate_train_batch(self):
                batch = super().generate_train_batch()
                return batch | {
                    "data": batch["data"].flip(-1),
                    "target": [target.flip(-1) for target in batch["target"]],
                }

        loaders[0].data_loader.__class__ = FlippingLoader
        return loaders

    return flipping(base, get_dataloaders=get_dataloaders)


@gallery(trained=NO_FLIP, safe=None, finds=["NNG108"], state="unknown")
def a_data_set_of_its_own_flips(base):
    def get_dataloaders(self):
        loaders = base.get_dataloaders(self)
        plain = type(loaders[0].data_loader._data)

        class FlippingDataset(plain):
            def load_case(self, identifier):
                data, seg, *rest = super().load_case(identifier)
                return (data[..., ::-1], seg[..., ::-1], *rest)

        loaders[0].data_loader._data.__class__ = FlippingDataset
        return loaders

    return flipping(base, get_dataloaders=get_dataloaders)


@gallery(trained=NO_FLIP, safe=None, finds=["NNG108"], state="unknown")
def batches_pass_through_somebody_elses_generator(base):
    class Passing:
        def __init__(self, inner):
            self.generator = inner

        def __iter__(self):
            return self

        def __next__(self):
            return next(self.generator)

    def get_dataloaders(self):
        train, validation = base.get_dataloaders(self)
        return Passing(train), validation

    return flipping(base, get_dataloaders=get_dataloaders)


@gallery(trained=NO_FLIP, safe=None, finds=["NNG108"], state="unknown")
def the_loader_is_a_generator_function(base):
    def get_dataloaders(self):
        train, validation = base.get_dataloaders(self)

        def batches():
            while True:
                yield next(train)

        return batches(), validation

    return with_pipeline(base, lambda transforms: None, get_dataloaders=get_dataloaders)


@gallery(trained=NO_FLIP, finds=["NNG103"])
def a_second_pipeline_mirrors_and_does_not_decide(base):
    def get_dataloaders(self):
        self.unlabelled, _ = base.get_dataloaders(base_of_the_second(self))
        return base.get_dataloaders(self)

    def base_of_the_second(trainer):
        second = object.__new__(base)
        second.__dict__.update(trainer.__dict__)
        return second

    return flipping(base, get_dataloaders=get_dataloaders)


@gallery(trained=EVERY_FLIP_2D, safe=(0, 1), finds=["NNG115"], workers=1)
def takes_the_mirror_out_when_the_workers_have_it(base):
    def get_dataloaders(self):
        loaders = base.get_dataloaders(self)
        steps = loaders[0].generator.transforms.transforms
        steps[:] = [step for step in steps if type(step).__name__ != "MirrorTransform"]
        return loaders

    return type("nnUNetTrainerOfTheGallery", (base,), {"get_dataloaders": get_dataloaders})


@gallery(trained=[(0,)], safe=(0,), finds=["NNG103"])
def adds_a_flip_in_get_dataloaders(base):
    def get_dataloaders(self):
        loaders = base.get_dataloaders(self)
        after_spatial(loaders[0].data_loader.transforms.transforms, FlipBoth((0,)))
        return loaders

    return flipping(base, get_dataloaders=get_dataloaders)
