"""An environment for each version of nnU-Net, below ``.cache/compat``, from the pins in ``requirements/compat``."""

from __future__ import annotations

import hashlib
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
    """The versions that have pins, oldest first."""
    named = [path.stem for path in PINS.glob("*.txt") if re.fullmatch(r"\d+\.\d+\.\d+", path.stem)]
    return sorted(named, key=lambda version: [int(part) for part in version.split(".")])


def pins_of(file: Path) -> dict[str, list[str]]:
    """The lines of a pins file by package, several where they are for different Pythons or systems.

    It may begin with ``-r OTHER``; what it pins itself replaces the pins of that file.
    """
    built_on: dict[str, list[str]] = {}
    own: dict[str, list[str]] = {}
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.startswith("-r "):
            built_on |= pins_of(file.parent / line.removeprefix("-r ").strip())
        elif line.strip() and not line.startswith("#"):
            own.setdefault(line.split("==")[0].strip().lower(), []).append(line)
    return built_on | own


def environment_of(version: str, uv: str) -> Path:
    """Makes the environment of ``version`` where it is missing or out of date.

    Returns:
        Its Python.

    Raises:
        SystemExit: it could not be made.
    """
    folder = CACHE / version / "environment"
    python = folder / "bin" / "python"
    wanted = "".join(f"{line}\n" for lines in pins_of(PINS / f"{version}.txt").values() for line in lines)
    mark = folder / "installed"
    key = hashlib.sha256((wanted + (ROOT / "pyproject.toml").read_text()).encode()).hexdigest()
    if not mark.is_file() or mark.read_text() != key:
        shutil.rmtree(folder, ignore_errors=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        file = CACHE / version / "requirements.txt"
        file.write_text(wanted)
        for command in (
            ["venv", "--python", sys.executable, str(folder)],
            ["pip", "install", "--python", str(python), "-r", str(file)],
            ["pip", "install", "--python", str(python), "--no-deps", "-e", str(ROOT)],
        ):
            if subprocess.run([uv, *command, "--quiet"], check=False).returncode:
                raise SystemExit(f"scripts/compat: the environment of nnU-Net {version} could not be made")
        mark.write_text(key)
    _install_trainers(python)
    return python


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
        "PYTHONPATH": str(ROOT / "tests"),
        "PYTHONUNBUFFERED": "1",
        "OMP_NUM_THREADS": "1",
        "OMP_WAIT_POLICY": "PASSIVE",
        "COLUMNS": "200",
    }
