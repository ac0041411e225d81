"""``nnguard repair``: mirroring axes narrowed to what training showed, without torch; the record follows.

With ``--state`` the record alone changes: it gets what the checkpoint's owner knows of its training.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import msgspec

from ..axes import written
from ..checkpoint import SpliceResult
from ..errors import CheckpointError
from ..findings import Finding
from ..fold import Fold
from ..models.axes_repair import Change, Refusal, in_words, open_to_write, plan_repair, plan_statement, write
from ..models.fliptest_evidence import Measured, read_measured
from ..models.folder import open_fold
from ..models.staleness import results_of
from ..nnunet import CHECKPOINT_NAME, FOLD_ALL, FOLD_FOLDER, fold_folder
from ..record import CHECKPOINT_KEY, FILE_NAME, Record
from ..report.escape import escaped
from ..rules.nng402_stale_validation import check_stale
from ..rules.remedies import quote, same_axes
from ..rules.verdicts import axes_named_by
from .exit_status import CLEAN, FAILED
from .output import FoldsCommand, findings_for_people, folds_option, format_option, not_ignored, print_json, tell
from .paths import LOCAL_PATH


class MirrorAxes(click.ParamType):
    """``0,1`` or ``none``."""

    name = "0,1|none"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        text = str(value).strip().lower()
        parts = [part.strip() for part in text.split(",")] if text != "none" else []
        if not all(part in ("0", "1", "2") for part in parts) or len(set(parts)) < len(parts):
            self.fail(f"{value!r} is neither 'none' nor different axes out of 0, 1, 2, such as 0,1", param, ctx)
        return tuple(sorted(int(part) for part in parts))


@click.command(name="repair", cls=FoldsCommand)
@click.argument("path", type=LOCAL_PATH)
@folds_option
@click.option(
    "-chk",
    "checkpoint_name",
    type=LOCAL_PATH,
    metavar="NAME",
    help="Only this checkpoint of each fold. Default: all of them.",
)
@click.option(
    "--from-fliptest",
    "fliptest",
    type=LOCAL_PATH,
    metavar="FILE",
    help="Go by what nnguard fliptest -o FILE measured, too. Only the checkpoints that were tested are repaired.",
)
@click.option(
    "--state",
    "stated",
    type=MirrorAxes(),
    metavar="0,1|none",
    help="Repair no axes; write into the record which axes training mirrored, 0-based, as the network sees them.",
)
@click.option("--reason", default="", help="With --state: how you know; kept in the record.")
@click.option("--dry-run", is_flag=True, help="Show what would change, and write nothing.")
@click.option("--no-backup", is_flag=True, help="Keep no copy of the old file (NAME.before-nnguard).")
@format_option()
def command(
    path: str,
    folds: tuple[str, ...],
    checkpoint_name: str | None,
    fliptest: str | None,
    stated: tuple[int, ...] | None,
    reason: str,
    dry_run: bool,
    no_backup: bool,
    output_format: str,
) -> int:
    """Set the mirroring axes of PATH, a checkpoint or model folder, to those that its training showed.

    Axes are only ever narrowed, and are None where none is safe. With --from-fliptest only axes stay that were
    measured to be safe and, where training was observed, shown. Tensors are copied byte for byte. Running it twice
    changes nothing.

    --state is for a training that nobody observed. A statement is judged as one (state: declared): it advises, and
    lets the next repair narrow the axes. It never replaces an observed or measured record; it replaces one that
    cannot be read.

    A checkpoint that there is nothing to repair by, or that cannot be written, stays as it is and stops no other: it
    is listed with its reason, and the exit status is 2. A record that a checkpoint has lost is put back from
    nnguard.json, where that proves to belong to its weights.
    """
    if stated is not None and fliptest is not None:
        raise click.UsageError("give either --state or --from-fliptest")
    measured = read_measured(Path(fliptest)) if fliptest is not None else None
    opened = checkpoints_of(Path(path), folds, checkpoint_name)
    untested: list[Path] = []
    if measured is not None and Path(path).is_dir() and not folds and not checkpoint_name:
        opened, untested = only_tested(opened, measured)
    plans = [
        plan_repair(ensemble, measured) if stated is None else plan_statement(ensemble, stated, reason)
        for ensemble in opened
    ]
    changes = [change for planned, _ in plans for change in planned]
    refused = [refusal for _, refusals in plans for refusal in refusals]
    done, unwritten = written_one_by_one(changes, backup=not no_backup, dry_run=dry_run)
    refused += unwritten
    if not done and len(refused) == 1:
        raise CheckpointError(refused[0].reason)
    by_path = {fold.path: fold for ensemble in opened for fold in ensemble}
    stale = not_ignored(stale_after([change for change, _ in done], by_path))
    if output_format == "json" and done:
        told = {"untested": [str(one) for one in untested], "findings": [finding.to_dict() for finding in stale]}
        print_json({"dry_run": dry_run, **_as_data(done, refused), **told})
        return FAILED if refused else CLEAN
    for change, result in done:
        click.echo("\n".join(_as_text(change, by_path[change.path], _kept(result, dry_run), stated)))
    for one in untested if done else ():
        click.echo(f"{escaped(one)}: was not tested, and is left as it is")
    if measured is None and stated is None and any(change.moves_axes for change, _ in done) and len(by_path) > 1:
        click.echo("Folds predict together with the axes of the first: each keeps what is safe for all of them.")
    if stale:
        click.echo("\n" + findings_for_people(stale))
    for refusal in refused:
        tell(f"not repaired: {refusal.reason}")
    return FAILED if refused else CLEAN


def checkpoints_of(path: Path, folds: tuple[str, ...], checkpoint_name: str | None) -> list[list[Fold]]:
    """The checkpoints to repair, by ensemble: the numbered folds predict together, ``fold_all`` alone.

    Raises:
        CheckpointError: there is none.
    """
    if not path.is_dir():
        return [[open_to_write(path)]]
    if FOLD_FOLDER.fullmatch(path.absolute().name):
        raise CheckpointError(f"{path}: is one fold; give its model folder, {path.parent}, or one checkpoint in it")
    names = sorted(entry.name for entry in path.iterdir() if FOLD_FOLDER.fullmatch(entry.name))
    if not names:
        raise CheckpointError(f"{path}: no model folder (it has no fold_X); repair takes one model at a time")
    absent = [fold for fold in folds if fold_folder(fold) not in names]
    if absent:
        raise CheckpointError(f"{path}: has no fold {', '.join(absent)}")
    names = [name for name in names if not folds or name.removeprefix("fold_") in folds]
    pattern = checkpoint_name or "checkpoint_*.pth"
    numbered = [file for name in names if name != FOLD_ALL for file in sorted((path / name).glob(pattern))]
    of_all = sorted((path / FOLD_ALL).glob(pattern)) if FOLD_ALL in names else []
    ensembles = [[open_fold(file) for file in files] for files in (numbered, of_all) if files]
    if not ensembles:
        raise CheckpointError(f"{path}: no fold_X with a {pattern}")
    return ensembles


def written_one_by_one(
    changes: list[Change], backup: bool, dry_run: bool
) -> tuple[list[tuple[Change, SpliceResult | None]], list[Refusal]]:
    """What was done, and the checkpoints that could not be written: those are as they were.

    Raises:
        KeyboardInterrupt: after it was said which checkpoints were done before.
    """
    done: list[tuple[Change, SpliceResult | None]] = []
    refused: list[Refusal] = []
    try:
        for change in changes:
            try:
                done.append((change, write(change, backup=backup, dry_run=dry_run)))
            except CheckpointError as error:
                refused.append(Refusal(path=change.path, reason=str(error)))
    except KeyboardInterrupt:
        for change in (change for change, _ in done if change.is_needed and not dry_run):
            tell(f"changed: {change.path}: mirroring axes {in_words(change)}")
        tell("every checkpoint is whole; the same command again does the rest")
        raise
    return done, refused


def only_tested(opened: list[list[Fold]], measured: Measured) -> tuple[list[list[Fold]], list[Path]]:
    """The checkpoints that a fliptest tested, by ensemble, and the paths of the others.

    Raises:
        CheckpointError: it tested none of them.
    """
    tested = [[fold for fold in ensemble if measured.tested(fold.path)] for ensemble in opened]
    others = [fold.path for ensemble in opened for fold in ensemble if not measured.tested(fold.path)]
    if not any(tested):
        names = ", ".join(f"{fold_folder(one.fold)}/{one.checkpoint}" for one in measured.model.folds)
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
                str(change.path), change.before, change.after, results.found, results.again
            )
    return [finding for of_fold in findings.values() for finding in of_fold]


def _record_in(change: Change) -> Record | None:
    """The record that the change writes, for a checkpoint that had none."""
    text = change.changes.get(CHECKPOINT_KEY)
    return Record.from_json(text) if isinstance(text, str) else None


def _as_text(change: Change, fold: Fold, kept: str, stated: tuple[int, ...] | None) -> Iterator[str]:
    path = escaped(change.path)
    if stated is not None:
        yield from _statement(change, kept, stated)
    elif change.is_needed:
        said = [f"mirroring axes {escaped(in_words(change))}"] if change.moves_axes else []
        said += [f"its record is put back from {FILE_NAME}"] if change.restores else []
        yield f"{path}: {'; '.join(said) or 'only its record is brought up to date'}{kept}"
    else:
        yield f"{path}: mirroring axes {escaped(written(change.after))}: nothing to repair"
    if fold.record_error and not change.restores:
        why = fold.record_error.removeprefix(f"{fold.path}: ")
        yield f"This replaced what was there as its record and could not be read: {escaped(why)}"


def _statement(change: Change, kept: str, axes: tuple[int, ...]) -> Iterator[str]:
    path = escaped(change.path)
    states = f"stated to be trained {f'with mirroring along {written(axes)}' if axes else 'without mirroring'}"
    if not change.is_needed:
        yield f"{path}: already {states}; nothing changed"
        return
    yield f"{path}: {states}{kept}"
    allowed = tuple(axis for axis in axes_named_by(change.before, None) if axis in axes)
    if not same_axes(change.before, allowed or None):
        now, narrow = escaped(written(change.before)), f"nnguard repair {quote(str(change.path))}"
        yield f"its test-time mirroring axes are {now}; to narrow them: {narrow}"


def _kept(result: SpliceResult | None, dry_run: bool) -> str:
    if dry_run:
        return " (dry run: nothing written)"
    return f"; the old file is {escaped(Path(result.backup).name)}" if result is not None and result.backup else ""


def _as_data(done: list[tuple[Change, SpliceResult | None]], refused: list[Refusal]) -> dict[str, Any]:
    return {
        "changes": [
            {
                "path": str(change.path),
                "changed": change.is_needed,
                "before": msgspec.to_builtins(change.before),
                "after": msgspec.to_builtins(change.after),
                "backup": result.backup if result is not None else None,
            }
            for change, result in done
        ],
        "not_repaired": [{"path": str(one.path), "reason": one.reason} for one in refused],
    }
