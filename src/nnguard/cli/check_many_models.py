"""Many models, in parallel, one line each; what cannot be read is counted, never passed."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click
import msgspec

from ..errors import CheckpointError
from ..models.audit import audit_folder
from ..models.path_kind import TREE, is_url, kind_of
from ..models.results_tree import find_models, listed_models
from ..record import timestamp
from ..report.audit_rows import ModelReport
from ..report.escape import escaped
from .output import Answer, Asked, not_ignored, print_findings

#: Columns beside verdict, rules, evidence and model.
FACTS = ("axes", "folds")
#: Starting processes costs more than reading a few small files.
WORTH_PROCESSES = 16
#: Models a process takes at once: enough for little talk between processes.
AT_ONCE = 8


def show_models(paths: Sequence[str], listing: str | None, asked: Asked) -> Answer:
    """Prints one line a model: of every model below each path, or of those that a file lists.

    Raises:
        CheckpointError: there is none, or nothing could be checked.
    """
    if asked.folds:
        raise click.UsageError("-f chooses folds of one model; give one model folder")
    named = " ".join(paths) or ("stdin" if listing == "-" else str(listing))
    places = [place for path in paths for place in _models_at(path)] if listing is None else _listed(listing)
    if not places:
        raise CheckpointError(f"{named}: names no model folder")
    audit = partial(audit_folder, checkpoint_name=asked.checkpoint_name, use_mirroring=not asked.disable_tta)
    audited = [
        msgspec.structs.replace(one, findings=not_ignored(one.findings))
        for reports in _all_audited(places, audit, asked.jobs)
        for one in reports
    ]
    rows = [one for one in audited if not one.skipped]
    skipped = [f"{one.subject}: {one.skipped}" for one in audited if one.skipped]
    findings = [finding for one in rows for finding in one.findings]
    errors = [error for one in rows for error in one.errors]
    if asked.output_format == "json":
        checked = [path for one in rows for path in one.checked]
        print_findings(findings, checked, skipped, errors, models=[one.to_dict() for one in rows])
    elif asked.output_format == "html":
        _print_page(rows, skipped, named)
    else:
        _print_table(rows, skipped)
    if not rows:
        raise CheckpointError(f"{named}: no fold has a {asked.checkpoint_name}: nothing was checked")
    return Answer(findings, errors)


def _models_at(path: str) -> list[Path | str]:
    """The models below a results folder, or the checkpoints in a folder without any; anything else by itself."""
    if kind_of(path) != TREE:
        return [path if is_url(path) else Path(path)]
    found: list[Path | str] = [*find_models(path, with_zips=True)] or sorted(Path(path).glob("*.pth"))
    if not found:
        raise CheckpointError(f"{path}: no model in it (a folder with fold_X folders)")
    return found


def _listed(listing: str) -> list[Path | str]:
    try:
        text = sys.stdin.read() if listing == "-" else Path(listing).read_text("utf-8")
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise CheckpointError(f"{listing}: cannot be read: {reason}") from None
    return list(listed_models(text.splitlines()))


def _all_audited(folders: Sequence[Path | str], audit: Any, jobs: int | None) -> list[list[ModelReport]]:
    """In the order of the folders, whichever process read them."""
    jobs = jobs or (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    if jobs == 1 or len(folders) < WORTH_PROCESSES:
        return list(map(audit, folders))
    from concurrent.futures import ProcessPoolExecutor

    pool = ProcessPoolExecutor(jobs)
    try:
        return list(pool.map(audit, folders, chunksize=AT_ONCE))
    finally:
        pool.shutdown(cancel_futures=True)


# ---------------------------------------------------------------- for people


def _print_table(rows: list[ModelReport], skipped: list[str]) -> None:
    from ..report.console import make_console, print_rows, summary_line

    if rows:
        print_rows(make_console(sys.stdout), rows, FACTS)
        click.echo("")
    for line in skipped:
        click.echo(f"skipped: {escaped(line)}")
    click.echo(summary_line(rows) + (f"; {len(skipped)} skipped" if skipped else ""))
    if any(one.findings for one in rows):
        click.echo("details: nnguard check MODEL; a rule explained: nnguard rule CODE")


def _print_page(rows: list[ModelReport], skipped: list[str], title: str) -> None:
    from ..report.html import audit_page
    from ..version import __version__

    facts = ("trainer", "configuration", *FACTS)
    click.echo(audit_page(rows, title=title, made_at=timestamp(), version=__version__, facts=facts, skipped=skipped))
