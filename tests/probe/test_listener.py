"""Listening to a module: harmless, removable, and never to what is compiled."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch

from nnguard.probe.listener import Listener, why_not


class Doubles(torch.nn.Module):
    def forward(self, value, *, more=0):
        return 2 * value + more


def compiled_in_place():
    module = Doubles()
    module.compile(backend="eager")
    return module


class Refuses(Doubles):
    def register_forward_pre_hook(self, *arguments, **keywords):
        raise TypeError("no hooks here")


def ears():
    heard = []
    return Listener(lambda *what: heard.append(what)), heard


def test_what_a_module_is_called_with_is_heard():
    listener, heard = ears()
    module = Doubles()
    assert listener.start(module) is None
    assert module(3, more=1) == 7
    assert heard == [((3,), {"more": 1})]


def test_nothing_is_left_on_the_module():
    listener, heard = ears()
    module = Doubles()
    plain = dict(vars(module), _forward_pre_hooks=dict(module._forward_pre_hooks))
    listener.start(module)
    listener.stop()
    listener.stop()
    assert dict(vars(module), _forward_pre_hooks=dict(module._forward_pre_hooks)) == plain
    module(1)
    assert heard == []


def test_a_listener_hears_one_module_at_a_time():
    listener, heard = ears()
    first, second = Doubles(), Doubles()
    listener.start(first)
    listener.start(second)
    first(1)
    assert heard == []


@pytest.mark.parametrize("taken", [copy.deepcopy, lambda module: pickle.loads(pickle.dumps(module))])
def test_a_copy_of_the_module_takes_no_listener_along(taken):
    listener, heard = ears()
    module = Doubles()
    listener.start(module)
    assert taken(module)(2) == 4
    assert heard == []


def test_a_module_that_refuses_hooks_says_so():
    listener, _heard = ears()
    assert "no hooks here" in listener.start(Refuses())


def test_what_goes_wrong_while_listening_reaches_nobody():
    def fails(*_what):
        raise RuntimeError("ours")

    module = Doubles()
    Listener(fails).start(module)
    assert module(2) == 4


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        (Doubles(), None),
        (torch.compile(Doubles(), backend="eager"), None),
        (compiled_in_place(), "compiled"),
        (torch.compile(compiled_in_place(), backend="eager"), None),
        (torch.jit.script(torch.nn.ReLU()), "scripted"),
        (lambda value: value, "no module that could be listened to"),
        (torch.compile(lambda value: value, backend="eager"), "no module that could be listened to"),
    ],
    ids=["plain", "compiled", "compiled in place", "compiled twice", "scripted", "function", "compiled function"],
)
def test_who_can_be_listened_to(module, reason):
    assert why_not(module) == reason
