"""``nnguard annotate``: a record that states what a checkpoint's owner knows of its training."""

from __future__ import annotations

from pathlib import Path

import click

from ..axes import same_axes, written
from ..checkpoint import SpliceResult
from ..models.repairing import Change, open_to_write, plan_annotation, plan_measured_annotation, write
from ..report.escape import escaped
from ..rules.remedies import quote
from ..rules.verdicts import axes_named_by
from .output import format_option, print_json
from .paths import LOCAL_PATH


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
@click.argument("checkpoint", type=LOCAL_PATH)
@click.option(
    "--mirror-axes",
    "axes",
    type=MirrorAxes(),
    metavar="0,1|none",
    help="Axes that training mirrored, 0-based, as the network sees them; or none.",
)
@click.option(
    "--from-fliptest",
    "fliptest",
    type=LOCAL_PATH,
    metavar="FILE",
    help="What nnguard fliptest -o FILE measured of this checkpoint, instead of a statement.",
)
@click.option("--reason", default="", help="How you know; kept in the record.")
@click.option("--dry-run", is_flag=True, help="Show what would change, and write nothing.")
@click.option("--no-backup", is_flag=True, help="Keep no copy of the old file (NAME.before-nnguard).")
@format_option()
def command(
    checkpoint: str,
    axes: tuple[int, ...] | None,
    fliptest: str | None,
    reason: str,
    dry_run: bool,
    no_backup: bool,
    output_format: str,
) -> None:
    """State how CHECKPOINT was trained, where nobody observed it, or keep in it what a fliptest measured.

    A statement is judged as one (state: declared): it advises, and lets nnguard repair narrow the axes; a record
    that was observed or measured is never replaced by it, what is no record is. A measurement stands beside what was
    observed, and where nothing was (state: measured) it decides.
    """
    from .. import __version__

    if (axes is None) == (fliptest is None):
        raise click.UsageError("give either --mirror-axes or --from-fliptest FILE")
    fold = open_to_write(Path(checkpoint))
    if fliptest is not None:
        from ..models.measured import read_measured

        measured = read_measured(Path(fliptest))
        change = plan_measured_annotation(fold, measured, __version__)
        axes = measured.measurement.safe_axes
        states = f"{measured.sentence}: {f'safe along {written(axes)}' if axes else 'no axis is safe'}"
    else:
        assert axes is not None
        change = plan_annotation(fold, axes, reason, __version__)
        states = f"stated to be trained {f'with mirroring along {written(axes)}' if axes else 'without mirroring'}"
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
    for line in _told(checkpoint, change, result, states, axes, dry_run):
        click.echo(line)
    if fold.record_error:
        why = fold.record_error.removeprefix(f"{fold.path}: ")
        click.echo(f"in place of what it kept as its record, which was none: {escaped(why)}")


def _told(
    checkpoint: str, change: Change, result: SpliceResult | None, states: str, axes: tuple[int, ...], dry_run: bool
) -> list[str]:
    if not change.is_needed:
        return [f"{escaped(checkpoint)}: already {states}; nothing changed"]
    kept = f"; the old file is {escaped(Path(result.backup).name)}" if result and result.backup else ""
    lines = [f"{escaped(checkpoint)}: {states}{' (dry run: nothing written)' if dry_run else kept}"]
    allowed = tuple(axis for axis in axes_named_by(change.before, None) if axis in axes)
    if not same_axes(change.before, allowed or None):
        lines.append(
            f"its test-time mirroring axes are {escaped(written(change.before))}; to narrow them: "
            f"nnguard repair {quote(checkpoint)}"
        )
    return lines
