"""An environment for each version of nnU-Net, below ``.cache/compat``, from the pins in ``requirements/compat``."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PINS = ROOT / "requirements" / "compat"
CACHE = ROOT / ".cache" / "compat"
TRAINERS = Path(__file__).with_name("trainers") / "nnguard_compat.py"


def versions() -> list[str]:
    """nnU-Net's own versions that have pins, oldest first."""
    named = [path.stem for path in PINS.glob("*.txt") if re.fullmatch(r"\d+\.\d+\.\d+", path.stem)]
    return sorted(named, key=lambda version: [int(part) for part in version.split(".")])


def forks() -> list[str]:
    """Distributions of other names that bring a module ``nnunetv2``, and have pins."""
    return sorted(path.stem for path in PINS.glob("nnunetv2-*.txt"))


def recorded_as(version: str) -> str:
    """How a record names what one of ``versions`` or ``forks`` pins: ``2.8.1``, or the fork's name before it."""
    if version in versions():
        return version
    return pins_of(PINS / f"{version}.txt")[version][0].replace("==", " ")


def pins_of(file: Path) -> dict[str, list[str]]:
    """The lines of a pins file by package, several where they are for different Pythons or systems.

    It may begin with ``-r OTHER``; what it pins itself replaces the pins of that file, and ``without NAME`` drops one.
    """
    built_on: dict[str, list[str]] = {}
    own: dict[str, list[str]] = {}
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.startswith("-r "):
            built_on |= pins_of(file.parent / line.removeprefix("-r ").strip())
        elif line.startswith("without "):
            del built_on[line.removeprefix("without ").strip()]
        elif line.strip() and not line.startswith("#"):
            own.setdefault(line.split("==")[0].strip().lower(), []).append(line)
    return built_on | own


def environment_of(version: str, uv: str) -> Path:
    """Makes the environment of ``version`` where it is missing or out of date: nnU-Net first, then nnguard beside it.

    What became of nnU-Net's files by that goes to ``beside.json``.

    Returns:
        Its Python.

    Raises:
        SystemExit: it could not be made.
    """
    folder = CACHE / version / "environment"
    python = folder / "bin" / "python"
    wanted = "".join(f"{line}\n" for lines in pins_of(PINS / f"{version}.txt").values() for line in lines)
    mark = folder / "installed"
    # With the root: nnguard is installed editable, so an environment belongs to one checkout.
    key = hashlib.sha256(f"{wanted}{(ROOT / 'pyproject.toml').read_text()}{ROOT}".encode()).hexdigest()
    if not mark.is_file() or mark.read_text() != key:
        shutil.rmtree(folder, ignore_errors=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        pins = CACHE / version / "requirements.txt"
        pins.write_text(wanted)
        install = ["pip", "install", "--python", str(python)]
        _uv(uv, version, "venv", "--python", sys.executable, str(folder))
        _uv(uv, version, *install, "-r", str(pins))
        before = _nnunet_in(folder)
        # With its dependencies, as a user does: one that asked for nnunetv2 would be seen here.
        _uv(uv, version, *install, "-c", str(pins), "-e", str(ROOT))
        after = _nnunet_in(folder)
        changed = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
        (CACHE / version / "beside.json").write_text(json.dumps({"files": len(before), "changed": changed}))
        mark.write_text(key)
    _install_trainers(python)
    return python


def _uv(uv: str, version: str, *arguments: str) -> None:
    # Twice: a registry that hiccups is no news about nnguard.
    for _ in range(2):
        if subprocess.run([uv, *arguments, "--quiet"], check=False).returncode == 0:
            return
    print(f"scripts/compat: the environment of nnU-Net {version} could not be made", file=sys.stderr)
    raise SystemExit(2)


def _nnunet_in(folder: Path) -> dict[str, str]:
    """The files of nnU-Net's module, and of every distribution named like it, with what they hold."""
    packages = next(folder.glob("lib/python*/site-packages"))
    files = (path for place in packages.glob("nnunetv2*") for path in place.rglob("*") if path.is_file())
    return {
        str(path.relative_to(packages)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
        if path.suffix != ".pyc"
    }


def _install_trainers(python: Path) -> None:
    place = next(python.parents[1].glob("lib/python*/site-packages/nnunetv2/training/nnUNetTrainer"))
    target = place / TRAINERS.name
    target.unlink(missing_ok=True)
    shutil.copyfile(TRAINERS, target)


def commands_environment(python: Path) -> dict[str, str]:
    """The caller's variables, less nnU-Net's and nnguard's, for what runs in that environment."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("NNGUARD", "nnUNet", "PYTHON", "VIRTUAL_ENV"))
    }
    return kept | {
        "PATH": f"{python.parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
        "OMP_NUM_THREADS": "1",
        "OMP_WAIT_POLICY": "PASSIVE",
        "COLUMNS": "200",
    }
