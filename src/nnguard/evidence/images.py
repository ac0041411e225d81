"""Which flip makes one image of another: for images that a train step changes between loader and network."""

from __future__ import annotations

from typing import Any

import torch

from ..flips import flips_of

Flip = tuple[int, ...]

#: Points an axis at which images are compared: 14,000 in 3D tell every flip apart, and cost nothing.
POINTS = 24
#: Correlation of the best flip, and its lead: noise and contrast that a step adds leave more, symmetric images less.
ALIKE, LEAD = 0.9, 0.15
#: Nodes of the graph behind an answer that are looked at: enough for a flip, a stack and a cast.
DEPTH = 6
#: What turns an answer over on its way from network to loss, and what the network itself ends with.
TURNS = ("Flip", "Rot90", "IndexSelect", "GridSampler")
NETWORK = ("Convolution", "CompiledFunction", "Addmm")


def sampled(images: torch.Tensor) -> torch.Tensor:
    """Images, shape (case, channel, space), at few points that lie symmetrically: flips of them are flips."""
    for axis in range(2, images.ndim):
        points = torch.tensor(_points(images.shape[axis]), device=images.device)
        images = images.index_select(axis, points)
    return images.detach().cpu()


def flip_of_image(before: torch.Tensor, after: torch.Tensor) -> Flip | None:
    """The one flip that makes ``after`` of ``before``, both (channel, space); ``None`` where none or several do."""
    dims = before.ndim - 1
    candidates = [(), *flips_of(range(dims))]
    views = {flip: torch.flip(before, [axis + 1 for axis in flip]) if flip else before for flip in candidates}
    exact = [flip for flip in candidates if torch.equal(views[flip].to(after.dtype), after)]
    if exact:
        return exact[0] if len(exact) == 1 else None
    alike = sorted(((_correlation(views[flip], after), flip) for flip in candidates), reverse=True)
    (best, flip), (second, _) = alike[0], alike[1]
    return flip if best >= ALIKE and best - second >= LEAD else None


def is_turned_back(answer: torch.Tensor) -> bool:
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


def _points(side: int) -> list[int]:
    half = {round(step * (side - 1) / (POINTS - 1)) for step in range(POINTS // 2)}
    return sorted(half | {side - 1 - point for point in half})


def _correlation(first: torch.Tensor, second: torch.Tensor) -> float:
    one, other = (image.double().flatten() - image.double().mean() for image in (first, second))
    scale = float(one.norm() * other.norm())
    return float(one @ other) / scale if scale else 0.0
