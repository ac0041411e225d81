"""Following a data loader down to the transforms, whatever holds them."""

from __future__ import annotations

import pytest

from nnguard.probe.pipeline import locate
from tests.support.trainers import trainer_on


def transform(**data):
    return data


class Holder:
    """Anything with attributes, iterable as a loader is."""

    def __init__(self, **attributes):
        self.__dict__.update(attributes)

    def __next__(self):
        return {}


def places(pipeline):
    return [(stage.where, stage.unit) for stage in pipeline.stages]


@pytest.mark.parametrize("inner", ["generator", "data_loader", "dataloader", "loader"])
def test_the_loader_inside_is_found_under_any_usual_name(inner):
    loader = Holder(transforms=transform)
    assert places(locate(Holder(**{inner: loader}))) == [("loader.transforms", "sample")]


def test_stages_come_in_the_order_in_which_a_case_meets_them():
    loader = Holder(transforms=transform)
    outer = Holder(generator=loader, transform=transform)
    assert places(locate(outer)) == [("loader.transforms", "sample"), ("augmenter.transform", "batch")]


def test_none_is_no_stage():
    assert places(locate(Holder(generator=Holder(transforms=None), transform=None))) == []


def test_a_loader_in_a_circle_ends():
    first, second = Holder(), Holder()
    first.generator, second.generator = second, first
    assert len(locate(first).chain) == 2


def test_no_loader_is_said():
    assert locate(None).blind == ["the trainer has no training data loader"]


def test_a_foreign_loader_is_a_blind_spot_and_nnunets_own_is_none(tmp_path):
    assert "which is not an nnU-Net loader" in " ".join(locate(Holder(transforms=transform)).blind)
    with trainer_on("2d", tmp_path) as trainer:
        pipeline = locate(trainer.dataloader_train)
        assert pipeline.blind == []
        assert places(pipeline) == [("loader.transforms", "sample")]


@pytest.mark.parametrize("where", ["class", "instance", "data set", "augmenter"])
def test_whatever_may_flip_outside_of_the_pipeline_is_named(where, tmp_path):
    with trainer_on("2d", tmp_path) as trainer:
        loader = trainer.dataloader_train.data_loader
        if where == "class":
            own = type("OwnLoader", (type(loader),), {"generate_train_batch": lambda self: None, "__module__": "mine"})
            loader.__class__ = own
        elif where == "instance":
            loader.generate_train_batch = lambda: None
        elif where == "data set":
            loader._data.load_case = lambda key: None
        else:
            own = type("OwnAugmenter", (type(trainer.dataloader_train),), {"__module__": "mine"})
            trainer.dataloader_train.__class__ = own
        assert len(locate(trainer.dataloader_train).blind) == 1


def test_properties_of_foreign_objects_are_not_run():
    class Dangerous:
        @property
        def generator(self):
            raise AssertionError("ran")

        @property
        def transforms(self):
            raise AssertionError("ran")

        def __next__(self):
            return {}

    assert locate(Dangerous()).stages == []
