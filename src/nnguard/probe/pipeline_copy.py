"""A copy of a pipeline that runs without any effect on the original or on the training's random numbers.

Three guarantees. The copy shares what is too large or too alive to copy (networks, data sets, loaders, the trainer).
Every random generator that the pipeline reaches is copied, or gets its state back. The process's generators have the
same state afterwards.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import io
import random
import sys
from collections.abc import Callable, Iterator
from operator import is_
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch

from ..foreign_calls import attributes_of
from .pipeline import NNUNET_LOADING

#: At most this many objects are visited below one pipeline. A pipeline has dozens; more are something else.
REACH = 20_000
_LEAVES = (str, bytes, bytearray, int, float, complex, bool, type(None), type, ModuleType, BuiltinFunctionType)
_ARRAYS = (np.ndarray, torch.Tensor)


def reachable(root: Any, *, through_functions: bool = True) -> Iterator[Any]:
    """Yields every object below ``root`` once, breadth first; arrays are yielded but not entered."""
    queue, seen = [root], {id(root)}
    position = 0
    while position < len(queue) and position < REACH:
        thing = queue[position]
        position += 1
        yield thing
        for child in _children(thing, through_functions):
            if id(child) not in seen and not isinstance(child, _LEAVES):
                seen.add(id(child))
                queue.append(child)


def _children(thing: Any, through_functions: bool) -> list[Any]:
    if isinstance(thing, _ARRAYS) or too_alive_to_copy(thing):
        return []
    if isinstance(thing, dict):
        return list(thing.values())
    if isinstance(thing, (list, tuple, set, frozenset)):
        return list(thing)
    if isinstance(thing, functools.partial):
        return [thing.func, *thing.args, *thing.keywords.values()]
    if isinstance(thing, MethodType):
        return [thing.__self__, thing.__func__]
    if isinstance(thing, FunctionType):
        if not through_functions:
            return []
        cells = [cell for cell in (thing.__closure__ or ()) if _filled(cell)]
        return [cell.cell_contents for cell in cells] + list(thing.__defaults__ or ())
    return list(attributes_of(thing).values())


def _filled(cell: Any) -> bool:
    try:
        _ = cell.cell_contents
    except ValueError:
        return False
    return True


def too_alive_to_copy(thing: Any) -> bool:
    """Whether this is a network, trainer, loader or data set, which the copy shares and never enters."""
    if isinstance(thing, (torch.nn.Module, torch.utils.data.Dataset, torch.optim.Optimizer)):
        return True
    kind = type(thing)
    if kind.__module__.startswith(NNUNET_LOADING):
        return True
    return any(hasattr(kind, name) for name in ("run_training", "generate_train_batch", "load_case"))


def copied(transform: Any) -> Any:
    """A deep copy of a pipeline; it shares every object that is ``too_alive_to_copy``.

    Raises:
        Any exception that a member raises when it is copied (``TypeError`` for locks and open files). The caller
        reports it.
    """
    memo: dict[int, Any] = {}
    for thing in reachable(transform):
        if too_alive_to_copy(thing):
            memo[id(thing)] = thing
        elif isinstance(thing, torch.Generator):
            memo[id(thing)] = _copied_generator(thing)
    return copy.deepcopy(transform, memo)


def _copied_generator(generator: torch.Generator) -> torch.Generator:
    twin = torch.Generator(device=generator.device)
    twin.set_state(generator.get_state())
    return twin


@contextlib.contextmanager
def untouched_randomness(*roots: Any) -> Iterator[None]:
    """Restores every random state on exit: Python's, numpy's, torch's on the CPU, and those of the roots' modules.

    nnguard never calls ``torch.manual_seed``, because that would reseed the GPUs.
    """
    python, numpy_state = random.getstate(), np.random.get_state()
    torch_state = torch.default_generator.get_state()
    others = [(generator, _state_of(generator)) for generator in _generators_outside(roots)]
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy_state)
        torch.default_generator.set_state(torch_state)
        for generator, state in others:
            _put_back(generator, state)


#: Offsets so large that the seeds of two generators never coincide in nearby samples; primes, like 7919 below.
_SEED_OF_NUMPY, _SEED_OF_RANDOM = 15_485_863, 32_452_843


def seed_everything(seed: int, generators: list[Any]) -> None:
    """Seeds the process's CPU generators, and those of the copy, from one number.

    Each generator gets a seed of its own. numpy and PyTorch use the same algorithm, so one seed would give both the
    same numbers: a flip by one library and a flip by the other would always occur together.
    """
    random.seed(seed + _SEED_OF_RANDOM)
    np.random.seed((seed + _SEED_OF_NUMPY) % 2**32)
    torch.default_generator.manual_seed(seed)
    for offset, generator in enumerate(generators):
        _reseed(generator, seed + 7919 * (offset + 1))


_GENERATORS = (np.random.Generator, np.random.RandomState, random.Random, torch.Generator)


def generators_in(root: Any) -> list[Any]:
    """The random generators that a (copied) pipeline holds itself."""
    return [thing for thing in reachable(root, through_functions=False) if isinstance(thing, _GENERATORS)]


def _generators_outside(roots: tuple[Any, ...]) -> list[Any]:
    """The generators that a deep copy shares: globals of the modules in use, class attributes and closures."""
    found: dict[int, Any] = {}
    modules = set()
    for root in roots:
        for thing in reachable(root):
            modules.add(getattr(thing, "__module__", None) or type(thing).__module__)
            modules.add(type(thing).__module__)
            shared = [value for owner in type(thing).__mro__ for value in list(vars(owner).values())]
            found.update((id(value), value) for value in (thing, *shared) if isinstance(value, _GENERATORS))
    for name in modules:
        module = sys.modules.get(name) if isinstance(name, str) else None
        for value in list(vars(module).values()) if module is not None else []:
            if isinstance(value, _GENERATORS):
                found[id(value)] = value
    found.pop(id(torch.default_generator), None)
    return list(found.values())


def _state_of(generator: Any) -> Any:
    if isinstance(generator, np.random.Generator):
        return copy.deepcopy(generator.bit_generator.state)
    if isinstance(generator, np.random.RandomState):
        return generator.get_state()
    if isinstance(generator, random.Random):
        return generator.getstate()
    return generator.get_state().clone()


def _put_back(generator: Any, state: Any) -> None:
    if isinstance(generator, np.random.Generator):
        generator.bit_generator.state = state
    elif isinstance(generator, random.Random):
        generator.setstate(state)
    else:
        generator.set_state(state)


def _reseed(generator: Any, seed: int) -> None:
    if isinstance(generator, np.random.Generator):
        generator.bit_generator.state = type(generator.bit_generator)(seed).state
    elif isinstance(generator, torch.Generator):
        generator.manual_seed(seed)
    else:
        generator.seed(seed % 2**32)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Limits numeric libraries to one thread, as nnU-Net's own loaders do.

    If augmentation workers keep a node's cores busy, threads that wait for each other make a probe ten times slower.
    threadpoolctl comes with batchgenerators; ``torch.set_num_threads`` would leave MKL's settings changed.
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1):
        yield


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Discards what transforms print, because a probe calls them hundreds of times."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield


Transform = Callable[..., Any]


class Identity:
    """Replaces a transform that cannot change orientation, so that a choice of one among several stays the same."""

    def __call__(self, **data: Any) -> dict[str, Any]:
        return data

    def __repr__(self) -> str:
        return "Identity()"


def with_identities(root: Any, replaced: Callable[[Any], bool]) -> Any:
    """Replaces, in place, every transform below ``root`` for which ``replaced`` is true, and returns the root."""
    identity = Identity()
    if replaced(root):
        return identity

    def exchanged(value: Any) -> Any:
        if isinstance(value, list):
            value[:] = map(exchanged, value)
        elif type(value) is tuple:
            new = tuple(map(exchanged, value))
            return value if all(map(is_, new, value)) else new
        elif callable(value) and replaced(value):
            return identity
        return value

    exchange_below(root, exchanged)
    return root


def exchange_below(root: Any, exchanged: Callable[[Any], Any]) -> None:
    """Replaces, in place, every attribute and dictionary value below ``root`` by the result of ``exchanged``."""
    for thing in reachable(root, through_functions=False):
        if isinstance(thing, (*_ARRAYS, FunctionType, MethodType)) or too_alive_to_copy(thing):
            continue
        holder = thing if isinstance(thing, dict) else attributes_of(thing)
        for name, value in list(holder.items()):
            new = exchanged(value)
            if new is not value:
                holder[name] = new
