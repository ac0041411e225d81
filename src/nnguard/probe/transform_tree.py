"""The described tree: a pipeline as plain data, to read and to compare.

It says what transforms claim to do, not what they do.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Iterator
from types import FunctionType, MethodType
from typing import Any

import numpy as np
import torch

from ..foreign_calls import Failed, attempt, attributes_of
from .library_transforms import is_from_a_library
from .pipeline import Stage
from .pipeline_copy import too_alive_to_copy

#: Attributes that hold the inner transforms of a transform, in the libraries and in MONAI, torchio, albumentations.
CHILDREN = ("transforms", "transform", "list_of_transforms", "alternative_transform")
PROBABILITIES = ("apply_probability", "p_per_sample", "prob", "p", "probability")
#: A transform stores measurements here while it runs. They are no parameters and differ after every sample.
MEASURED_WHILE_RUNNING = ("benchmark_use_fft",)
#: Limits (characters, characters of JSON, levels), because every checkpoint contains the tree.
LONGEST_TEXT, LARGEST_TREE, DEEPEST = 200, 6_000, 12
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")

Tree = dict[str, Any]


def describe(stages: list[Stage]) -> list[Tree]:
    """One tree per stage: class, module, parameters, probability, children; the root also has ``where``."""
    return [{"where": stage.where, **describe_transform(stage.transform)} for stage in stages]


def describe_transform(transform: Any, depth: int = 0) -> Tree:
    """Describes one transform and its inner transforms."""
    if isinstance(transform, functools.partial):
        return {"class": "partial", "module": "functools", "children": [describe_transform(transform.func, depth + 1)]}
    if isinstance(transform, MethodType):
        owner = type(transform.__self__)
        return {"class": f"{owner.__qualname__}.{transform.__name__}", "module": owner.__module__}
    if isinstance(transform, FunctionType):
        return {"class": transform.__qualname__, "module": transform.__module__, "code": _code_of(transform)}
    kind = type(transform)
    tree: Tree = {"class": kind.__qualname__, "module": kind.__module__}
    if not is_from_a_library(transform) and (code := _code_of(getattr(kind, "__call__", None))):  # noqa: B004
        tree["code"] = code
    attributes = dict(attributes_of(transform))
    probability = next((attributes[n] for n in PROBABILITIES if isinstance(attributes.get(n), (int, float))), None)
    if probability is not None:
        tree["probability"] = float(probability)
    children = list(_children(attributes))
    parameters = {
        name: _plain(value)
        for name, value in attributes.items()
        if not name.startswith("_")
        and name not in (*PROBABILITIES, *MEASURED_WHILE_RUNNING)
        and not (name in CHILDREN and (callable(value) or _is_a_list_of_callables(value)))
    }
    if parameters:
        tree["parameters"] = parameters
    if children and depth < DEEPEST:
        tree["children"] = [describe_transform(child, depth + 1) for child in children]
    return tree


def _is_a_list_of_callables(value: Any) -> bool:
    return isinstance(value, (list, tuple, np.ndarray)) and all(callable(entry) for entry in value)


def _children(attributes: dict[str, Any]) -> Iterator[Any]:
    for name in CHILDREN:
        value = attributes.get(name)
        if value is not None and _is_a_list_of_callables(value):
            yield from value
        elif callable(value):
            yield value


def _code_of(function: Any) -> str | None:
    code = getattr(function, "__code__", None)
    if code is None:
        return None
    constants = [constant for constant in code.co_consts if isinstance(constant, (int, float, str, bool, tuple))]
    parts = (code.co_code.hex(), repr(code.co_names), _ADDRESS.sub("", repr(constants)))
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:12]


def _plain(value: Any, depth: int = 0) -> Any:
    """A parameter as data that JSON can hold; other values become their ``repr`` without memory addresses."""
    if value is None or isinstance(value, (bool, int, str)):
        return value[:LONGEST_TEXT] if isinstance(value, str) else value
    if isinstance(value, float):
        return value if np.isfinite(value) else repr(value)
    if isinstance(value, np.generic):
        return _plain(value.item(), depth)
    if isinstance(value, (np.ndarray, torch.Tensor)):
        if value.ndim == 1 and len(value) <= 64:
            return [_plain(entry, depth + 1) for entry in value.tolist()]
        return f"array of shape {tuple(value.shape)}"
    if depth < 3 and isinstance(value, (list, tuple)) and len(value) <= 64:
        return [_plain(entry, depth + 1) for entry in value]
    if depth < 3 and isinstance(value, (set, frozenset)) and len(value) <= 64:
        return sorted((_plain(entry, depth + 1) for entry in value), key=str)
    if depth < 3 and isinstance(value, dict) and len(value) <= 64:
        return {str(key): _plain(entry, depth + 1) for key, entry in value.items()}
    if isinstance(value, FunctionType):
        return value.__qualname__
    if too_alive_to_copy(value):
        return f"<{type(value).__qualname__}>"
    text = attempt(repr, value)
    return f"<{type(value).__qualname__}>" if isinstance(text, Failed) else _ADDRESS.sub("", text)[:LONGEST_TEXT]


def fingerprint(trees: list[Tree]) -> str:
    """A short hash of described trees; equal pipelines have equal hashes."""
    return hashlib.sha256(json.dumps(trees, sort_keys=True).encode()).hexdigest()[:16]


def for_the_record(trees: list[Tree]) -> list[Tree]:
    """The trees for a record; without parameters if they would make a checkpoint noticeably larger."""
    if len(json.dumps(trees)) <= LARGEST_TREE:
        return trees
    bare = [_without_parameters(tree) for tree in trees]
    if len(json.dumps(bare)) <= LARGEST_TREE:
        return bare
    return [{**tree, "children": f"{sum(1 for _ in _nodes(tree)) - 1} transforms, too many to list"} for tree in bare]


def _without_parameters(tree: Tree) -> Tree:
    kept = {name: value for name, value in tree.items() if name not in ("parameters", "code")}
    if "children" in kept:
        kept["children"] = [_without_parameters(child) for child in kept["children"]]
    return kept


def _nodes(tree: Tree) -> Iterator[Tree]:
    yield tree
    for child in tree.get("children", []):
        yield from _nodes(child)


def structure(trees: list[Tree]) -> list[str]:
    """The classes in order; comparing two of these lists shows added, removed or exchanged transforms."""
    return [f"{node['module']}.{node['class']}" for tree in trees for node in _nodes(tree)]


def difference(before: list[Tree], after: list[Tree]) -> str | None:
    """What was added and removed, in words; ``None`` if the classes are the same in the same order."""
    first, second = structure(before), structure(after)
    if first == second:
        return None
    short = [name.rsplit(".", 1)[-1] for name in first], [name.rsplit(".", 1)[-1] for name in second]
    removed = [name for name in dict.fromkeys(short[0]) if short[0].count(name) > short[1].count(name)]
    added = [name for name in dict.fromkeys(short[1]) if short[1].count(name) > short[0].count(name)]
    parts = [f"{verb} {', '.join(names)}" for verb, names in (("removed", removed), ("added", added)) if names]
    return " and ".join(parts) or "changed the order of transforms"
