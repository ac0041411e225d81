"""``nnguard annotate``: a record that states what a checkpoint's owner knows of its training."""

from __future__ import annotations

from pathlib import Path

import click

from ..axes import written
from ..models.folder import open_fold
from ..models.repairing import plan_annotation, write
from ..report.escape import escaped
from ..rules.remedies import quote, same_axes
from ..rules.verdicts import axes_named_by
from .output import format_option, print_json


class MirrorAxes(click.ParamType):
    """``0,1`` or ``none``."""

    name = "0,1|none"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        text = str(value).strip().lower()
        if text == "none":
            return ()
        parts = [part.strip() for part in text.split(",")]
        if not all(part in ("0", "1", "2") for part in parts) or len(set(parts)) < len(parts):
            self.fail(f"{value!r} is neither 'none' nor different axes out of 0, 1, 2, such as 0,1", param, ctx)
        return tuple(sorted(int(part) for part in parts))


@click.command(name="annotate")
@click.argument("checkpoint")
@click.option(
    "--mirror-axes",
    "axes",
    type=MirrorAxes(),
    required=True,
    help="Axes that training mirrored, 0-based, as the network sees them; or none.",
)
@click.option("--reason", default="", help="How you know; kept in the record.")
@click.option("--dry-run", is_flag=True, help="Show what would change, and write nothing.")
@click.option("--no-backup", is_flag=True, help="Keep no copy of the old file (NAME.before-nnguard).")
@format_option()
def command(
    checkpoint: str, axes: tuple[int, ...], reason: str, dry_run: bool, no_backup: bool, output_format: str
) -> None:
    """State how CHECKPOINT was trained, where nobody observed it.

    The record says that it is a statement (state: declared), and is judged as one: it advises, and lets
    nnguard repair narrow the axes. A record that was observed or measured is never replaced.
    """
    from .. import __version__

    fold = open_fold(Path(checkpoint))
    change = plan_annotation(fold, axes, reason, __version__)
    result = write(change, backup=not no_backup, dry_run=dry_run)
    if output_format == "json":
        print_json(
            {
                "path": checkpoint,
                "dry_run": dry_run,
                "changed": change.is_needed,
                "safe_axes": axes,
                "backup": result.backup if result else None,
            }
        )
        return
    states = (
        f"stated to be trained with mirroring along {written(axes)}"
        if axes
        else "stated to be trained without mirroring"
    )
    if not change.is_needed:
        click.echo(f"{escaped(checkpoint)}: already {states}; nothing changed")
        return
    kept = f"; the old file is {escaped(Path(result.backup).name)}" if result and result.backup else ""
    click.echo(f"{escaped(checkpoint)}: {states}{' (dry run: nothing written)' if dry_run else kept}")
    allowed = tuple(axis for axis in axes_named_by(change.before, None) if axis in axes)
    if not same_axes(change.before, allowed or None):
        click.echo(
            f"its test-time mirroring axes are {escaped(written(change.before))}; to narrow them: "
            f"nnguard repair {quote(checkpoint)}"
        )
