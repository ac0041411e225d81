"""A user's type checker reads nnguard's types: right uses pass under ``mypy --strict``, wrong ones are reported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import nnguard

pytest.importorskip("mypy")

ROOT = Path(__file__).parents[1]
#: As a user's checker would see it: what lies in ``src`` is followed and not itself reported. torch has types, but
#: following them would take a minute.
SETTINGS = f"""
[mypy]
strict = True
mypy_path = {ROOT / "src"}
follow_imports = silent
[mypy-torch.*,nnunetv2.*]
follow_imports = skip
ignore_missing_imports = True
"""


@pytest.fixture
def checked(tmp_path):
    """``checked(path, ...)``: what mypy says of these files, an empty list if it is content."""

    def check(*paths):
        settings = tmp_path / "mypy.ini"
        settings.write_text(SETTINGS)
        command = [sys.executable, "-m", "mypy", "--config-file", settings, "--cache-dir", tmp_path / "cache"]
        ran = subprocess.run(
            [*map(str, command), "--no-error-summary", *map(str, paths)], capture_output=True, text=True, cwd=tmp_path
        )
        assert ran.returncode in (0, 1), ran.stdout + ran.stderr
        return ran.stdout.splitlines()

    return check


def test_the_public_names_and_the_examples_are_typed(checked):
    for paths in ([ROOT / "src/nnguard/__init__.py"], *([path] for path in (ROOT / "examples").glob("*.py"))):
        assert checked(*paths) == []


def test_every_public_name_can_be_used_by_a_typed_script(checked, tmp_path):
    script = tmp_path / "uses.py"
    script.write_text(USES)
    assert checked(script) == []
    assert {name for name in nnguard.__all__ if f"nnguard.{name}" not in USES} == set()


USES = """
import json
import warnings

import nnguard


def use(path: str, trainer: object) -> None:
    nnguard.install("strict")
    status = nnguard.status()
    mode: str | None = status.mode
    patched: list[str] = [name for target in status.targets.values() for name in target.patched]
    print(nnguard.__version__, mode, patched, json.dumps(status.to_dict()))
    record: nnguard.Record | None = nnguard.read_record(path)
    if record is not None:
        print(record.mirroring.safe_axes)
    print(nnguard.observe(trainer).mirroring.state)
    try:
        findings: list[nnguard.Finding] = nnguard.check_model(path, mirroring_axes=nnguard.FROM_CHECKPOINT)
    except (nnguard.CheckpointError, nnguard.ConfigurationError) as error:
        raise nnguard.NNGuardError(str(error)) from None
    except nnguard.MirroringError as refusal:
        findings = refusal.findings
    raised = nnguard.InconsistencyError("text", findings)
    warnings.simplefilter("error", nnguard.ConsistencyWarning)
    print(raised, [finding.to_dict() for finding in findings])
    nnguard.uninstall()
"""


def test_wrong_uses_are_reported(checked, tmp_path):
    script = tmp_path / "wrong.py"
    wrong = {
        "nnguard.read_record(3)": "[arg-type]",
        "nnguard.no_such_name": "[attr-defined]",
        "nnguard.install(1)": "[arg-type]",
        "nnguard.status()['mode']": "[index]",
        "nnguard.status().mode = 'off'": "[misc]",
    }
    script.write_text("\n".join(["import nnguard", *wrong]))
    said = checked(script)
    assert [line.rpartition(" ")[2] for line in said] == list(wrong.values()), said


def test_the_package_says_that_it_is_typed():
    assert Path(nnguard.__file__).with_name("py.typed").is_file()
