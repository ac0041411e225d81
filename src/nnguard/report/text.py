"""Findings and records as plain text, for warnings, errors and logs."""

from __future__ import annotations

from collections.abc import Iterable
from textwrap import wrap

from ..axes import written
from ..findings import Finding, worst_first
from ..policy import DEFAULT_MODE, Policy
from ..record import FlipEvidence, Record
from ..rules.wording import GRADES, flip_name, percent
from .escape import escaped, escaped_lines

#: Wide enough for a path and a rate, narrow enough for a log beside an editor.
WIDTH = 100

SEVERITY_WORDS = {"harmful": "harmful", "advisory": "worth a look", "note": "for your information"}


def finding_text(finding: Finding, policy: Policy | None = None) -> str:
    """One finding for people: what is wrong, what was seen, what it does, what to do, how to silence it.

    Args:
        finding: whatever it quotes from files is escaped here.
        policy: the mode in force, repeated in the line that says how to silence the rule.
    """
    head = f"{finding.code} {finding.name} ({SEVERITY_WORDS[finding.severity]}): {escaped(finding.subject)}"
    lines = [head, *_paragraph(finding.message)]
    lines += _labelled("Seen", finding.seen)
    lines += _labelled("Effect", finding.effect)
    if finding.remedy:
        lines += ["  Remedy:", *(f"    {line}" for line in escaped_lines(finding.remedy).split("\n"))]
    lines += [f"  Explained by: nnguard rule {finding.code}. To silence it: {silencing(finding.code, policy)}"]
    return "\n".join(lines)


def findings_text(findings: Iterable[Finding], policy: Policy | None = None) -> str:
    """Several findings, worst first, with an empty line between them."""
    return "\n\n".join(finding_text(finding, policy) for finding in worst_first(findings))


def silencing(code: str, policy: Policy | None = None) -> str:
    """The value of ``NNGUARD`` that keeps everything in force but this rule."""
    mode = policy.mode if policy else DEFAULT_MODE
    overrides = {**(policy.overrides if policy else {}), code: "ignore"}
    return f"NNGUARD={Policy(mode, overrides)}"


def record_block(record: Record) -> str:
    """The record as a block of at most 25 lines for nnU-Net's training log."""
    mirroring = record.mirroring
    lines = [
        "",
        "#" * 22 + " nnguard: what this training shows " + "#" * 22,
        f"{escaped(record.trainer.class_, 60)}, {escaped(record.dataset, 60)}, {escaped(record.configuration, 40)}, "
        f"fold {escaped(record.fold, 20)}",
        f"state: {mirroring.state} ({GRADES[mirroring.state]}), {mirroring.clean} clean of {mirroring.draws} draws",
    ]
    lines += [f"  because {escaped(reason, 200)}" for reason in mirroring.reasons[:3]]
    if mirroring.plain_rate is not None:
        lines.append(f"  {'plain view':<34} {percent(mirroring.plain_rate):>5}")
    lines += [flip_line(flip, record) for flip in mirroring.flips[:7]]
    lines.append(f"safe for test-time mirroring: {safe_words(record)}")
    lines.append(axes_words(record))
    if record.transforms is not None:
        lines += [f"  {line}" for line in pipeline_lines(record.transforms, limit=5)]
    lines.append("#" * 79)
    return "\n".join(lines)


def flip_line(flip: FlipEvidence, record: Record) -> str:
    """One row of the flips: who, how often, with 95 % interval, verdict, labels."""
    name = flip_name(flip.axes, record.spatial_dims, record.transpose_forward)
    interval = f"({percent(flip.low)} to {percent(flip.high)})"
    labels = "" if flip.labels in ("kept", "unknown") else f", labels {flip.labels}"
    return f"  {name:<34} {percent(flip.rate):>5} {interval:<18} {flip.verdict}{labels}"


def safe_words(record: Record) -> str:
    """The safe axes for people; an unknown is never shown as none."""
    axes = record.mirroring.safe_axes
    if axes is None:
        return f"not known ({record.mirroring.state})"
    return written(axes) if axes else "none"


def axes_words(record: Record) -> str:
    """Declared and effective axes, and who made the difference."""
    axes = record.axes
    if axes.changed_by is None and written(axes.declared) == written(axes.effective):
        return f"declared for test-time mirroring: {escaped(written(axes.declared), 60)}"
    return (
        f"declared for test-time mirroring: {escaped(written(axes.declared), 60)}, "
        f"in the checkpoint: {escaped(written(axes.effective), 60)}"
        + (f" (changed by nnguard {axes.changed_by})" if axes.changed_by else "")
    )


def pipeline_lines(transforms: object, limit: int) -> list[str]:
    """The class names of a described tree in order, wrapped to ``limit`` lines."""
    names = list(_class_names(transforms))
    if not names:
        return []
    lines = wrap("pipeline: " + ", ".join(escaped(name, 60) for name in names), WIDTH, subsequent_indent="  ")
    return lines if len(lines) <= limit else [*lines[: limit - 1], f"  ... {len(names)} transforms in all"]


def _class_names(node: object) -> Iterable[str]:
    """Reads any tree of dicts and lists whose nodes have a ``class``: the described tree, of any version."""
    pending = [node]
    while pending:
        node = pending.pop(0)
        if isinstance(node, dict):
            children = [value for value in node.values() if isinstance(value, (dict, list))]
            name = node.get("class")
            if isinstance(name, str):
                yield name.rsplit(".", 1)[-1]
        elif isinstance(node, list):
            children = node
        else:
            continue
        pending[:0] = children


def _paragraph(text: str) -> list[str]:
    return wrap(
        escaped(text),
        WIDTH,
        initial_indent="  ",
        subsequent_indent="  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _labelled(label: str, text: str) -> list[str]:
    if not text:
        return []
    return wrap(
        f"{label}: {escaped(text)}",
        WIDTH,
        initial_indent="  ",
        subsequent_indent="    ",
        break_long_words=False,
        break_on_hyphens=False,
    )
