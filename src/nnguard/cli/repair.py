"""``nnguard repair``: mirroring axes narrowed to what training showed, without torch; the record follows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import msgspec

from ..axes import written
from ..checkpoint import SpliceResult
from ..errors import CheckpointError
from ..findings import Finding
from ..models.folder import CHECKPOINT_NAME, FOLD_FOLDER, Fold, open_fold
from ..models.measured import Measured, read_measured
from ..models.repairing import Change, plan_measured_repair, plan_repair, write
from ..models.staleness import results_of
from ..record import CHECKPOINT_KEY, Record
from ..report.escape import escaped
from ..rules.metrics import check_stale
from .output import FoldsCommand, findings_for_people, folds_option, format_option, print_json
from .paths import LOCAL_PATH


@click.command(name="repair", cls=FoldsCommand)
@click.argument("path", type=LOCAL_PATH)
@folds_option
@click.option(
    "-chk", "checkpoint_name", type=LOCAL_PATH, help="Only this checkpoint of each fold. Default: all of them."
)
@click.option(
    "--from-fliptest",
    "fliptest",
    type=LOCAL_PATH,
    metavar="FILE",
    help="Go by what nnguard fliptest -o FILE measured, too. Only the checkpoints that were tested are repaired.",
)
@click.option("--dry-run", is_flag=True, help="Show what would change, and write nothing.")
@click.option("--no-backup", is_flag=True, help="Keep no copy of the old file (NAME.before-nnguard).")
@format_option()
def command(
    path: str,
    folds: tuple[str, ...],
    checkpoint_name: str | None,
    fliptest: str | None,
    dry_run: bool,
    no_backup: bool,
    output_format: str,
) -> None:
    """Set the mirroring axes of PATH, a checkpoint or model folder, to those that its training showed.

    Axes are only ever narrowed, and are None where none is safe. With --from-fliptest only axes stay that were
    measured to be safe and, where training was observed, shown. Tensors are copied byte for byte. Running it twice
    changes nothing.
    """
    measured = read_measured(Path(fliptest)) if fliptest is not None else None
    opened = checkpoints_of(Path(path), folds, checkpoint_name)
    untested: list[Path] = []
    if measured is not None and Path(path).is_dir() and not folds and not checkpoint_name:
        opened, untested = only_tested(opened, measured)
    changes = [change for ensemble in opened for change in planned(ensemble, measured)]
    by_path = {fold.path: fold for ensemble in opened for fold in ensemble}
    for change in changes:  # whether all of them can be written, before the first one is
        write(change, backup=not no_backup, dry_run=True)
    done = [write(change, backup=not no_backup, dry_run=dry_run) for change in changes]
    stale = stale_after(changes, by_path)
    if output_format == "json":
        print_json(
            {
                "dry_run": dry_run,
                "changes": [_as_data(change, result) for change, result in zip(changes, done, strict=True)],
                "untested": [str(one) for one in untested],
                "findings": [finding.to_dict() for finding in stale],
            }
        )
        return
    for change, result in zip(changes, done, strict=True):
        click.echo(_as_text(change, result, dry_run))
    for one in untested:
        click.echo(f"{escaped(one)}: was not tested, and is left as it is")
    if stale:
        click.echo("\n" + findings_for_people(stale))


def checkpoints_of(path: Path, folds: tuple[str, ...], checkpoint_name: str | None) -> list[list[Fold]]:
    """The checkpoints to repair, by ensemble: the numbered folds predict together, ``fold_all`` alone.

    Raises:
        CheckpointError: there is none.
    """
    if not path.is_dir():
        return [[open_fold(path)]]
    names = sorted(entry.name for entry in path.iterdir() if FOLD_FOLDER.fullmatch(entry.name))
    names = [name for name in names if not folds or name.removeprefix("fold_") in folds]
    pattern = checkpoint_name or "checkpoint_*.pth"
    numbered = [file for name in names if name != "fold_all" for file in sorted((path / name).glob(pattern))]
    of_all = sorted((path / "fold_all").glob(pattern)) if "fold_all" in names else []
    ensembles = [[open_fold(file) for file in files] for files in (numbered, of_all) if files]
    if not ensembles:
        raise CheckpointError(f"{path}: no fold_X with a {pattern}")
    return ensembles


def planned(ensemble: list[Fold], measured: Measured | None) -> list[Change]:
    from .. import __version__

    return plan_repair(ensemble) if measured is None else plan_measured_repair(ensemble, measured, __version__)


def only_tested(opened: list[list[Fold]], measured: Measured) -> tuple[list[list[Fold]], list[Path]]:
    """The checkpoints that a fliptest tested, by ensemble, and the paths of the others.

    Raises:
        CheckpointError: it tested none of them.
    """
    tested = [[fold for fold in ensemble if measured.tested(fold.path)] for ensemble in opened]
    others = [fold.path for ensemble in opened for fold in ensemble if not measured.tested(fold.path)]
    if not any(tested):
        names = ", ".join(f"fold_{one.fold}/{one.checkpoint}" for one in measured.model.folds)
        raise CheckpointError(f"{measured.path}: is not evidence about this model: it tested {names or 'nothing'}")
    return [ensemble for ensemble in tested if ensemble], others


def stale_after(changes: list[Change], folds: dict[Path, Fold]) -> list[Finding]:
    """NNG402, once a fold: what was computed with the axes that the change moves."""
    findings: dict[Path, list[Finding]] = {}
    # nnU-Net validates with the final checkpoint, unless told otherwise.
    for change in sorted(changes, key=lambda change: change.path.name != CHECKPOINT_NAME):
        record = folds[change.path].record or _record_in(change)
        if change.moves_axes and record is not None and change.path.parent not in findings:
            results = results_of(change.path)
            findings[change.path.parent] = check_stale(
                str(change.path), record, change.after, results.found, results.commands, validated_with=change.before
            )
    return [finding for of_fold in findings.values() for finding in of_fold]


def _record_in(change: Change) -> Record | None:
    """The record that the change writes, for a checkpoint that had none."""
    text = change.changes.get(CHECKPOINT_KEY)
    return Record.from_json(text) if isinstance(text, str) else None


def _as_text(change: Change, result: SpliceResult | None, dry_run: bool) -> str:
    path = escaped(change.path)
    if not change.is_needed:
        return f"{path}: mirroring axes {escaped(written(change.after))}: nothing to repair"
    axes = f"{escaped(written(change.before))} -> {escaped(written(change.after))}"
    what = f"mirroring axes {axes}" if change.moves_axes else "only its record is brought up to date"
    if dry_run:
        return f"{path}: {what} (dry run: nothing written)"
    kept = f"; the old file is {escaped(Path(result.backup).name)}" if result is not None and result.backup else ""
    return f"{path}: {what}{kept}"


def _as_data(change: Change, result: SpliceResult | None) -> dict[str, Any]:
    return {
        "path": str(change.path),
        "changed": change.is_needed,
        "before": msgspec.to_builtins(change.before),
        "after": msgspec.to_builtins(change.after),
        "backup": result.backup if result is not None else None,
    }
