"""Findings and records as plain text, for warnings, errors and logs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from textwrap import wrap

from ..axes import written
from ..findings import Finding, worst_first
from ..nnunet import training_name
from ..record import FlipEvidence, Record
from ..rules.remedies import let_nnguard_narrow
from ..rules.words import GRADES, flip_name, percent
from ..settings import DEFAULT_MODE, Policy
from .escape import escaped, escaped_lines

#: Wide enough for a path and a rate, narrow enough for a log next to an editor.
WIDTH = 100
#: On narrower lines a sentence would have one or two words per line.
NARROWEST = 40
#: nnU-Net's own blocks in the log have this width.
BLOCK_WIDTH = 79

#: Three axes have seven flips.
MOST_FLIPS = 7
#: A described tree has a dozen levels, but a record from elsewhere may have a thousand.
DEEPEST = 60

#: "25 %" and "62 MB" are not broken. The text was escaped before, so it does not contain the replacement character.
_INSIDE_A_FIGURE, _KEPT = re.compile(r"(?<=\d) (?=%|[kMG]B\b)"), "\x00"

#: The severity in ``--fail-level`` and JSON -> the words that tell a reader what to do.
SEVERITY_WORDS = {"harmful": "harmful", "advisory": "advisory: worth a look", "note": "note: for your information"}


def finding_text(finding: Finding, policy: Policy | None = None, width: int = WIDTH) -> str:
    """One finding for people: what is wrong, what was seen, what it does, what to do, how to silence it.

    Args:
        finding: this function escapes everything that it quotes from files.
        policy: the policy in force; the line that says how to silence the rule repeats it. Its mode ``correct`` is
            not advised if it is already in force.
        width: of the paragraphs. Commands to paste are never broken.
    """
    head = f"{finding.code} {finding.name} ({SEVERITY_WORDS[finding.severity]}): {escaped(finding.subject)}"
    lines = [head, *wrapped(escaped(finding.message), width, "  ", "  ")]
    lines += _labelled("Seen", finding.seen, width)
    lines += _labelled("Effect", finding.effect, width)
    # A user of ``correct`` needs no advice to use it.
    said = let_nnguard_narrow() if policy is not None and policy.corrects else None
    remedy = [line for line in escaped_lines(finding.remedy).split("\n") if line != said]
    if finding.remedy:
        lines += ["  Remedy:", *(f"    {line}" for line in remedy)]
    lines += [f"  Explained by: nnguard rule {finding.code}. To silence it: {silencing(finding.code, policy)}"]
    return "\n".join(lines)


def findings_text(findings: Iterable[Finding], policy: Policy | None = None, width: int = WIDTH) -> str:
    """Several findings, worst first, with an empty line between them."""
    return "\n\n".join(finding_text(finding, policy, width) for finding in worst_first(findings))


def silencing(code: str, policy: Policy | None = None) -> str:
    """The value of ``NNGUARD`` that ignores this rule and changes nothing else."""
    mode = policy.mode if policy else DEFAULT_MODE
    overrides = {**(policy.overrides if policy else {}), code: "ignore"}
    return f"NNGUARD={Policy(mode, overrides)}"


def record_block(record: Record, width: int = WIDTH) -> str:
    """The record as a block of at most 25 lines for nnU-Net's training log."""
    rule = min(BLOCK_WIDTH, width)
    mirroring = record.mirroring
    lines = [
        "",
        " nnguard: what this training shows ".center(rule, "#"),
        escaped(training_name(record.trainer.class_, record.dataset, record.configuration, record.fold), 200),
        f"state: {mirroring.state} ({GRADES[mirroring.state]}), {mirroring.clean} clean of {mirroring.draws} draws",
    ]
    lines += [f"  because {escaped(reason, 200)}" for reason in mirroring.reasons[:3]]
    lines += view_lines(record)
    lines.append(f"safe for test-time mirroring: {safe_words(record)}")
    lines.append(axes_words(record))
    if record.transforms is not None:
        lines += [f"  {line}" for line in pipeline_lines(record.transforms, limit=5, width=width)]
    lines.append("#" * rule)
    return "\n".join(lines)


def view_lines(record: Record) -> Iterator[str]:
    """A line for the plain view and one for each flip: axes, rate, 95 % interval, verdict, labels."""
    if record.mirroring.plain_rate is not None:
        yield f"  {'plain view':<34} {percent(record.mirroring.plain_rate):>5}"
    for flip in record.mirroring.flips[:MOST_FLIPS]:
        yield _flip_line(flip, record)


def _flip_line(flip: FlipEvidence, record: Record) -> str:
    name = flip_name(flip.axes, record.spatial_dims, record.transpose_forward)
    interval = f"({percent(flip.low)} to {percent(flip.high)})"
    labels = "" if flip.labels in ("kept", "unknown") else f", labels {flip.labels}"
    return f"  {name:<34} {percent(flip.rate):>5} {interval:<18} {flip.verdict}{labels}"


def safe_words(record: Record) -> str:
    """The safe axes for people. Unknown axes are never shown as "none"."""
    axes = record.mirroring.safe_axes
    if axes is None:
        return f"not known ({record.mirroring.state})"
    return written(axes) if axes else "none"


def axes_words(record: Record) -> str:
    """The declared axes, those in the checkpoint if they differ, and what changed them."""
    axes = record.axes
    words = f"declared for test-time mirroring: {escaped(written(axes.declared), 60)}"
    if axes.changed_by is not None or written(axes.declared) != written(axes.effective):
        words += f", in the checkpoint: {escaped(written(axes.effective), 60)}"
    by = "repair --state" if axes.changed_by == "annotate" else axes.changed_by
    return words + (f" (changed by nnguard {by})" if by else "")


def pipeline_lines(transforms: object, limit: int, width: int = WIDTH) -> list[str]:
    """A described tree's transforms in order, with their probabilities, in at most ``limit`` lines."""
    names = list(_leaves(transforms))
    if not names:
        return []
    lines = wrapped("pipeline: " + ", ".join(names), width, "", "  ")
    return lines if len(lines) <= limit else [*lines[: limit - 1], f"  ... {len(names)} transforms in all"]


def _leaves(node: object, probability: float = 1.0, depth: int = 0) -> Iterator[str]:
    """The transforms without inner transforms. A transform alone in a wrapper gets the wrapper's probability."""
    if depth > DEEPEST:
        return
    if isinstance(node, list):
        for entry in node:
            yield from _leaves(entry, probability if len(node) == 1 else 1.0, depth + 1)
    elif isinstance(node, dict):
        own = node.get("probability")
        if isinstance(own, (int, float)) and 0 <= own <= 1:
            probability *= own
        if node.get("children"):
            yield from _leaves(node["children"], probability, depth + 1)
        elif isinstance(node.get("class"), str):
            name = escaped(node["class"].rsplit(".", 1)[-1], 60)
            yield name if probability == 1 else f"{name} {percent(probability)}"


def _labelled(label: str, text: str, width: int) -> list[str]:
    return wrapped(f"{label}: {escaped(text)}", width, "  ", "    ") if text else []


def wrapped(text: str, width: int, first: str, others: str) -> list[str]:
    """``text`` as lines. Paths stay whole, because people search for them; so does "25 %".

    Args:
        text: escaped text.
        first, others: the indent of the first line, and of each further line.
    """
    lines = wrap(
        _INSIDE_A_FIGURE.sub(_KEPT, text),
        width,
        initial_indent=first,
        subsequent_indent=others,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [line.replace(_KEPT, " ") for line in lines]
