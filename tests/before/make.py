"""Makes ``data/`` and ``expected.json``: ``python -m tests.before.make``, six minutes on one core. With the
argument ``expected`` it writes ``expected.json`` alone.

This is how they were made, for the record: later versions are compared with what that version wrote, so it is not run
again. nnU-Net's own commands train below ``/tmp/before``, so that no file tells of the machine. ``data/`` then holds

    models/NAME.zip     a results tree: DatasetXXX_Discs/TRAINER__nnUNetPlans__CONFIGURATION/fold_X/...
    records/NAME.json   records for verdicts that would take a special training each
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

from tests.before import written_records
from tests.before.today import DATA, EXPECTED, MODELS, TRAINERS, folder_of, said_by_predictors, said_of, unpack
from tests.support import disc_datasets

HERE = Path(__file__).resolve().parent
WORK = Path("/tmp/before")
KEPT = WORK / "kept"
#: ``nnUNetv2_train``, wherever its script lies.
COMMAND = "from nnunetv2.run.run_training import run_training_entry; run_training_entry()"
#: What stays of a training; pictures, segmentations and intermediate checkpoints go.
PARTS = (
    "plans.json",
    "dataset.json",
    "fold_*/checkpoint_final.pth",
    "fold_*/debug.json",
    "fold_*/nnguard.json",
    "fold_*/training_log_*.txt",
    "fold_*/validation/summary.json",
)


def main() -> None:
    """Makes all of it; what was made before goes first."""
    shutil.rmtree(WORK, ignore_errors=True)
    shutil.rmtree(DATA, ignore_errors=True)
    prepare()
    train_all()
    derive_all()
    for name in MODELS:
        pack(KEPT / name, DATA / "models" / f"{name}.zip")
    for name, record in written_records.RECORDS.items():
        path = DATA / "records" / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(record.to_json() + "\n")
    write_expected()


def write_expected() -> None:
    """Writes what this version says of ``data/``: a line for each thing that is asked of each model and record."""
    from importlib.metadata import version

    versions = {package: version(package) for package in ("nnguard", "nnunetv2", "torch")}
    with tempfile.TemporaryDirectory() as scratch:
        folders = unpack(Path(scratch))
        predictors = said_by_predictors(folders)
        said = {subject: {**said_of(folders[subject]), "predictor": predictors[subject]} for subject in folders}
    made_by = json.dumps({**versions, "python": platform.python_version()})
    subjects = _lines({name: _lines({key: json.dumps(value) for key, value in said[name].items()}) for name in said})
    EXPECTED.write_text(_lines({"made_by": made_by, "said": subjects}) + "\n")


def _lines(entries: dict[str, str]) -> str:
    """A JSON object with a line for each entry."""
    return "{\n" + ",\n".join(f"{json.dumps(key)}: {text}" for key, text in entries.items()) + "\n}"


# ---------------------------------------------------------------- trainings


def prepare() -> None:
    """Copies the discs and gives their plans a network of three stages with four features each."""
    for kind in ("2d", "isotropic"):
        name = disc_datasets.KINDS[kind].name
        for part in ("raw", "preprocessed"):
            shutil.copytree(disc_datasets.root() / part / name, WORK / part / name)
        path = WORK / "preprocessed" / name / "nnUNetPlans.json"
        plans = json.loads(path.read_text())
        configuration = disc_datasets.KINDS[kind].configuration
        plans["configurations"] = {configuration: tiny(plans["configurations"][configuration])}
        path.write_text(json.dumps(plans, indent=1))


def tiny(configuration: dict[str, Any]) -> dict[str, Any]:
    """A configuration with a network of a few thousand weights. Deep supervision needs three stages."""
    arguments = configuration["architecture"]["arch_kwargs"]
    arguments["n_stages"] = 3
    arguments["features_per_stage"] = [4, 4, 4]
    arguments["n_conv_per_stage"], arguments["n_conv_per_stage_decoder"] = [1, 1, 1], [1, 1]
    for key in ("kernel_sizes", "strides"):
        arguments[key] = arguments[key][:3]
    configuration["batch_size"] = 8 if len(configuration["patch_size"]) == 2 else 2
    return configuration


def train_all() -> None:
    """Trains the models; names are those of ``MODELS``."""
    train("issue_2552", "warn", validates=True)
    train("sound", "warn", validates=True)
    train("sound_3d", "warn")
    train("corrected", "correct")
    train("resumed", "warn")
    train("resumed", "warn", "--c")
    train("resumed_for_long", "warn")
    train("resumed_for_long", "warn", "--c")
    train("flips_in_step", "warn")
    train("unrecorded", "off")
    train("two_folds", "warn")
    train("two_folds", "warn", fold=1)
    for name in MODELS:
        if (WORK / name).is_dir():
            keep(name)


def train(name: str, mode: str, *options: str, fold: int = 0, validates: bool = False) -> None:
    """One training by ``nnUNetv2_train`` under ``NNGUARD=mode``, with one worker, as debug.json tells only then."""
    dataset, folder = MODELS[name]
    trainer, _plans, configuration = folder.split("__")
    variables = {key: value for key, value in os.environ.items() if not key.startswith(("NNGUARD", "nnUNet"))}
    variables |= disc_datasets.environment(WORK / name)
    variables |= {
        "nnUNet_raw": str(WORK / "raw"),
        "nnUNet_preprocessed": str(WORK / "preprocessed"),
        "nnUNet_extTrainer": str(TRAINERS),
        "nnUNet_n_proc_DA": "1",
        "NNGUARD": mode,
        "PYTHONPATH": str(HERE.parents[1] / "src"),
    }
    variables |= {"BEFORE_VALIDATES": "1"} if validates else {}
    command = [sys.executable, "-c", COMMAND, dataset[7:10], configuration, str(fold)]
    command += ["-tr", trainer, "-device", "cpu", *options]
    done = subprocess.run(command, env=variables, cwd=WORK, capture_output=True, text=True, check=False)
    print(f"{name} fold {fold} {' '.join(options)}: exit {done.returncode}", flush=True)
    if done.returncode:
        raise RuntimeError(f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}")


def keep(name: str) -> None:
    """Copies what stays of a training, without the name of the machine."""
    dataset, folder = MODELS[name]
    trained, kept = WORK / name / dataset / folder, folder_of(name, KEPT)
    for pattern in PARTS:
        for path in sorted(trained.glob(pattern)):
            target = kept / path.relative_to(trained)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, target)
    for path in kept.glob("fold_*/debug.json"):
        entries = json.loads(path.read_text())
        path.write_text(json.dumps({**entries, "hostname": "before"}, indent=1))


# ---------------------------------------------------------------- models made of others


def derive_all() -> None:
    """Models that a command of nnguard, or somebody's tool, has changed after training."""
    command("repair", derived("repaired", "issue_2552"), "--no-backup")
    annotated = derived("annotated", "unrecorded") / "fold_0/checkpoint_final.pth"
    command("annotate", annotated, "--mirror-axes", "none", "--reason", "no mirroring in our trainer", "--no-backup")
    lose_record(derived("lost", "issue_2552") / "fold_0/checkpoint_final.pth")
    os.environ.update(nnUNet_extTrainer=str(TRAINERS))
    images, labels = (WORK / "raw" / disc_datasets.KINDS["2d"].name / part for part in ("imagesTs", "labelsTs"))
    for name, references in (("fliptested", ["-l", labels]), ("fliptested_without_labels", [])):
        model = derived(name, "unrecorded")
        command("fliptest", model, "-i", images, *references, "-f", "0", "-o", model, "-device", "cpu")
    checkpoint = derived("measured", "fliptested") / "fold_0/checkpoint_final.pth"
    fliptest = folder_of("fliptested", KEPT) / "nnguard-fliptest.json"
    command("annotate", checkpoint, "--from-fliptest", fliptest, "--no-backup")


def derived(name: str, origin: str) -> Path:
    """A copy of a model that was kept, without its logs."""
    shutil.copytree(KEPT / origin, KEPT / name, ignore=shutil.ignore_patterns("training_log_*"))
    return folder_of(name, KEPT)


def pack(tree: Path, archive: Path) -> None:
    """Zips a results tree with the times of its files, in UTC."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as packed:
        for path in sorted(path for path in tree.rglob("*") if path.is_file()):
            entry = zipfile.ZipInfo(path.relative_to(tree).as_posix(), time.gmtime(path.stat().st_mtime)[:6])
            packed.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED)


def command(*arguments: object) -> None:
    """One command of nnguard."""
    from nnguard.cli import main as nnguard

    with contextlib.redirect_stdout(io.StringIO()) as said:
        status = nnguard([str(argument) for argument in arguments])
    print(f"nnguard {arguments[0]}: exit {status}", flush=True)
    if status not in (0, 1):
        raise RuntimeError(said.getvalue())


def lose_record(path: Path) -> None:
    """Saves a checkpoint again without its record, as a tool does that keeps nnU-Net's own keys."""
    import torch

    checkpoint = torch.load(path, map_location="cpu", weights_only=False)
    del checkpoint["nnguard"]
    torch.save(checkpoint, path)


if __name__ == "__main__":
    write_expected() if sys.argv[1:] == ["expected"] else main()
