"""``nnguard audit``: every model below a results tree, in parallel; what cannot be read is counted, never passed."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import CheckpointError
from ..models.auditing import Audited, audit_folder
from ..models.trees import find_models, listed_models
from ..report.escape import escaped
from .output import (
    checkpoint_option,
    exit_status,
    fail_level_option,
    format_option,
    not_ignored,
    print_findings,
    written_to,
)
from .paths import LOCAL_PATH

if TYPE_CHECKING:
    from ..report.rows import Row

#: Columns beside verdict, rules, evidence and model.
FACTS = ("axes", "folds")
#: Starting processes costs more than reading a few small files.
WORTH_PROCESSES = 16
#: Models a process takes at once: few enough for progress to move, enough for little talk.
AT_ONCE = 8


@click.command(name="audit")
@click.argument("root", type=LOCAL_PATH, required=False)
@click.option(
    "--list",
    "listing",
    type=LOCAL_PATH,
    metavar="FILE",
    help="Model folders or exported zips one a line, instead of ROOT; - for stdin.",
)
@checkpoint_option
@click.option("--disable_tta", is_flag=True, help="As for nnUNetv2_predict: without test-time mirroring.")
@click.option("--jobs", type=click.IntRange(1), help="Processes. Default: the processors that this one may use.")
@click.option("-o", "--output", type=LOCAL_PATH, metavar="FILE", help="Write there instead of stdout.")
@format_option("html")
@fail_level_option
def command(
    root: str | None,
    listing: str | None,
    checkpoint_name: str,
    disable_tta: bool,
    jobs: int | None,
    output: str | None,
    output_format: str,
    fail_level: str,
) -> int:
    """Check every model below ROOT, a results folder, without loading weights; also those in exported zips.

    Models without a record are judged by what nnU-Net left beside them; the grade of the evidence is always
    shown, and weak evidence is never more than advice. A model that cannot be read makes the exit status 2.
    """
    if (root is None) == (listing is None):
        raise click.UsageError("give either ROOT or --list FILE")
    folders = _listed(str(listing)) if root is None else [*find_models(root, with_zips=True)]
    if not folders:
        where = "stdin" if listing == "-" else listing
        raise CheckpointError(
            f"{where}: names no model folder"
            if root is None
            else f"{root}: no model in it (a folder with fold_X folders)"
        )
    audit = partial(audit_folder, checkpoint_name=checkpoint_name, use_mirroring=not disable_tta)
    by_folder = _all_audited(folders, audit, jobs)
    audited = [one for ensembles in by_folder for one in ensembles]
    findings = [finding for one in audited for finding in not_ignored(one.findings)]
    errors = [error for one in audited for error in one.errors]
    skipped = [f"{one.subject}: {one.skipped}" for one in audited if one.skipped]
    with written_to(output):
        if output_format in ("text", "html"):
            show = _print_table if output_format == "text" else _print_page
            show(_rows(audited), skipped, root or str(listing))
        else:
            print_findings(findings, [path for one in audited for path in one.checked], skipped, errors)
    if not errors and all(one.skipped for one in audited):
        raise CheckpointError(f"{root or listing}: no fold has a {checkpoint_name}: nothing was checked")
    return exit_status(findings, fail_level, errors)


def _listed(listing: str) -> list[Path | str]:
    try:
        text = sys.stdin.read() if listing == "-" else Path(listing).read_text("utf-8")
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise CheckpointError(f"{listing}: cannot be read: {reason}") from None
    return list(listed_models(text.splitlines()))


def _all_audited(folders: Sequence[Path | str], audit: Any, jobs: int | None) -> list[list[Audited]]:
    """In the order of the folders, whichever process read them."""
    jobs = jobs or _processors()
    audited: list[list[Audited]] = []
    with _progress(len(folders), "reading models") as advance:
        if jobs == 1 or len(folders) < WORTH_PROCESSES:
            answers: Any = map(audit, folders)
            pool = None
        else:
            from concurrent.futures import ProcessPoolExecutor

            pool = ProcessPoolExecutor(jobs)
            answers = pool.map(audit, folders, chunksize=AT_ONCE)
        try:
            for ensembles in answers:
                audited.append(ensembles)
                advance()
        finally:
            if pool is not None:
                pool.shutdown(cancel_futures=True)
    return audited


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def _progress(total: int, what: str) -> Iterator[Any]:
    """A bar on stderr where a person looks; nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda: progress.advance(task)


# ---------------------------------------------------------------- for people


def _rows(audited: list[Audited]) -> list[Row]:
    from ..report.rows import row

    return [
        row(one.subject, not_ignored(one.findings), error="; ".join(one.errors), grade=one.grade, facts=one.facts)
        for one in audited
        if not one.skipped
    ]


def _print_table(rows: list[Row], skipped: list[str], _title: str) -> None:
    from ..report.console import make_console, print_rows, summary_line

    if rows:
        print_rows(make_console(sys.stdout), rows, FACTS)
        click.echo("")
    for line in skipped:
        click.echo(f"skipped: {escaped(line)}")
    click.echo(summary_line(rows) + (f"; {len(skipped)} skipped" if skipped else ""))
    if any(one.findings for one in rows):
        click.echo("details: nnguard check MODEL; a rule explained: nnguard rule CODE")


def _print_page(rows: list[Row], skipped: list[str], title: str) -> None:
    from datetime import datetime

    from .. import __version__
    from ..report.html import audit_page

    made_at = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z")
    facts = ("trainer", "configuration", *FACTS)
    click.echo(audit_page(rows, title=title, made_at=made_at, version=__version__, facts=facts, skipped=skipped))
