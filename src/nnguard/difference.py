"""What differs between two values of plain data: every changed leaf, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import SequenceMatcher
from math import isclose
from typing import Any

#: Plans and pipelines are never nested this deep, but a hostile file may be.
DEEPEST = 40

#: Numbers this close are equal (relative), because spacings and statistics are rounded as text and are computed again
#: on other machines.
ROUNDING = 1e-6

Change = tuple[str, Any, Any]


class _Absent:
    def __repr__(self) -> str:
        return "(not there)"


#: The value of a missing key, because ``None`` is a value.
ABSENT = _Absent()


def differences(key: str, before: Any, after: Any, depth: int = 0) -> Iterator[Change]:
    """Yields every changed leaf with its dotted key. An added or removed transform does not shift the others."""
    before, after = _keyed(before), _keyed(after)
    if isinstance(before, dict) and isinstance(after, dict) and depth < DEEPEST:
        for name in [*before, *(name for name in after if name not in before)]:
            yield from differences(_below(key, name), before.get(name, ABSENT), after.get(name, ABSENT), depth + 1)
    elif is_pipeline(before) and is_pipeline(after) and depth < DEEPEST:
        yield from _pipeline_differences(key, before, after, depth)
    elif not _same(before, after):
        yield key, before, after


def _pipeline_differences(key: str, before: list[Any], after: list[Any], depth: int) -> Iterator[Change]:
    if len(before) == len(after) == 1 and before[0]["class"] == after[0]["class"]:
        # A single entry is the wrapper around a whole pipeline. It stays the same, even if one transform is left in it.
        yield from differences(f"{key}[{_name_of(before[0])}]", before[0], after[0], depth + 1)
        return
    aligned = SequenceMatcher(
        a=[_name_of(entry) for entry in before], b=[_name_of(entry) for entry in after], autojunk=False
    )
    for what, a, a_end, b, b_end in aligned.get_opcodes():
        if what == "equal":
            for left, right in zip(before[a:a_end], after[b:b_end], strict=True):
                yield from differences(f"{key}[{_name_of(left)}]", left, right, depth + 1)
        else:
            yield from ((f"{key}[{_name_of(left)}]", left, ABSENT) for left in before[a:a_end])
            yield from ((f"{key}[{_name_of(right)}]", ABSENT, right) for right in after[b:b_end])


def _keyed(value: Any) -> Any:
    """A list of entries as a dict: a record's flips by their axes, others by their index. A pipeline stays a list."""
    if not isinstance(value, list) or is_pipeline(value) or not all(isinstance(entry, dict) for entry in value):
        return value
    return {str(entry.get("axes", f"[{place}]")): entry for place, entry in enumerate(value)} or value


def _same(before: Any, after: Any) -> bool:
    """Whether two leaves are equal. Tuples equal lists, numbers may differ by rounding, and NaN equals NaN."""
    if isinstance(before, (list, tuple)) and isinstance(after, (list, tuple)):
        return len(before) == len(after) and all(_same(a, b) for a, b in zip(before, after, strict=True))
    if _is_number(before) and _is_number(after):
        return isclose(before, after, rel_tol=ROUNDING) or (before != before and after != after)
    return type(before) is type(after) and bool(before == after)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def is_pipeline(value: Any) -> bool:
    """Whether this is a list of described transforms, that is, each entry has a ``class``."""
    return (
        isinstance(value, list) and bool(value) and all(isinstance(entry, dict) and "class" in entry for entry in value)
    )


def _name_of(entry: dict[str, Any]) -> str:
    """The class. A wrapper around a single transform also names that one, because most wrappers are of one class."""
    name = str(entry["class"]).rpartition(".")[2]
    children = entry.get("children")
    if isinstance(children, list) and len(children) == 1 and is_pipeline(children):
        return f"{name} of {_name_of(children[0])}"
    return name


def _below(key: str, name: object) -> str:
    return f"{key}.{name}" if key else str(name)


def transform_setting(key: str) -> str:
    """``[ComposeTransforms].children[RandomTransform of X].probability`` as ``X.probability``.

    A key without a setting inside the transform becomes the transform's name.
    """
    inside, _, rest = key.rpartition("]")
    transform = inside.rpartition("[")[2].rpartition(" of ")[2]
    parts = [part for part in rest.split(".") if part and part not in ("parameters", "children")]
    return ".".join([transform or "augmentation", *parts])
