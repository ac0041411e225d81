"""Finds the augmentation of a training: the callables between the data set and the train step, in order.

This module follows the attributes that exist and asks for no version or class, because nnU-Net moved its pipeline
twice: ``loader.transform`` of a batch, ``generator.transforms`` of a sample, both at once in 2.5 and 2.6.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import msgspec

from ..foreign_calls import attributes_of
from .library_transforms import home_of

#: The names that an augmenter, or a wrapper around one, uses for its source of cases.
INNER = ("generator", "data_loader", "dataloader", "loader", "_loader", "_data_loader", "base_loader", "inner")
#: A longer chain is a loop, or something that this module does not understand.
DEPTH = 8

#: The loaders and data sets of these modules deliver cases as they are on disk, without a flip.
NNUNET_LOADING = "nnunetv2.training.dataloading."
#: The augmenters of these modules pass a batch on unchanged.
PLAIN_AUGMENTERS = (
    "batchgenerators.dataloading.",
    "nnunetv2.training.data_augmentation.custom_transforms.limited_length_multithreaded_augmenter",
)


class Stage(msgspec.Struct, kw_only=True):
    """One callable of the pipeline.

    ``unit`` is its input: one case's tensors (``sample``: channel, space) or a whole batch
    (``batch``: batch, channel, space). ``where`` is its place, for people.
    """

    transform: Any
    unit: Literal["sample", "batch"]
    where: str


class Pipeline(msgspec.Struct, kw_only=True):
    """The stages in the order in which a case passes them, and what the probe cannot see.

    ``blind`` says, in words, what else may flip. While it is not empty, no flip can be called unseen.
    ``chain`` lists the objects from the trainer's attribute to the loader, outermost first.
    """

    stages: list[Stage]
    chain: list[Any]
    blind: list[str]

    @property
    def loader(self) -> Any:
        return self.chain[-1] if self.chain else None


def locate(dataloader: Any) -> Pipeline:
    """Follows ``trainer.dataloader_train`` down to the loader that reads cases."""
    if dataloader is None:
        return Pipeline(stages=[], chain=[], blind=["the trainer has no training data loader"])
    chain = list(_chain(dataloader))
    stages: list[Stage] = []
    for depth, thing in reversed(list(enumerate(chain))):
        place = "loader" if depth == len(chain) - 1 else "augmenter"
        per_sample = attributes_of(thing).get("transforms")
        if callable(per_sample):
            stages.append(Stage(transform=per_sample, unit="sample", where=f"{place}.transforms"))
        per_batch = attributes_of(thing).get("transform")
        if callable(per_batch):
            stages.append(Stage(transform=per_batch, unit="batch", where=f"{place}.transform"))
    return Pipeline(stages=stages, chain=chain, blind=list(_blind_spots(chain)))


def _chain(outermost: Any) -> Iterator[Any]:
    thing, seen = outermost, set[int]()
    while thing is not None and id(thing) not in seen and len(seen) < DEPTH:
        seen.add(id(thing))
        yield thing
        thing = next(
            (inner for name in INNER if _looks_like_a_loader(inner := attributes_of(thing).get(name))),
            None,
        )


def _looks_like_a_loader(thing: Any) -> bool:
    return hasattr(thing, "__next__") or hasattr(thing, "generate_train_batch") or hasattr(thing, "__iter__")


def _blind_spots(chain: list[Any]) -> Iterator[str]:
    for augmenter in chain[:-1]:
        if not _class_name(augmenter).startswith(PLAIN_AUGMENTERS):
            yield f"batches pass through {_class_name(augmenter)}, which may change them"
    loader = chain[-1]
    for method in ("generate_train_batch", "__next__"):
        home = defining_module(loader, method)
        if home is None and method == "generate_train_batch":
            yield f"batches come from {_class_name(loader)}, which is not an nnU-Net loader and may flip them itself"
            return
        if home is not None and not home.startswith((NNUNET_LOADING, *PLAIN_AUGMENTERS)):
            yield f"{_class_name(loader)} has its own {method} and may flip cases itself"
    dataset = attributes_of(loader).get("_data")
    home = defining_module(dataset, "load_case")
    if home is not None and not home.startswith(NNUNET_LOADING):
        yield f"the data set class {_class_name(dataset)} loads cases itself and may flip them"


def defining_module(thing: Any, method: str) -> str | None:
    """The module of the function behind ``thing.method``; an attribute of the instance comes before the class."""
    if thing is None:
        return None
    own = attributes_of(thing).get(method)
    if own is not None:
        return home_of(own)
    for owner in type(thing).__mro__:
        if method in vars(owner):
            return home_of(vars(owner)[method])
    return None


def _class_name(thing: Any) -> str:
    return f"{type(thing).__module__}.{type(thing).__qualname__}"
