"""``nnguard demo``: the bug of nnU-Net issue 2552, trained, shown, refused and mended on made images."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from shlex import quote

import click

from ..demo.story import Outcome, tell
from ..errors import NNGuardError
from .output import format_option, print_json
from .paths import LOCAL_PATH


@click.command("demo")
@click.option(
    "--keep",
    type=LOCAL_PATH,
    metavar="DIR",
    help="Keep images, model, predictions and logs in DIR, which must be new or empty.",
)
@format_option()
def command(keep: str | None, output_format: str) -> None:
    """Train the bug of nnU-Net issue 2552 on made images, and show what nnguard does about it.

    Real nnU-Net on the CPU, in about three minutes. Every figure in the table is measured in this run.
    """

    def say(text: str) -> None:
        if output_format == "text":
            click.echo(f"{text}\n")

    with _workplace(Path(keep) if keep else None) as folder, _progress() as progress:
        outcome = tell(folder, say=say, progress=progress)
    if output_format == "json":
        import msgspec

        rows = msgspec.to_builtins(outcome.rows)
        print_json({"rows": rows, "seconds": outcome.seconds, "kept": keep})
    else:
        click.echo(_table(outcome))
        click.echo(f"\nMeasured in {outcome.seconds:.0f} s" + (f"; everything is kept in {keep}" if keep else "") + ".")
        if keep:
            variables = quote(str(Path(keep) / "environment.sh"))
            click.echo(f"For nnguard's and nnU-Net's commands on it, in your shell: . {variables}")


@contextlib.contextmanager
def _workplace(keep: Path | None) -> Iterator[Path]:
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="nnguard-demo-") as folder:
            yield Path(folder)
        return
    if keep.exists() and (not keep.is_dir() or any(keep.iterdir())):
        raise NNGuardError(f"{keep} exists and is not an empty folder; the demo overwrites nothing")
    keep.mkdir(parents=True, exist_ok=True)
    yield keep.resolve()


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """A line that moves where a person looks, one line a step where nobody does; always on stderr."""
    if not sys.stderr.isatty():
        yield lambda text: click.echo(f"... {text}", err=True)
        return
    from rich.console import Console

    with Console(stderr=True).status("") as status:
        yield status.update


def _table(outcome: Outcome) -> str:
    what = max(len(row.what) for row in outcome.rows)
    measured = max(len(row.measured) for row in outcome.rows)
    lines = [f"{'':<{what}}  {'Dice':<{measured}}  command", "-" * (what + measured + 11)]
    lines += [f"{row.what:<{what}}  {row.measured:<{measured}}  {row.short}" for row in outcome.rows]
    return "\n".join(lines)
