"""docs/compatibility.md, from what was measured."""

from __future__ import annotations

from typing import Any

HEAD = """\
# nnU-Net versions

nnguard has no branch for a version: it looks for what is there. Written by `scripts/compat` from what it saw, with each
version in an environment of its own, on the pins of `requirements/compat`, on the CPU, on the demo's small images. The
trainer of issue 2552 and a short default trainer run by nnU-Net's own commands; both lie in nnU-Net's own folder of
trainers, as they do for users of versions before 2.8, which take none from outside. The built-in trainers are all that
can be constructed on a CPU: none as it is may be accused of anything harmful, and each that mirrors must be found
when `mirror_axes` are dropped on the way into its transforms. Trainers that share a pipeline, to the byte, share its
draws: these are seeded, and would be the same again.

Forks are distributions of another name that bring the module `nnunetv2`; they take the same way, and are treated the
same. nnU-Net is installed first and nnguard beside it, as a user does.

nnU-Net 2.0 and 2.1 have functions and no predictor class. nnguard says so in one line and stays inactive.
"""


def written(results: dict[str, dict[str, Any]]) -> str:
    """The page; ``results`` by version, oldest first."""
    lines = [HEAD, *_table(results), "", "## Built-in trainers", "", *_sweeps(results), "", "## What was run on", ""]
    lines += ["| nnU-Net | python | torch | batchgenerators | batchgeneratorsv2 | numpy |", "| --- " * 6 + "|"]
    for version, result in results.items():
        named = ("python", "torch", "batchgenerators", "batchgeneratorsv2", "numpy")
        lines.append(f"| {version} | {' | '.join(result['ran_on'].get(name) or 'none' for name in named)} |")
    return "\n".join(lines) + "\n"


def _table(results: dict[str, dict[str, Any]]) -> list[str]:
    """A section for each version, in it a row for each step: what was not run is seen to be missing."""
    steps = list(dict.fromkeys(row["what"] for result in results.values() for row in result["journey"]))
    lines = []
    for version, result in results.items():
        named = result["ran_on"].get("nnunetv2") or version
        lines += [f"## {named}", "", "| what | result | seconds |", "| --- | --- | --- |"]
        rows = {row["what"]: row for row in result["journey"]}
        lines += [_line(rows[what]) if what in rows else f"| {what} | not run | |" for what in steps]
        lines.append("")
    return lines[:-1]


def _line(row: dict[str, Any]) -> str:
    failed = "" if row["passed"] else "**FAILED**: "
    return f"| {row['what']} | {failed}{row['measured'].replace('|', '/')} | {row['seconds']} |"


def _sweeps(results: dict[str, dict[str, Any]]) -> list[str]:
    lines = [
        "| nnU-Net | data | trainers | pipelines | accused | dropped mirrors found | missed | seconds |",
        "| --- " * 8 + "|",
    ]
    notes = []
    for version, result in results.items():
        for row in result["sweep"]:
            kind = row["what"].split(", ")[-1]
            if "trainers" not in row:
                lines.append(f"| {version} | {kind} | **FAILED**: {row['measured'].replace('|', '/')} | | | | | |")
                continue
            numbers = [row["trainers"], row.get("pipelines", ""), len(row["accused"]), row["found"], len(row["missed"])]
            numbers.append(row["seconds"])
            lines.append(f"| {version} | {kind} | {' | '.join(map(str, numbers))} |")
            notes += [f"- {version}, {kind}: {name} accused of {', '.join(of)}." for name, of in row["accused"].items()]
            notes += [f"- {version}, {kind}: {name} missed." for name in row["missed"]]
            notes += [
                f"- {version}, {kind}: {name} truly shows its flips without MirrorTransform (Rot90 after Transpose), "
                f"against the plain view at {', '.join(f'{rate:.2f}' for rate in rates.values())}."
                for name, rates in row["hidden"].items()
            ]
            notes += [
                f"- {version}, {kind}: {name} cannot be trained: its own loader draws no batch."
                for name in row["broken"]
            ]
    return [*lines, *([""] if notes else []), *notes]
