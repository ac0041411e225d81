"""The described tree and its fingerprint."""

from __future__ import annotations

import functools
import json

import numpy as np
from batchgeneratorsv2.transforms.utils.random import RandomTransform

from nnguard.probe.pipeline import Stage
from nnguard.probe.transform_tree import (
    LARGEST_TREE,
    describe,
    describe_transform,
    difference,
    fingerprint,
    for_the_record,
    structure,
)
from tests.support.pipelines import SQUARE, FlipBoth, composed, mirror, nnunet


def stages(transform):
    return [Stage(transform=transform, unit="sample", where="loader.transforms")]


def trees(transform):
    return describe(stages(transform))


def test_a_library_transform_is_told_with_its_probability_parameters_and_child():
    tree = describe_transform(RandomTransform(mirror(0, 1), 0.3))
    assert tree["class"] == "RandomTransform"
    assert tree["probability"] == 0.3
    assert tree["children"][0]["parameters"] == {"allowed_axes": [0, 1]}


def test_equal_pipelines_have_equal_fingerprints_and_a_changed_one_another():
    first, second = trees(nnunet(SQUARE, (0, 1))), trees(nnunet(SQUARE, (0, 1)))
    assert fingerprint(first) == fingerprint(second)
    assert fingerprint(trees(nnunet(SQUARE, (0,)))) != fingerprint(first)


def test_functions_differ_by_their_code():
    def flips(**data):
        return data

    def other(**data):
        return {**data}

    other.__qualname__ = flips.__qualname__
    assert fingerprint(trees(flips)) != fingerprint(trees(other))
    assert describe_transform(functools.partial(flips))["children"][0]["class"].endswith("flips")


def test_no_address_of_memory_is_in_a_tree():
    class Odd:
        def __init__(self):
            self.thing = object()
            self.array = np.zeros((3, 4))

        def __call__(self, **data):
            return data

    text = json.dumps(trees(Odd()))
    assert "0x" not in text
    assert "array of shape (3, 4)" in text


def test_a_parameter_whose_repr_raises_is_named_by_its_class():
    class Angry:
        def __repr__(self):
            raise RuntimeError

    class Holds:
        def __init__(self):
            self.angry = Angry()

    assert "Angry" in describe_transform(Holds())["parameters"]["angry"]


def test_a_huge_pipeline_does_not_make_checkpoints_huge():
    huge = for_the_record(trees(composed(SQUARE, *[RandomTransform(mirror(0), 0.1) for _ in range(500)])))
    assert len(json.dumps(huge)) <= LARGEST_TREE
    default = trees(nnunet(SQUARE, (0, 1)))
    assert len(json.dumps(for_the_record(default))) <= LARGEST_TREE


def test_what_was_added_and_removed_is_said():
    before, after = trees(composed(SQUARE, mirror(0))), trees(composed(SQUARE, FlipBoth((0,))))
    assert difference(before, after) == "removed MirrorTransform and added FlipBoth"
    assert difference(before, trees(composed(SQUARE, mirror(1)))) is None
    assert "CropToPatch" in structure(before)[1]
