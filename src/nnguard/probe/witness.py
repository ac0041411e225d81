"""The train-step witness: flips that a ``train_step`` adds between the loader and the loss.

During the first steps, the target that the loss receives is compared with the one that the loader
delivered, case by case, over all flips. Labels decide; targets that look alike after a flip (empty,
symmetric) say nothing. Training shows the loader's flip and the step's flip together, which is their symmetric
difference, so the two distributions are convolved. The witness concludes absence only beyond chance. What is open when
the watch ends is *unknown*.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from math import ceil, floor, prod
from typing import Any

import msgspec
import torch

from ..flips import ALPHA, at_least, compose, flips_of, safe_axes, side_of_ratio
from ..record import FlipEvidence, Mirroring, Source
from .labels import LabelBehaviour
from .listener import Listener, why_not
from .step_flip import SILENT, Seen, flip_between
from .summary import flip_evidence, unknown

Flip = tuple[int, ...]

#: Steps after which the witness may conclude. The watch ends with the last one, or with the epoch.
LOOKS = (32, 64, 128, 192, 256)
MOST_STEPS = LOOKS[-1]
#: Each look, including the one at the end of the epoch, gets its share of the 5 %.
LOOK_ALPHA = ALPHA / (len(LOOKS) + 1)
#: How many cases must have shown their flip before anything is concluded.
FEWEST_CASES = 16
#: A combination, or the plain view, counts as missed only if it should have come this often. Then chance alone misses
#: it in one of three thousand trainings.
EXPECTED_TO_MISS = 8
#: If independent cases would agree this seldom, their agreement within steps is no chance. One coin for a whole batch
#: makes every step agree, which is far less likely.
CHANCE = 0.001
#: Of the cases that show anything, the share that must be clear.
CLEAR_SHARE = 0.5
#: How many nodes of the graph behind an answer are looked at: enough for a flip, a stack and a cast.
DEPTH = 6
#: Operations that flip an answer between network and loss, and those that a network itself ends with.
TURNS = ("Flip", "Rot90", "IndexSelect", "GridSampler")
NETWORK = ("Convolution", "CompiledFunction", "Addmm")


class Votes(msgspec.Struct, frozen=True):
    """What the watched steps said: votes for each flip, all votes, and the votes of cases that could not be read."""

    counts: Counter[Flip]
    told: float
    unclear: float


class Witness:
    """Watches the first steps of one training; ``verdict`` settles what the loader left pending.

    Args:
        loader: what the loader's pipeline shows, by the probe; state ``observed`` or ``pending``.
        dims: spatial dimensions.
        declared: well-formed declared axes: the flips that have to be settled.
        name: ``module.Class`` of the train step, for reasons.
    """

    def __init__(self, loader: Mirroring, dims: int, declared: Flip, name: str) -> None:
        self.loader, self.dims, self.declared, self.name = loader, dims, declared, name
        self.steps = 0
        #: One list a step of its cases that show anything; ``None`` for a case that matches no flip.
        self.seen: list[list[Seen | None]] = []
        self.silent = 0
        self._turned_back = False
        self._deaf_to_loss: str | None = None
        self._delivered: list[torch.Tensor] = []
        self._received = False
        self._any_received = False
        self._loss = Listener(self._hear_loss)

    # -- around one step

    def before_step(self, loss: Any, batch: Any) -> None:
        """Keeps what the loader delivered, and listens to the loss."""
        self.close()  # if the last step raised, it left its listeners
        self._delivered = [target.detach().clone() for target in _targets(batch, self.dims)]
        self._received = False
        self._deaf_to_loss = why_not(loss) or self._loss.start(loss)

    def after_step(self) -> None:
        """Counts the step, and forgets its tensors."""
        self.steps += 1
        self._any_received |= self._received
        self.close()  # validation uses the same loss, so it listens during a step only

    def close(self) -> None:
        """Removes the listener, so that later steps cost nothing."""
        self._loss.stop()
        self._delivered = []

    def _hear_loss(self, arguments: tuple, keywords: dict) -> None:
        if self._received or not self._delivered:
            return
        for received in _tensors([*arguments[1:], *keywords.values()]):
            delivered = next((target for target in self._delivered if _alike(target, received)), None)
            if delivered is not None:
                self._received = True
                given = [tensor for tensor in _tensors([*arguments, *keywords.values()]) if tensor is not received]
                self._compare(delivered, received.detach().to(delivered.device, non_blocking=False), given)
                return

    def _compare(self, delivered: torch.Tensor, received: torch.Tensor, given: list[torch.Tensor]) -> None:
        if any(_is_turned_back(tensor) for tensor in given):
            # If images are flipped and answers flipped back, the network sees flips that no target shows.
            self._turned_back = True
            self.seen.append([None] * len(delivered))
            return
        found = [flip_between(before, after, self.dims) for before, after in zip(delivered, received, strict=True)]
        self.silent += found.count(SILENT)
        if told := [seen if isinstance(seen, Seen) else None for seen in found if seen != SILENT]:
            self.seen.append(told)

    # -- what follows from it

    @property
    def done(self) -> bool:
        """Whether the verdict is settled at this look, or enough steps have been watched."""
        return self.steps >= MOST_STEPS or (self.steps in LOOKS and self.is_sure and self._is_settled())

    @property
    def cases(self) -> Counter[Seen]:
        """The cases that showed their flip."""
        return Counter(seen for step in self.seen for seen in step if seen is not None)

    @property
    def is_sure(self) -> bool:
        """Whether enough cases have shown their flip, and most of those that show anything."""
        told = self.cases.total()
        return told >= FEWEST_CASES and told >= CLEAR_SHARE * (told + self._unclear)

    def verdict(self) -> Mirroring:
        """What loader and step show together; ``unknown``, with the reason, if that is not beyond chance."""
        if not self.is_sure or not self._is_settled():
            if self.loader.state == "observed":
                return self.loader
            return unknown(f"{self.name} may flip in train_step, and that could not be seen: {self._why()}")
        if set(self.cases) == {Seen(())}:
            return self._as_the_loader_shows()
        rates, clean = self._together()
        flips = [self._evidence(flip, rates, clean) for flip in flips_of(range(self.dims))]
        seen = f"seen in {self.cases.total()} cases of {self.steps} steps"
        return Mirroring(
            state="observed",
            reasons=[f"with the flips of the train step of {self.name}, {seen}"],
            draws=self.loader.draws,
            clean=clean,
            plain_rate=rates[()],
            flips=flips,
            safe_axes=safe_axes({flip.axes: flip for flip in flips}, range(self.dims)),
        )

    @property
    def _unclear(self) -> int:
        return sum(seen is None for step in self.seen for seen in step)

    def _why(self) -> str:
        told, unclear = self.cases.total(), self._unclear
        if not self._any_received and self._deaf_to_loss:
            return f"the loss is {self._deaf_to_loss}"
        if self._turned_back:
            return "what the network answers is flipped before the loss, so targets do not tell what it was shown"
        if not self._any_received:
            return "in its first steps it gave trainer.loss no target of the shape that the loader delivered"
        if told + unclear < FEWEST_CASES:
            alike = f", and {self.silent} of them look the same after a flip" if self.silent else ""
            seen = told + unclear + self.silent
            return f"{seen} targets were seen in {self.steps} steps, and it takes {FEWEST_CASES} that tell{alike}"
        if not self.is_sure:
            return f"{unclear} of {told + unclear} targets match what was delivered under no flip"
        return f"{told} targets of {self.steps} steps are too few to tell a flip that is absent from a rare one"

    def _as_the_loader_shows(self) -> Mirroring:
        if self.loader.state == "observed":
            return self.loader
        evidence = {flip.axes: flip for flip in self.loader.flips}
        safe = safe_axes(evidence, range(self.dims))
        return msgspec.structs.replace(self.loader, state="observed", reasons=[], safe_axes=safe)

    def _votes(self) -> Votes:
        """Each case has a vote if cases flip independently of each other. Otherwise each step has one vote, because
        one decision for a whole batch is one observation."""
        independent = self._cases_are_independent()
        counts, unclear = Counter[Flip](), 0.0
        for step in self.seen:
            vote = 1.0 if independent else 1 / len(step)
            for seen in step:
                if seen is None:
                    unclear += vote
                else:
                    counts[seen.flip] += vote  # type: ignore[assignment]
        return Votes(counts, sum(counts.values()), unclear)

    def _cases_are_independent(self) -> bool:
        """Whether the cases of a step differ sometimes, and agree no more often than by chance.

        Steps that never differ may toss one coin for all of their cases and have it fall on one side so far.
        """
        steps = [[seen.flip for seen in step if seen is not None] for step in self.seen]
        steps = [flips for flips in steps if len(flips) > 1]
        agreeing = sum(len(set(flips)) == 1 for flips in steps)
        if agreeing == len(steps):
            return False
        shares = Counter(flip for flips in steps for flip in flips)
        total = shares.total()
        by_chance = [sum((count / total) ** len(flips) for count in shares.values()) for flips in steps]
        return bool(at_least(agreeing, len(steps), sum(by_chance) / len(steps)) >= CHANCE)

    def _is_settled(self) -> bool:
        """Whether the verdict on every declared flip is beyond chance."""
        votes = self._votes()
        if set(votes.counts) == {()}:
            return self._side(0.0, votes.told, votes.unclear) == "below"
        rates, clean = self._together()
        unclear = votes.unclear * clean / votes.told
        sides = {axis: self._side(rates[(axis,)] * clean, rates[()] * clean, unclear) for axis in range(self.dims)}
        wanted = [(), *(flip for flip in flips_of(self.declared) if max(flip) < self.dims)]
        return all(
            "below" in (of := [sides[axis] for axis in flip])
            or ("unsettled" not in of and (rates[flip] > 0 or self._is_missed(flip, rates, clean)))
            for flip in wanted
        )

    @staticmethod
    def _side(flipped: float, plain: float, unclear: float) -> str:
        """As ``side_of_ratio``, but a case that could not be read counts against either side."""
        flipped, plain, unclear = round(flipped, 6), round(plain, 6), round(unclear, 6)
        if side_of_ratio(ceil(flipped + unclear), floor(plain), alpha=LOOK_ALPHA) == "below":
            return "below"
        above = side_of_ratio(floor(flipped), ceil(plain + unclear), alpha=LOOK_ALPHA) == "above"
        return "above" if above else "unsettled"

    @staticmethod
    def _is_missed(flip: Flip, rates: Counter[Flip], clean: int) -> bool:
        """Whether a view was never seen that should have come often if the axes flip independently."""
        if not flip:
            return clean * min((rate for rate in rates.values() if rate > 0), default=0.0) >= EXPECTED_TO_MISS
        plain = rates[()]
        return plain == 0 or clean * plain * prod(rates[(axis,)] / plain for axis in flip) >= EXPECTED_TO_MISS

    def _together(self) -> tuple[Counter[Flip], int]:
        """Rates of the composed flips, and the size of the smaller of the two samples behind them."""
        votes, loader = self._votes(), self._loader_rates()
        rates: Counter[Flip] = Counter()
        for first, rate in loader.items():
            for second, count in votes.counts.items():
                rates[compose(first, second)] += rate * count / votes.told  # type: ignore[assignment]
        told = round(votes.told)
        # A loader that shows one view only adds no chance of its own.
        return rates, told if max(loader.values()) == 1 else min(self.loader.clean, told)

    def _loader_rates(self) -> dict[Flip, float]:
        shown = {flip.axes: flip.rate for flip in self.loader.flips} | {(): self.loader.plain_rate or 0.0}
        return {flip: rate for flip, rate in shown.items() if rate > 0}

    def _evidence(self, flip: Flip, rates: Counter[Flip], clean: int) -> FlipEvidence:
        votes, loader = self._votes(), self._loader_rates()
        steps = {shown: count / votes.told for shown, count in votes.counts.items()}
        source: Source = "both"
        if rates[flip] and loader.get(flip, 0.0) * steps.get((), 0.0) >= 0.9 * rates[flip]:
            source = "loader"
        elif rates[flip] and loader.get((), 0.0) * steps.get(flip, 0.0) >= 0.9 * rates[flip]:
            source = "step"
        return flip_evidence(flip, rates, clean, self._labels(flip), source, LOOK_ALPHA)

    def _labels(self, flip: Flip) -> LabelBehaviour:
        """What ``flip`` does to labels, over all pairs of a loader's flip and a step's flip that make it."""
        weights: Counter[tuple[tuple[int, int], ...] | None] = Counter()
        for shown in [None, *self.loader.flips]:
            rate = shown.rate if shown is not None else self.loader.plain_rate or 0.0
            for seen, count in self.cases.items():
                if rate and compose(shown.axes if shown is not None else (), seen.flip) == flip:
                    for renamed, share in _renamings(shown):
                        both = None if renamed is None else _one_after_the_other(renamed, dict(seen.renamed))
                        weights[both] += rate * count * share  # type: ignore[assignment]
        changed = Counter({renamed: weight for renamed, weight in weights.items() if renamed != ()})
        if not changed:
            return LabelBehaviour(labels="kept" if weights else "unknown")
        kept = weights[()] > sum(changed.values()) / 9
        most = changed.most_common(1)[0][0]
        return LabelBehaviour(labels="mixed" if kept else "swapped", permutation=None if most is None else dict(most))


def _renamings(shown: FlipEvidence | None) -> list[tuple[dict[int, int] | None, float]]:
    """What a loader's flip does to labels, with shares; ``None`` for a renaming that could not be read."""
    if shown is None or shown.labels == "kept":
        return [({}, 1.0)]
    if shown.labels == "unknown":
        return []
    return [(shown.permutation, 1.0)] if shown.labels == "swapped" else [({}, 0.5), (shown.permutation, 0.5)]


def _one_after_the_other(first: dict[int, int], second: dict[int, int]) -> tuple[tuple[int, int], ...]:
    """The labels that two renamings change together."""
    both = {label: second.get(first.get(label, label), first.get(label, label)) for label in {*first, *second}}
    return tuple(sorted((label, new) for label, new in both.items() if label != new))


def _targets(batch: Any, dims: int) -> list[torch.Tensor]:
    """The delivered targets, one for each resolution, shape (case, channel, space)."""
    target = batch.get("target") if hasattr(batch, "get") else None
    return [tensor for tensor in _tensors([target]) if tensor.ndim == dims + 2]


def _is_turned_back(answer: torch.Tensor) -> bool:
    """Whether what the network answered was turned over before the loss: then images and targets need not agree.

    Only the names of the graph's nodes are looked at. What they saved is left alone: to look may recompute it.
    """
    nodes: list[Any] = [answer.grad_fn]
    for _ in range(DEPTH):
        nodes = [node for node in nodes if node is not None and not node.name().startswith(NETWORK)]
        if any(node.name().startswith(TURNS) for node in nodes):
            return True
        nodes = [behind for node in nodes for behind, _ in node.next_functions][:64]
    return False


def _tensors(values: list[Any]) -> Iterator[torch.Tensor]:
    for value in values:
        if isinstance(value, torch.Tensor):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from _tensors(list(value))


def _alike(delivered: torch.Tensor, received: torch.Tensor) -> bool:
    return delivered.shape == received.shape and min(delivered.shape[2:], default=0) > 1


def watched_by(trainer: Any, loader: Mirroring, dims: int, declared: Flip, name: str) -> Witness | Mirroring | None:
    """A witness for this training.

    Returns:
        ``None`` where nothing is left to see; what has to be recorded instead (state ``unknown``, with the reason)
        where something is pending and nobody can watch.
    """
    hindrance = why_not(getattr(trainer, "loss", None))
    if loader.state not in ("observed", "pending"):
        return None
    if hindrance is None:
        return Witness(loader, dims, declared, name)
    reason = f"{name} may flip in train_step, and the loss is {hindrance}"
    return unknown(reason) if loader.state == "pending" else None
