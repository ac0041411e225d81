"""The train-step witness: flips that a ``train_step`` adds between the loader and the loss.

During the first steps, the target that the loss receives is compared with the one that the loader
delivered, case by case, over all flips. Labels decide; targets that look alike after a flip (empty,
symmetric) say nothing. What training shows is the loader's flip and the step's together: their symmetric
difference, so the two distributions are convolved.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec
import torch

from ..flips import ALPHA, compose, flips_of, safe_axes
from ..record import FlipEvidence, Mirroring, Source
from .foreign import Failed
from .judged import flip_evidence, unknown
from .labels import LabelBehaviour
from .listening import Listener, why_not
from .probe import settled

Flip = tuple[int, ...]

#: Steps that are looked at. With two cases a step they give 64 cases, as many as the probe's first draws.
MOST_STEPS = 32
#: Cases that must have told their flip before anything is concluded early, and at the end.
ENOUGH_CASES, FEWEST_CASES = 32, 16
#: After each step there is a look: each may spend its share of the 5 %.
LOOK_ALPHA = ALPHA / MOST_STEPS
#: For a target that was changed otherwise too (resampled, smoothed): the overlap of the best flip, and its lead.
OVERLAP, LEAD = 0.8, 0.15
#: Of the cases that tell anything, the share that must be clear.
CLEAR_SHARE = 0.5
#: Nodes of the graph behind an answer that are looked at: enough for a flip, a stack and a cast.
DEPTH = 6
#: What turns an answer over on its way from network to loss, and what the network itself ends with.
TURNS = ("Flip", "Rot90", "IndexSelect", "GridSampler")
NETWORK = ("Convolution", "CompiledFunction", "Addmm")


class Seen(msgspec.Struct, frozen=True):
    """What one case shows. ``renamed``: source label -> new label, where the step renames any."""

    flip: Flip
    renamed: tuple[tuple[int, int], ...] = ()


class Witness:
    """Watches the first steps of one training; ``verdict`` settles what the loader alone left pending.

    Args:
        loader: what the loader's pipeline shows, by the probe; state ``observed`` or ``pending``.
        dims: spatial dimensions.
        declared: well-formed declared axes: the flips that have to be settled.
        name: ``module.Class`` of the train step, for reasons.
        patient: always watch ``MOST_STEPS``: ranks that train together must conclude together.
    """

    def __init__(self, loader: Mirroring, dims: int, declared: Flip, name: str, patient: bool = False) -> None:
        self.loader, self.dims, self.declared, self.name, self.patient = loader, dims, declared, name, patient
        self.steps = 0
        self.cases: Counter[Seen] = Counter()
        self.unclear = 0
        self.silent = 0
        self._turned_back = 0
        self._deaf_to_loss: str | None = None
        self._delivered: list[torch.Tensor] = []
        self._received = False
        self._any_received = False
        self._loss = Listener(self._hear_loss)

    # -- around one step

    def before_step(self, loss: Any, batch: Any) -> None:
        """Keeps what the loader delivered, and listens to the loss."""
        self.close()  # a step that raised left its listeners
        self._delivered = [target.detach().clone() for target in _targets(batch, self.dims)]
        self._received = False
        self._deaf_to_loss = why_not(loss) or self._loss.start(loss)

    def after_step(self) -> None:
        """Counts the step, and lets go of its tensors."""
        self.steps += 1
        self._any_received |= self._received
        self.close()  # nothing is heard outside of a step: validation uses the same loss

    def close(self) -> None:
        """Takes the listener off: later steps cost nothing."""
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
            # Images flipped, answers flipped back, targets never: the network was shown flips that no target tells.
            self._turned_back += len(delivered)
            self.unclear += len(delivered)
            return
        for before, after in zip(delivered, received, strict=True):
            self._note(flip_between(before, after, self.dims))

    def _note(self, seen: Seen | str) -> None:
        if isinstance(seen, Seen):
            self.cases[seen] += 1
        elif seen == SILENT:
            self.silent += 1
        else:
            self.unclear += 1

    # -- what follows from it

    @property
    def done(self) -> bool:
        """Whether the verdict is sure, or enough steps have been watched."""
        if self.steps >= MOST_STEPS:
            return True
        told = sum(self.cases.values())
        if self.patient or told < ENOUGH_CASES or self.unclear > told:
            return False
        counts, clean = self._together()
        wanted = [(), *(flip for flip in flips_of(self.declared) if max(flip) < self.dims)]
        return all(settled(flip, counts, clean, LOOK_ALPHA) for flip in wanted)

    @property
    def is_sure(self) -> bool:
        """Whether enough cases have told their flip, and most of those that say anything."""
        told = sum(self.cases.values())
        return told >= FEWEST_CASES and told >= CLEAR_SHARE * (told + self.unclear)

    def verdict(self) -> Mirroring:
        """What loader and step show together; ``unknown``, with the reason, where the step hides its target."""
        told = sum(self.cases.values())
        if not self.is_sure:
            if self.loader.state == "observed":
                return self.loader
            return unknown(f"{self.name} may flip in train_step, and that could not be seen: {self._why(told)}")
        steps = Counter[Flip]()
        for seen, count in self.cases.items():
            steps[seen.flip] += count
        if set(steps) == {()} and not any(seen.renamed for seen in self.cases):
            return self._as_the_loader_shows()
        counts, clean = self._together()
        flips = [
            self._evidence(flip, counts, clean, {shown: count / told for shown, count in steps.items()})
            for flip in flips_of(range(self.dims))
        ]
        known = {flip.axes: flip for flip in flips}
        return Mirroring(
            state="observed",
            reasons=[f"with the flips of the train step of {self.name}, seen in {told} cases of {self.steps} steps"],
            draws=self.loader.draws,
            clean=clean,
            plain_rate=counts[()] / clean,
            flips=flips,
            safe_axes=safe_axes(known, range(self.dims)),
        )

    def _why(self, told: int) -> str:
        if not self._any_received and self._deaf_to_loss:
            return f"the loss is {self._deaf_to_loss}"
        if self._turned_back:
            return "what the network answers is flipped before the loss, so targets do not tell what it was shown"
        if not self._any_received:
            return "in its first steps it gave trainer.loss no target of the shape that the loader delivered"
        if told + self.unclear < FEWEST_CASES:
            seen = told + self.unclear + self.silent
            alike = f", and {self.silent} of them look the same after a flip" if self.silent else ""
            return f"{seen} targets were seen in {self.steps} steps, and it takes {FEWEST_CASES} that tell{alike}"
        return f"{self.unclear} of {told + self.unclear} targets match what was delivered under no flip"

    def _as_the_loader_shows(self) -> Mirroring:
        if self.loader.state == "observed":
            return self.loader
        evidence = {flip.axes: flip for flip in self.loader.flips}
        safe = safe_axes(evidence, range(self.dims))
        return msgspec.structs.replace(self.loader, state="observed", reasons=[], safe_axes=safe)

    def _together(self) -> tuple[Counter[Flip], int]:
        """Counts of the composed flips, out of as many as the smaller of the two samples holds."""
        told = sum(self.cases.values())
        loader = {flip.axes: flip.rate for flip in self.loader.flips} | {(): self.loader.plain_rate or 0.0}
        rates: Counter[Flip] = Counter()
        for first, rate in loader.items():
            for seen, count in self.cases.items():
                rates[compose(first, seen.flip)] += rate * count / told  # type: ignore[assignment]
        clean = min(self.loader.clean, told) if self.loader.clean else told
        # What was seen at all counts as seen once: rounding must not make it unseen.
        return Counter({flip: max(1, round(rate * clean)) for flip, rate in rates.items() if rate > 0}), clean

    def _evidence(self, flip: Flip, counts: Counter[Flip], clean: int, steps: dict[Flip, float]) -> FlipEvidence:
        loader = {shown.axes: shown.rate for shown in self.loader.flips} | {(): self.loader.plain_rate or 0.0}
        by_loader = loader.get(flip, 0.0) * steps.get((), 0.0)
        by_step = loader.get((), 0.0) * steps.get(flip, 0.0)
        total = sum(rate * steps.get(compose(flip, first), 0.0) for first, rate in loader.items())
        source: Source = "both"
        if total and by_loader >= 0.9 * total:
            source = "loader"
        elif total and by_step >= 0.9 * total:
            source = "step"
        return flip_evidence(flip, counts, clean, self._labels(flip), source, LOOK_ALPHA)

    def _labels(self, flip: Flip) -> LabelBehaviour:
        """What ``flip`` does to labels, by every way in which the loader's flip and the step's make it."""
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
    """What a loader's flip does to labels, with shares; a renaming that could not be read off is ``None``."""
    if shown is None or shown.labels == "kept":
        return [({}, 1.0)]
    if shown.labels == "unknown":
        return []
    return [(shown.permutation, 1.0)] if shown.labels == "swapped" else [({}, 0.5), (shown.permutation, 0.5)]


def _one_after_the_other(first: dict[int, int], second: dict[int, int]) -> tuple[tuple[int, int], ...]:
    """The labels that two renamings change together."""
    both = {label: second.get(first.get(label, label), first.get(label, label)) for label in {*first, *second}}
    return tuple(sorted((label, new) for label, new in both.items() if label != new))


SILENT, UNCLEAR = "silent", "unclear"


def flip_between(before: torch.Tensor, after: torch.Tensor, dims: int) -> Seen | str:
    """The one flip that makes ``after`` of ``before``.

    Args:
        before, after: one case's target, shape (channel, space), of labels or of region channels.

    Returns:
        What was seen; ``SILENT`` where several flips explain it, ``UNCLEAR`` where none does.
    """
    candidates = [(), *flips_of(range(dims))]
    views = {flip: torch.flip(before, [axis + 1 for axis in flip]) if flip else before for flip in candidates}
    exact = [flip for flip in candidates if torch.equal(views[flip].to(after.dtype), after)]
    if exact:
        return Seen(exact[0]) if len(exact) == 1 else SILENT
    if not bool((before > 0).any()):
        return SILENT
    # The same shapes under other labels: the step renames.
    shapes = [flip for flip in candidates if torch.equal(views[flip] > 0, after > 0)]
    if len(shapes) == 1 and before.shape[0] == 1:
        renamed = _renamed(views[shapes[0]], after)
        return UNCLEAR if renamed is None else Seen(shapes[0], renamed)
    overlaps = sorted(((_overlap(views[flip], after), flip) for flip in candidates), reverse=True)
    if overlaps[0][0] < OVERLAP:
        return UNCLEAR
    return Seen(overlaps[0][1]) if overlaps[0][0] - overlaps[1][0] >= LEAD else SILENT


def _renamed(before: torch.Tensor, after: torch.Tensor) -> tuple[tuple[int, int], ...] | None:
    """Which labels became which, where every voxel agrees."""
    renamed = []
    for label in torch.unique(before).tolist():
        became = torch.unique(after[before == label]).tolist()
        if len(became) != 1:
            return None
        if became[0] != label:
            renamed.append((int(label), int(became[0])))
    return tuple(renamed)


def _overlap(first: torch.Tensor, second: torch.Tensor) -> float:
    """Share of the voxels that are foreground in either and have the same label in both."""
    foreground = (first > 0) | (second > 0)
    total = int(foreground.sum())
    return float(((first == second) & foreground).sum()) / total if total else 0.0


def _targets(batch: Any, dims: int) -> list[torch.Tensor]:
    """The delivered targets, one a resolution, shape (case, channel, space)."""
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


def watched_by(trainer: Any, loader: Mirroring, dims: int, declared: Flip, name: str | None) -> Witness | Failed:
    """A witness for this training; why not, where none is needed or possible."""
    if name is None:
        return Failed("the train step is nnU-Net's own")
    if loader.state not in ("observed", "pending"):
        return Failed(f"what the loader shows is {loader.state}")
    hindrance = why_not(getattr(trainer, "loss", None))
    if hindrance is not None:
        return Failed(f"{name} may flip in train_step, and the loss is {hindrance}")
    return Witness(loader, dims, declared, name, patient=bool(getattr(trainer, "is_ddp", False)))
