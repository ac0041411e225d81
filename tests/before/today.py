"""What the code of today says of the kept models and records, as plain data; without torch but for predictors."""

from __future__ import annotations

import calendar
import contextlib
import hashlib
import io
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
DATA, EXPECTED, TRAINERS = HERE / "data", HERE / "expected.json", HERE / "trainers"

_2D, _3D = "Dataset552_Discs", "Dataset562_Discs"
#: Model -> its data set and its folder, as nnU-Net names them.
MODELS = {
    "issue_2552": (_2D, "nnUNetTrainerBeforeUnmirrored__nnUNetPlans__2d"),
    "sound": (_2D, "nnUNetTrainerBefore__nnUNetPlans__2d"),
    "sound_3d": (_3D, "nnUNetTrainerBefore__nnUNetPlans__3d_fullres"),
    "corrected": (_2D, "nnUNetTrainerBeforeUnmirrored__nnUNetPlans__2d"),
    "resumed": (_2D, "nnUNetTrainerBeforeStops__nnUNetPlans__2d"),
    "resumed_for_long": (_2D, "nnUNetTrainerBeforeStopsEarly__nnUNetPlans__2d"),
    "flips_in_step": (_2D, "nnUNetTrainerBeforeStep__nnUNetPlans__2d"),
    "unrecorded": (_2D, "nnUNetTrainerBeforeUnmirrored__nnUNetPlans__2d"),
    "two_folds": (_2D, "nnUNetTrainerBeforeFolds__nnUNetPlans__2d"),
    "repaired": (_2D, "nnUNetTrainerBeforeUnmirrored__nnUNetPlans__2d"),
    "annotated": (_2D, "nnUNetTrainerBeforeUnmirrored__nnUNetPlans__2d"),
    "lost": (_2D, "nnUNetTrainerBeforeUnmirrored__nnUNetPlans__2d"),
    "fliptested": (_2D, "nnUNetTrainerBeforeUnmirrored__nnUNetPlans__2d"),
    "fliptested_without_labels": (_2D, "nnUNetTrainerBeforeUnmirrored__nnUNetPlans__2d"),
    "measured": (_2D, "nnUNetTrainerBeforeUnmirrored__nnUNetPlans__2d"),
}
#: These compare versions with what is installed here, which is no matter of the model.
ABOUT_THIS_MACHINE = ("NNG501", "NNG502", "NNG503")


def folder_of(name: str, root: Path) -> Path:
    """A kept model's folder, where the models were unpacked below ``root``."""
    dataset, folder = MODELS[name]
    return root / name / dataset / folder


def unpack(root: Path) -> dict[str, Path]:
    """Puts all model folders below ``root``: those that were kept, and one for each record, which carries it.

    Returns:
        ``"models/NAME"`` or ``"records/NAME"`` -> model folder.
    """
    for name in MODELS:
        _unzip(DATA / "models" / f"{name}.zip", root / name)
    models = {f"models/{name}": folder_of(name, root) for name in MODELS}
    return models | {f"records/{name}": carrier(name, root) for name in records()}


def _unzip(archive: Path, target: Path) -> None:
    # With the files' times: whether validation is older than a repair is told by them.
    with zipfile.ZipFile(archive) as packed:
        for entry in packed.infolist():
            path = packed.extract(entry, target)
            written_at = calendar.timegm((*entry.date_time, 0, 0, 0))
            os.utime(path, (written_at, written_at))


def records() -> list[str]:
    """The names of the kept records."""
    return sorted(path.stem for path in (DATA / "records").glob("*.json"))


# ---------------------------------------------------------------- what is said


def said_of(folder: Path) -> dict[str, Any]:
    """What a model's checkpoints hold, and what the commands say of it."""
    return {
        "read_record": {short(path, folder): read(path) for path in checkpoints_of(folder)},
        "sidecar": {short(path, folder): read_sidecar(path) for path in sorted(folder.glob("fold_*/nnguard.json"))},
        "check": checked(folder),
        "inspect": {short(path, folder): inspected(path) for path in checkpoints_of(folder)},
        "repair": repaired(folder),
    }


def checkpoints_of(folder: Path) -> list[Path]:
    return sorted(folder.glob("fold_*/*.pth"))


def short(path: Path | str, folder: Path) -> str:
    return Path(path).relative_to(folder).as_posix()


def read(path: Path) -> Any:
    """What ``read_record`` reads, as JSON; ``None`` without a record."""
    from nnguard import read_record

    record = read_record(path)
    return None if record is None else shortened(json.loads(record.to_json()))


def read_sidecar(path: Path) -> Any:
    """The record in ``nnguard.json``, as JSON, as ``inspect`` reads it."""
    return shortened(command("inspect", path)["output"]["record"])


def shortened(record: dict[str, Any]) -> dict[str, Any]:
    """A record with a digest of its transforms, which are ten times as long as all the rest."""
    text = json.dumps(record["transforms"], sort_keys=True)
    return {**record, "transforms": record["transforms"] and hashlib.sha256(text.encode()).hexdigest()}


def checked(folder: Path) -> dict[str, Any]:
    """``nnguard check``."""
    done = command("check", folder)
    return {"exit": done["exit"], "findings": findings_in(done["output"])}


def inspected(path: Path) -> dict[str, Any]:
    """``nnguard inspect``: findings, and what is known of the first checkpoint."""
    done = command("inspect", path)
    output = done["output"]
    known = ("kind", "trainer", "configuration", "fold", "epoch", "declared_axes", "record_error", "record_copied")
    fliptest = output["fliptest"]
    return {
        "exit": done["exit"],
        **{key: output[key] for key in (*known, "weights_belong", "lacks")},
        "fliptest": fliptest and {"safe_axes": fliptest["safe_axes"], "flips": _verdicts(fliptest["flips"])},
        "findings": findings_in(output),
    }


def repaired(folder: Path) -> dict[str, Any]:
    """``nnguard repair --dry-run``: each checkpoint's axes before and after, or ``"refused"``."""
    done = command("repair", folder, "--dry-run")
    said: dict[str, Any] = {short(path, folder): "refused" for path in checkpoints_of(folder)}
    for change in (done["output"] or {"changes": []})["changes"]:
        said[short(change["path"], folder)] = {key: change[key] for key in ("changed", "before", "after")}
    return {"exit": done["exit"], "checkpoints": said}


def findings_in(output: dict[str, Any]) -> list[dict[str, Any]]:
    """Code, severity and axes of each finding, none of its words."""
    return [finding_data(finding) for finding in output["findings"] if finding["code"] not in ABOUT_THIS_MACHINE]


def finding_data(finding: dict[str, Any]) -> dict[str, Any]:
    evidence = finding["evidence"]
    told = {key: evidence[key] for key in ("axes", "safe_axes", "state") if key in evidence}
    if "flips" in evidence:
        told["flips"] = _verdicts(evidence["flips"])
    return {"code": finding["code"], "severity": finding["severity"], **told}


def _verdicts(flips: list[Any]) -> list[Any]:
    """The flips with their verdicts; some rules name flips alone."""
    return [[flip["axes"], flip.get("verdict")] if isinstance(flip, dict) else flip for flip in flips]


def command(name: str, *arguments: object) -> dict[str, Any]:
    """One command in this process: its exit status and its JSON, ``None`` where it printed none."""
    from nnguard.cli import main

    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
        status = main([name, *map(str, arguments), "--format", "json"])
    return {"exit": status, "output": json.loads(out.getvalue()) if out.getvalue() else None}


def said_by_predictors(folders: dict[str, Path]) -> dict[str, Any]:
    """What real nnU-Net predictors say as they start, under ``warn`` and ``correct``; in one process of their own."""
    variables = {key: value for key, value in os.environ.items() if not key.startswith(("NNGUARD", "nnUNet"))}
    variables |= {"nnUNet_extTrainer": str(TRAINERS), "PYTHONPATH": os.pathsep.join(sys.path)}
    asked = json.dumps({name: str(folder) for name, folder in folders.items()})
    with tempfile.TemporaryDirectory() as scratch:
        log, answer = Path(scratch) / "log.jsonl", Path(scratch) / "answer.json"
        done = subprocess.run(
            [sys.executable, str(HERE / "predictor_starts.py"), str(answer)],
            env={**variables, "NNGUARD_LOG": str(log)},
            input=asked,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(done.stderr)
        return dict(json.loads(answer.read_text()))


# ---------------------------------------------------------------- records in a checkpoint


def carrier(name: str, root: Path) -> Path:
    """The model folder of ``sound`` or ``sound_3d`` with a kept record and its axes in place of its own."""
    text = (DATA / "records" / f"{name}.json").read_text().strip()
    record = json.loads(text)
    origin = folder_of("sound" if record["spatial_dims"] == 2 else "sound_3d", root)
    folder = root / "records" / name / origin.parent.name / origin.name
    (folder / "fold_0").mkdir(parents=True)
    for file in ("plans.json", "dataset.json"):
        shutil.copy(origin / file, folder / file)
    checkpoint = "fold_0/checkpoint_final.pth"
    with zipfile.ZipFile(origin / checkpoint) as old, zipfile.ZipFile(folder / checkpoint, "w") as new:
        for entry in old.infolist():
            content = old.read(entry)
            if entry.filename.endswith("/data.pkl"):
                content = exchanged(content, record["axes"]["effective"], text)
            new.writestr(entry.filename, content)
    return folder


def exchanged(pickled: bytes, axes: Any, text: str) -> bytes:
    """A checkpoint's pickle with other axes and another record, with neither torch nor nnguard's own writer."""
    start = pickled.index(b'{"schema":')
    (length,) = struct.unpack("<I", pickled[start - 4 : start])
    pickled = pickled.replace(_pickled(pickled[start : start + length].decode()), _pickled(text))
    return re.sub(
        # The key, the number under which the pickle remembers it, and (0, 1) or (0, 1, 2).
        rb"(inference_allowed_mirroring_axesr.{4})K\x00K\x01(\x86|K\x02\x87)",
        lambda found: found[1] + _pickled(axes),
        pickled,
        flags=re.DOTALL,
    )


def _pickled(value: Any) -> bytes:
    """A text, a number, a list of them or ``None`` as a pickle's opcodes; a list becomes a tuple."""
    if isinstance(value, str):
        return b"X" + struct.pack("<I", len(value.encode())) + value.encode()
    if isinstance(value, list):
        return b"(" + b"".join(map(_pickled, value)) + b"t"
    return b"N" if value is None else b"K" + bytes([value])
