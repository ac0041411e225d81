"""The train-step witness: flips between the loader and the loss."""

from __future__ import annotations

import itertools
import random
from collections import Counter

import pytest
import torch

from nnguard.flips import flips_of
from nnguard.probe.labels import LabelBehaviour
from nnguard.probe.step_flip import SILENT, UNCLEAR, Seen, flip_between
from nnguard.probe.summary import flip_evidence
from nnguard.probe.witness import LOOKS, MOST_STEPS, Witness
from nnguard.record import Mirroring

KEPT = LabelBehaviour(labels="kept")


def loader(counts, clean=64, dims=2, state="pending"):
    """What a probe saw: flip -> draws."""
    rates = {flip: count / clean for flip, count in counts.items()}
    flips = [flip_evidence(flip, rates, clean, KEPT, "loader") for flip in flips_of(range(dims))]
    return Mirroring(state=state, draws=clean, clean=clean, plain_rate=counts.get((), 0) / clean, flips=flips)


PLAIN = loader({(): 64})
MIRRORS_0 = loader({(): 32, (0,): 32})
ALWAYS_0 = loader({(0,): 64})


class Loss(torch.nn.Module):
    def forward(self, output, target):
        return torch.zeros(())


class RealLoss(torch.nn.Module):
    def forward(self, output, target):
        return (output.mean() - target.float().mean()) ** 2


class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.convolution = torch.nn.Conv2d(1, 3, 3, padding=1)

    def forward(self, data):
        return self.convolution(data)


def disc(dims=2, size=16):
    """Left half 1, right half 2, off centre: every flip shows."""
    target = torch.zeros((1, *[size] * dims), dtype=torch.int16)
    target[:, 2:6, 3:8], target[:, 2:6, 8:12] = 1, 2
    if dims == 3:
        target[..., :7] = 0
    return target


def watched(step, *, sees=PLAIN, dims=2, declared=(0, 1), cases=2, steps=MOST_STEPS, target=disc, deep=False, seed=0):
    """A witness after as many steps as it asked for; ``step(target)`` is what the train step does to a batch."""
    witness = Witness(sees, dims, declared, "mine.Trainer")
    loss = Loss()
    torch.manual_seed(seed)
    for _ in range(steps):
        delivered = torch.stack([target() for _ in range(cases)])
        batch = {"target": [delivered] if deep else delivered}
        witness.before_step(loss, batch)
        for received in step(delivered.clone()):
            loss([None], [received]) if deep else loss(None, received)
        witness.after_step()
        if witness.done:
            break
    witness.close()
    return witness


def verdicts(mirroring):
    return {flip.axes: flip.verdict for flip in mirroring.flips if flip.verdict != "unseen"}


def sources(mirroring):
    return {flip.axes: flip.source for flip in mirroring.flips if flip.verdict != "unseen"}


def sometimes(axis, p=0.5):
    """A step that flips each case on its own."""

    def step(target):
        yield torch.stack([torch.flip(case, [axis + 1]) if torch.rand(1).item() < p else case for case in target])

    return step


def whole_batches(dims, p=0.5):
    """A step that flips all of its cases along an axis, or none of them: one coin a step and axis."""

    def step(target):
        axes = [axis + 2 for axis in range(dims) if torch.rand(1).item() < p]
        yield torch.flip(target, axes) if axes else target

    return step


def unchanged(target):
    yield target


def voted(steps, *, sees, dims=3, declared=(0, 1, 2)):
    """A witness that saw these flips, a list a step, and stopped at the first look at which all was settled."""
    witness = Witness(sees, dims, declared, "mine.Trainer")
    for flips in steps:
        witness.seen.append([Seen(flip) for flip in flips])
        witness.steps += 1
        if witness.done:
            break
    return witness


def coins(dims, cases, p, seed, *, together, steps=250):
    """Flips by a coin an axis, for each case on its own or for all cases of a step together."""
    random.seed(seed)

    def tossed():
        return tuple(axis for axis in range(dims) if random.random() < p)

    return [[tossed()] * cases if together else [tossed() for _ in range(cases)] for _ in range(steps)]


@pytest.mark.parametrize("flip", [(), (0,), (1,), (0, 1)])
def test_the_flip_of_one_case_is_read(flip):
    before = disc()
    after = torch.flip(before, [axis + 1 for axis in flip]) if flip else before
    assert flip_between(before, after, 2) == Seen(flip)


@pytest.mark.parametrize("dims", [2, 3])
def test_an_empty_or_symmetric_target_says_nothing(dims):
    shape = (1, *[8] * dims)
    empty, full = torch.zeros(shape), torch.ones(shape)
    assert flip_between(empty, empty, dims) == SILENT
    assert flip_between(full, full, dims) == SILENT


def test_a_target_symmetric_in_one_axis_says_nothing_where_that_axis_matters():
    before = torch.zeros((1, 8, 8))
    before[:, 1:3, :] = 1
    assert flip_between(before, torch.flip(before, [1]), 2) == SILENT


def test_a_target_that_was_also_smoothed_is_read_by_overlap_and_another_target_is_unclear():
    before = disc()
    after = torch.flip(before, [2]).clone()
    after[0, 2, 4] = 0
    assert flip_between(before, after, 2) == Seen((1,))
    assert flip_between(before, torch.roll(before, (5, 3), (1, 2)), 2) == UNCLEAR


def test_labels_exchanged_with_the_flip_are_read_with_their_permutation():
    before = disc()
    flipped = torch.flip(before, [2])
    exchanged = torch.where(flipped == 1, 2, torch.where(flipped == 2, 1, flipped))
    assert flip_between(before, exchanged, 2) == Seen((1,), ((1, 2), (2, 1)))


def test_a_step_that_flips_one_axis_settles_what_it_shows_and_what_it_does_not():
    witness = watched(sometimes(0))
    assert witness.steps <= MOST_STEPS
    mirroring = witness.verdict()
    assert (mirroring.state, mirroring.safe_axes) == ("observed", (0,))
    assert verdicts(mirroring) == {(0,): "trained"}
    assert sources(mirroring) == {(0,): "step"}


def test_a_step_that_flips_nothing_leaves_what_the_loader_shows():
    mirroring = watched(unchanged, sees=MIRRORS_0).verdict()
    assert (mirroring.state, mirroring.safe_axes) == ("observed", (0,))
    assert sources(mirroring) == {(0,): "loader"}


def test_loader_and_step_compose():
    mirroring = watched(sometimes(1), sees=MIRRORS_0).verdict()
    assert verdicts(mirroring) == {(0,): "trained", (1,): "trained", (0, 1): "trained"}
    assert sources(mirroring) == {(0,): "loader", (1,): "step", (0, 1): "both"}


def test_flipped_twice_is_not_flipped():
    mirroring = watched(sometimes(0, p=2), sees=ALWAYS_0).verdict()
    assert (verdicts(mirroring), mirroring.plain_rate) == ({}, 1.0)


def test_deep_supervision_and_several_calls_of_the_loss_are_understood():
    def twice(target):
        yield torch.zeros((2, 1, 4, 4))
        yield from sometimes(0)(target)
        yield target

    assert verdicts(watched(twice, deep=True).verdict()) == {(0,): "trained"}


def test_targets_that_look_alike_after_a_flip_leave_it_unknown():
    mirroring = watched(sometimes(0), target=lambda: torch.zeros((1, 16, 16), dtype=torch.int16)).verdict()
    assert mirroring.state == "unknown"
    assert "look the same after a flip" in mirroring.reasons[0]


def test_a_step_that_hides_its_target_leaves_it_unknown():
    mirroring = watched(lambda target: iter(())).verdict()
    assert mirroring.state == "unknown"
    assert "no target" in mirroring.reasons[0]


def test_a_step_that_mixes_cases_leaves_it_unknown():
    def mixes(target):
        yield torch.roll(target, (5, 3), (2, 3))

    mirroring = watched(mixes).verdict()
    assert mirroring.state == "unknown"
    assert "match what was delivered under no flip" in mirroring.reasons[0]


def test_what_the_loader_shows_for_sure_is_kept_when_the_step_hides_its_target():
    sure = loader(dict.fromkeys([(), (0,), (1,), (0, 1)], 16), state="observed")
    mirroring = watched(lambda target: iter(()), sees=sure).verdict()
    assert (mirroring.state, mirroring.flips) == ("observed", sure.flips)


def test_labels_that_the_step_exchanges_are_told():
    def exchanges(target):
        flipped = torch.flip(target, [3])
        yield torch.where(flipped == 1, 2, torch.where(flipped == 2, 1, flipped)) if torch.rand(1) < 0.5 else target

    mirroring = watched(exchanges).verdict()
    assert (mirroring.flip((1,)).labels, mirroring.flip((1,)).permutation) == ("swapped", {1: 2, 2: 1})
    assert mirroring.safe_axes == ()


def test_sure_is_sooner_than_the_last_step():
    every = itertools.cycle([(), (1,), (2,), (1, 2)])

    def mirrors(target):
        yield torch.stack([torch.flip(case, flip) if (flip := next(every)) else case for case in target])

    assert watched(mirrors).steps == LOOKS[0]


def test_nothing_is_heard_outside_of_a_step_or_after_the_last():
    witness = watched(sometimes(0))
    told = sum(witness.cases.values())
    loss = Loss()
    witness.before_step(loss, {"target": disc()[None]})
    witness.after_step()
    loss(None, disc()[None])
    assert sum(witness.cases.values()) == told
    witness.close()
    assert not loss._forward_pre_hooks


def test_what_goes_wrong_while_listening_does_not_reach_the_step():
    class Odd(torch.Tensor):
        @classmethod
        def __torch_function__(cls, function, types, args=(), kwargs=None):
            raise RuntimeError("odd")

    witness, loss = Witness(PLAIN, 2, (0,), "mine.Trainer"), Loss()
    witness.before_step(loss, {"target": disc()[None]})
    loss(None, torch.zeros(1, 1, 16, 16).as_subclass(Odd))
    witness.after_step()


# ---------------------------------------------------------------- absence, beyond chance


PLAIN_3D = loader({(): 64}, dims=3)


@pytest.mark.parametrize("seed", range(14))
def test_whole_batches_that_a_coin_flips_along_three_axes_are_sound(seed):
    witness = watched(
        whole_batches(3), sees=PLAIN_3D, dims=3, declared=(0, 1, 2), target=lambda: disc(3, 12), seed=seed
    )
    mirroring = witness.verdict()
    assert (mirroring.state, mirroring.safe_axes) == ("observed", (0, 1, 2))


def verdicts_of_many(trainings, **options):
    """How often the flips of the declared axes were found sound, unsound, and unknown."""
    found = Counter()
    for steps in trainings:
        mirroring = voted(steps, **options).verdict()
        if mirroring.state == "unknown":
            found["unknown"] += 1
        else:
            found["sound" if mirroring.safe_axes == options.get("declared", (0, 1, 2)) else "unsound"] += 1
    return found


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("cases", [1, 2, 8])
def test_no_coin_of_a_sound_step_is_called_unsound(cases, together):
    trainings = (coins(3, cases, 0.5, seed, together=together) for seed in range(100))
    assert verdicts_of_many(trainings, sees=PLAIN_3D) == {"sound": 100}


@pytest.mark.parametrize("together", [True, False])
def test_at_twice_the_threshold_hardly_any_step_is_called_unsound(together):
    trainings = (coins(1, 2, 0.2, seed, together=together) for seed in range(200))
    assert verdicts_of_many(trainings, sees=loader({(): 64}, dims=2), dims=2, declared=(0,))["unsound"] <= 2


def test_a_loader_and_whole_batches_that_compose_are_sound():
    sees = loader(dict.fromkeys([(), (0,)], 32), dims=3)
    trainings = (
        [[flip if flip != (0,) else () for flip in step] for step in coins(3, 2, 0.5, s, together=True)]
        for s in range(50)
    )
    assert verdicts_of_many(trainings, sees=sees)["unsound"] == 0


def test_a_step_that_flips_one_axis_of_two_by_whole_batches_is_settled_as_unseen():
    found = verdicts_of_many(
        (coins(1, 2, 0.5, s, together=True) for s in range(50)), sees=PLAIN, dims=2, declared=(0, 1)
    )
    assert found["unsound"] >= 45
    assert found["sound"] == 0


def test_a_step_that_never_flips_is_settled_as_unseen():
    witness = watched(unchanged)
    mirroring = witness.verdict()
    assert (mirroring.state, mirroring.safe_axes, witness.steps) == ("observed", (), 64)


def test_a_flip_that_one_case_in_forty_shows_is_rare():
    steps = [[(0,) if step % 20 == 0 else (), ()] for step in range(MOST_STEPS)]
    mirroring = voted(steps, sees=PLAIN, dims=2, declared=(0,)).verdict()
    assert (mirroring.state, mirroring.flip((0,)).verdict, mirroring.safe_axes) == ("observed", "rare", ())


def test_what_is_open_when_the_watch_ends_is_unknown_and_safe_for_nothing():
    mirroring = watched(unchanged, steps=LOOKS[0]).verdict()
    assert (mirroring.state, mirroring.safe_axes) == ("unknown", None)
    assert "too few to tell" in mirroring.reasons[0]


def test_cases_that_cannot_be_read_may_be_the_flipped_ones():
    def rolls_some(target):
        yield torch.stack([torch.roll(case, (5, 3), (1, 2)) if torch.rand(1) < 0.2 else case for case in target])

    assert watched(rolls_some).verdict().state == "unknown"


# ---------------------------------------------------------------- whole steps


def stepped(step, *, network=None, loss=None, sees=PLAIN, steps=MOST_STEPS):
    """A witness of a whole step: ``step(network, loss, data, target)``."""
    witness = Witness(sees, 2, (0, 1), "mine.Trainer")
    network, loss = (Network() if network is None else network), (Loss() if loss is None else loss)
    torch.manual_seed(0)
    for _ in range(steps):
        batch = {"data": torch.rand(2, 1, 16, 16), "target": torch.stack([disc(), disc()])}
        witness.before_step(loss, batch)
        step(network, loss, batch["data"], batch["target"])
        witness.after_step()
        if witness.done:
            break
    assert not loss._forward_pre_hooks
    return witness


def some_of(tensor, axis=0):
    """The batch with its first case flipped."""
    return torch.stack([torch.flip(tensor[0], [axis + 1]), *tensor[1:]])


def flips_both(network, loss, data, target):
    loss(network(some_of(data)), some_of(target))


def flips_answers_back(network, loss, data, target):
    loss(torch.flip(network(torch.flip(data, [2])), [2]), target)


def test_answers_that_are_flipped_back_are_no_fault_and_no_verdict():
    mirroring = stepped(flips_answers_back).verdict()
    assert mirroring.state == "unknown"
    assert "is flipped before the loss" in mirroring.reasons[0]


@pytest.mark.parametrize("turn", [lambda x: x.flip(2).clone(), lambda x: torch.stack([x[0].flip(1), x[1]]).half()])
def test_answers_flipped_back_are_seen_behind_a_compiled_network_too(turn):
    network = torch.compile(Network(), backend="eager")

    def step(network, loss, data, target):
        loss(turn(network(data)), target)

    assert stepped(step, network=network).verdict().state == "unknown"


def test_an_answer_that_is_only_cast_or_sliced_is_not_flipped_back():
    def step(network, loss, data, target):
        loss(network(data)[:, :2].half(), target)

    assert stepped(step).verdict().state == "observed"


# ---------------------------------------------------------------- compiled losses


def test_a_compiled_loss_is_heard_from_outside_of_what_was_compiled():
    graphs = []

    def backend(graph, _examples):
        graphs.append(graph.code)
        return graph.forward

    loss = torch.compile(RealLoss(), backend=backend)
    assert stepped(flips_both, loss=loss).verdict().safe_axes == (0,)
    assert len(graphs) == 1


def test_a_loss_that_is_compiled_in_place_on_the_way_is_let_go():
    loss = Loss()
    loss.compile(backend="eager")
    witness = stepped(lambda network, loss, data, target: loss(network(data), target), loss=loss)
    mirroring = witness.verdict()
    assert (mirroring.state, mirroring.reasons[0].endswith("the loss is compiled")) == ("unknown", True)


def test_a_part_of_the_loss_may_be_compiled():
    class Outer(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = torch.compile(Loss(), backend="eager")

        def forward(self, output, target):
            return self.inner(output, target)

    assert stepped(flips_both, loss=Outer()).verdict().safe_axes == (0,)


def test_nothing_is_added_to_what_a_step_compiles_around_the_loss():
    graphs = []

    def backend(graph, _examples):
        graphs.append(graph.code)
        return graph.forward

    loss, network = RealLoss(), Network()
    around = torch.compile(lambda data, target: loss(network(data), target), backend=backend, fullgraph=True)
    witness = stepped(lambda network, loss, data, target: around(data, target), loss=loss, network=network, steps=4)
    listened = list(graphs)
    torch._dynamo.reset()
    graphs.clear()
    around(torch.rand(2, 1, 16, 16), torch.stack([disc(), disc()]))
    assert set(listened) == set(graphs)
    assert witness.verdict().state == "unknown"
