"""What the printed text of a transform pipeline says about mirroring.

nnU-Net writes ``str(pipeline)`` into ``debug.json``; both batchgenerators libraries print a transform
as ``Name( key = value, ... )``. Such a text names what was asked for, not what happened: it is weaker
than an observation, and a class that the libraries do not know may do anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from ..flips import TRAINED_RATIO

MIRROR = "MirrorTransform"
#: Between these two a transform's axis 0 is the data's axis 1.
FOLDING = {"Convert3DTo2DTransform": 1, "Convert2DTo3DTransform": 0}
#: Together or alone these can amount to a mirror (a quarter turn after a transposition is one).
TURNING = frozenset({"Rot90Transform", "TransposeAxesTransform"})
CONTAINERS = frozenset(
    {
        "Compose",
        "ComposeTransforms",
        "OneOfTransform",
        "OneOfTransformPerSample",
        "RandomTransform",
        "RndTransform",
        "TimedComposeTransforms",
    }
)
#: What nnU-Net's own trainers use of the libraries and leaves the orientation alone; any other class is unknown. A
#: ``SpatialTransform`` may turn by half a turn, which is a rare flip at best.
KEEPS_ORIENTATION = frozenset(
    {
        "ApplyRandomBinaryOperatorTransform",
        "BlankRectangleTransform",
        "BrightnessGradientAdditiveTransform",
        "BrightnessMultiplicativeTransform",
        "BrightnessTransform",
        "ContrastAugmentationTransform",
        "ContrastTransform",
        "Convert2DTo3DTransform",
        "Convert3DTo2DTransform",
        "ConvertSegmentationToRegionsTransform",
        "DownsampleSegForDSTransform",
        "DownsampleSegForDSTransform2",
        "GammaTransform",
        "GaussianBlurTransform",
        "GaussianNoiseTransform",
        "LocalGammaTransform",
        "MaskImageTransform",
        "MaskTransform",
        "MedianFilterTransform",
        "MoveSegAsOneHotToData",
        "MoveSegAsOneHotToDataTransform",
        "MultiplicativeBrightnessTransform",
        "NumpyToTensor",
        "RemoveLabelTransform",
        "RemoveRandomConnectedComponentFromOneHotEncodingTransform",
        "RenameTransform",
        "SharpeningTransform",
        "SimulateLowResolutionTransform",
        "SpatialTransform",
    }
)

_TOKEN = re.compile(
    # The text is foreign: what is repeated is bounded, or ends where its end is missing, so that the time is linear.
    r"""(?P<text>'(?:[^'\\]|\\.?)*(?:'|\Z)|"(?:[^"\\]|\\.?)*(?:"|\Z))
      | (?P<object><[\w.]{1,200}(?:\ object)?\ at\ 0x[0-9a-fA-F]{1,16}>
          | <(?:function|bound\ method|class)\s[^<>]{0,500}>)
      | (?P<name>(?<![\w.])[A-Z]\w*)\s?\(
      | (?P<open>[(\[{])
      | (?P<close>[)\]}])""",
    re.VERBOSE,
)
_NUMPY_SCALAR = re.compile(r"\b(?:np|numpy)\.\w{1,20}\(([^()]{0,50})\)")
_AXES = re.compile(r"\b(?:allowed_axes|axes)\s{0,4}=\s{0,4}(?:[(\[{](?P<many>[^)\]}]{0,200})[)\]}]|(?P<one>-?\d{1,9}))")
_PROBABILITY = re.compile(r"\b(?:apply_probability|p_per_sample|prob|p)\s{0,4}=\s{0,4}([0-9.eE+-]{1,40})")
#: A pipeline prints to a few kilobytes; what is much longer is not one.
LONGEST_TEXT = 1 << 20
DEEPEST_NESTING = 64


class DescribedMirroring(msgspec.Struct, frozen=True, kw_only=True):
    """What a pipeline's text says.

    Args:
        axes: axes that its mirror transforms flip often enough to count as trained, 0-based.
        rarely: axes that they flip too rarely for that.
        turning: transforms that may add up to a mirror.
        unknown: what is in the pipeline and no library class; it may flip too.
    """

    axes: tuple[int, ...] = ()
    rarely: tuple[int, ...] = ()
    turning: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether an axis that is not listed can be called absent, as far as a text can tell."""
        return not self.turning and not self.unknown


class _Node:
    """One printed transform: its name, its own arguments as text, and what it holds."""

    def __init__(self, name: str, parent: _Node | None):
        self.name = name
        self.parent = parent
        self.children: list[_Node] = []
        self.text = ""

    def probability(self) -> float:
        """How often it is applied: its own probability times that of everything around it."""
        own = _PROBABILITY.search(self.text) if self.name != MIRROR or "p_per_sample" in self.text else None
        probability = _as_probability(own.group(1)) if own else 1.0
        if self.parent is None:
            return probability
        if self.parent.name.startswith("OneOf"):
            probability /= max(1, len(self.parent.children))
        return probability * self.parent.probability()


def _as_probability(text: str) -> float:
    try:
        return min(1.0, max(0.0, float(text)))
    except ValueError:
        return 1.0


def described_mirroring(text: str) -> DescribedMirroring | None:
    """Reads the text of a pipeline.

    Returns:
        ``None`` where the text describes no transforms at all: ``None``, or an object whose class
        prints nothing but its address.
    """
    if len(text) > LONGEST_TEXT:
        return None
    root = _tree_of(text)
    if root is None or not root.children:
        return None
    nodes = list(_walk(root))
    trained: set[int] = set()
    rarely: set[int] = set()
    folded = 0  # between the folding of the first axis into the channels and its unfolding
    for node in nodes:
        if node.name in FOLDING:
            folded = FOLDING[node.name]
        elif node.name == MIRROR:
            axes = [axis + folded for axis in _axes_of(node)]
            (trained if _often_enough(node.probability(), len(axes)) else rarely).update(axes)
    unknown = {node.name for node in nodes if _is_unknown(node)}
    unknown.update(
        name for node in [root, *nodes] if node is root or node.name in CONTAINERS for name in _objects(node)
    )
    return DescribedMirroring(
        axes=tuple(sorted(trained)),
        rarely=tuple(sorted(rarely - trained)),
        turning=tuple(sorted({node.name for node in nodes if node.name in TURNING})),
        unknown=tuple(sorted(unknown)),
    )


def described_tree(text: str) -> list[dict[str, Any]] | None:
    """The printed pipeline in the shape of a record's ``transforms``, its parameters as text; for comparing two.

    Returns:
        ``None`` as ``described_mirroring``.
    """
    root = _tree_of(text) if len(text) <= LONGEST_TEXT else None
    return [_as_tree(child) for child in root.children] if root is not None and root.children else None


def _as_tree(node: _Node) -> dict[str, Any]:
    tree: dict[str, Any] = {"class": node.name}
    if node.name in CONTAINERS:
        own = _PROBABILITY.search(node.text)
        if own is not None:
            tree["probability"] = _as_probability(own.group(1))
        tree["children"] = [_as_tree(child) for child in node.children]
    else:
        tree["parameters"] = _arguments(node.text) | {child.name: _flat(child) for child in node.children}
    return tree


def _flat(node: _Node) -> str:
    return " ".join([" ".join(node.text.split()), *(f"{child.name}({_flat(child)})" for child in node.children)])


def _arguments(text: str) -> dict[str, str]:
    """``key = value`` pairs between commas that stand in no bracket."""
    found, depth, start = {}, 0, 0
    for place, character in enumerate(f"{text},"):
        depth += (character in "([{") - (character in ")]}")
        if character == "," and depth <= 0:
            name, equals, value = text[start:place].partition("=")
            if equals and value.strip():
                found[name.strip()] = " ".join(value.split())
            start = place + 1
    return found


def _tree_of(text: str) -> _Node | None:
    """The transforms as a tree below a nameless root; ``None`` where brackets do not match."""
    root = node = _Node("", None)
    open_brackets: list[bool] = []
    position = 0
    for token in _TOKEN.finditer(text):
        if token.lastgroup == "text":
            continue
        if token.lastgroup == "name":
            node.text += text[position : token.start()]
            child = _Node(token.group("name"), node)
            node.children.append(child)
            node, position = child, token.end()
            open_brackets.append(True)
        elif token.lastgroup == "open":
            open_brackets.append(False)
        elif token.lastgroup == "close":
            if not open_brackets:
                return None
            if open_brackets.pop():
                node.text += text[position : token.start()]
                assert node.parent is not None
                node, position = node.parent, token.end()
        if len(open_brackets) > DEEPEST_NESTING:
            return None
    root.text += text[position:]
    return root if not open_brackets else None


def _walk(node: _Node) -> Iterator[_Node]:
    for child in node.children:
        yield child
        yield from _walk(child)


def _is_unknown(node: _Node) -> bool:
    if node.name in CONTAINERS or node.name in KEEPS_ORIENTATION or node.name in TURNING or node.name == MIRROR:
        return False
    # A value inside a library transform's arguments is no transform.
    return node.parent is None or node.parent.name in CONTAINERS or node.parent.name == "" or _is_unknown(node.parent)


def _objects(node: _Node) -> list[str]:
    """Classes of the objects in a container that print only their address."""
    found = []
    for token in _TOKEN.finditer(node.text):
        if token.lastgroup == "object":
            words = token.group("object").strip("<>").split()
            found.append(words[1] if words[0] in ("function", "bound", "class") and len(words) > 1 else words[0])
    return [name.rpartition(".")[2].strip("'") for name in found]


def _axes_of(mirror: _Node) -> list[int]:
    found = _AXES.search(_NUMPY_SCALAR.sub(r"\1", mirror.text))
    if found is None:
        return []
    return [int(number) for number in re.findall(r"-?\d{1,9}", found.group("many") or found.group("one") or "")]


def _often_enough(probability: float, number_of_axes: int) -> bool:
    """Whether one axis alone is flipped a tenth as often as nothing; each axis flips with one half."""
    combinations = 2**number_of_axes
    alone = probability / combinations
    plain = 1 - probability + alone
    return alone > 0 and alone >= TRAINED_RATIO * plain
