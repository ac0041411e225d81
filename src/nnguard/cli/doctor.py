"""``nnguard doctor``: whether nnU-Net would run guarded here, found out by starting it."""

from __future__ import annotations

import json
import os
import site
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from ..errors import ConfigurationError
from ..report.escape import escaped
from ..settings import DEFAULT_MODE, ENVIRONMENT_VARIABLE, Policy, Settings
from .exit_status import CLEAN, FOUND
from .output import format_option, print_json

START_UP_FILES = ("nnguard.pth", "nnguard.start")
#: Importing nnU-Net takes 5 to 20 s; a network drive may take its time on top of that.
PATIENCE = 300
#: nnU-Net prints when it is imported, so that the answer needs a mark.
MARK = "nnguard-doctor:"
#: Runs in a fresh interpreter of this environment, as nnU-Net's commands do.
QUESTION = f"""
import sys
armed = "nnguard" in sys.modules
import importlib, json
answer = {{"armed_at_start": armed, "import_error": None, "status": None, "nnunetv2_path": None}}
if sys.argv[1] == "import":
    for name in ("nnunetv2.training.nnUNetTrainer.nnUNetTrainer", "nnunetv2.inference.predict_from_raw_data"):
        try:
            importlib.import_module(name)
        except ImportError as error:
            answer["import_error"] = answer["import_error"] or str(error)
    answer["nnunetv2_path"] = next(iter(getattr(sys.modules.get("nnunetv2"), "__path__", [])), None)
    import nnguard
    answer["status"] = nnguard.status().to_dict()
print({MARK!r} + json.dumps(answer, default=str))
"""


@click.command(name="doctor")
@click.option("--quick", is_flag=True, help="Do not import nnU-Net: tells only whether interpreters are armed.")
@format_option()
def command(quick: bool, output_format: str) -> int:
    """Say whether nnU-Net runs guarded in this environment, and why (not).

    Exit status: 0 it does, 1 it does not, 2 it could not be found out, or NNGUARD cannot be read.
    """
    settings = Settings.from_environment()
    settings.policy()
    diagnosis = diagnose(settings, quick)
    if output_format == "json":
        print_json(diagnosis)
    else:
        click.echo("\n".join(as_text(diagnosis)))
    return CLEAN if diagnosis["active"] else FOUND


def diagnose(settings: Settings, quick: bool) -> dict[str, Any]:
    """Asks a fresh interpreter. Without ``NNGUARD`` it is asked what would be, were it set.

    Returns:
        What JSON shows: ``active``; ``python``; ``setting``, the value of ``NNGUARD``, ``None`` where it is not set;
        ``start_up_files``, those that lie in this environment's site folders; ``armed_at_start``, whether a plain
        interpreter of this environment is armed; ``status``, ``nnguard.status()`` after nnU-Net was imported, ``None``
        where it was not; ``nnunetv2_path``, where nnU-Net was imported from; ``reasons`` why nnU-Net's commands are
        not guarded here, none where they are; ``asked_with``, the ``NNGUARD`` under which the interpreter was asked:
        ``setting``, or, where that switches nothing on, the default; ``settings_in_doubt``, a line for each further
        setting of nnguard's that cannot be used as it stands.

    Raises:
        ConfigurationError: the interpreter gave no answer.
    """
    from ..report import log

    setting = settings.mode
    would_be = setting if settings.policy() is not None and setting else DEFAULT_MODE
    asked = ask("start" if quick else "import", {**os.environ, ENVIRONMENT_VARIABLE: would_be})
    found = start_up_files()
    reasons = _reasons(setting, asked, found)
    in_doubt = log.problem_with_setting(settings.log)
    return {
        "active": not reasons,
        "python": sys.executable,
        "setting": setting,
        "start_up_files": found,
        **{name: asked[name] for name in ("armed_at_start", "status", "nnunetv2_path")},
        "reasons": reasons,
        "asked_with": would_be,
        "settings_in_doubt": [] if in_doubt is None else [in_doubt],
    }


def _reasons(setting: str | None, asked: dict[str, Any], found: list[str]) -> list[str]:
    reasons = []
    if setting is None:
        reasons.append(
            f"{ENVIRONMENT_VARIABLE} is not set: export {ENVIRONMENT_VARIABLE}={DEFAULT_MODE} "
            "(or strict, exact, correct), or put 'nnguard run --' before a command"
        )
    elif Policy.parse(setting) is None:
        reasons.append(f"{ENVIRONMENT_VARIABLE}={setting} switches the guard off")
    if not asked["armed_at_start"]:
        missing = "" if found else f"; nnguard.pth is in none of {', '.join(_site_folders())}"
        reasons.append(
            f"a fresh interpreter is not armed{missing}: install nnguard into this environment (pip install nnguard), "
            "or import nnguard in your script"
        )
    if asked["import_error"]:
        reasons.append(f"nnU-Net cannot be imported: {asked['import_error']}")
    status = asked["status"]
    if status is not None and not asked["import_error"] and not status["active"]:
        reasons += status["inactive"] or ["the hooks did not find nnU-Net's classes"]
    return reasons


def ask(how: str, environment: dict[str, str]) -> dict[str, Any]:
    """Runs ``QUESTION`` in a fresh interpreter; ``how`` is ``start`` or ``import``."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", QUESTION, how],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PATIENCE,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigurationError(f"{sys.executable} gave no answer: {error}") from None
    for line in done.stdout.decode("utf-8", "replace").splitlines():
        if line.startswith(MARK):
            return json.loads(line.removeprefix(MARK))
    last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:] or [f"exit status {done.returncode}"]
    raise ConfigurationError(f"{sys.executable} gave no answer: {last[0]}")


def start_up_files() -> list[str]:
    files = [Path(folder) / name for folder in _site_folders() for name in START_UP_FILES]
    return [str(file) for file in files if file.exists()]


def _site_folders() -> list[str]:
    folders = [*site.getsitepackages(), *([site.getusersitepackages()] if site.ENABLE_USER_SITE else [])]
    return list(dict.fromkeys(folders))


def as_text(diagnosis: dict[str, Any]) -> Iterator[str]:
    """For people: the facts, then the verdict."""
    # Where the answer is about a setting that is not the one here, it says what would be.
    supposed = diagnosis["asked_with"] != diagnosis["setting"]
    yield f"python        {escaped(sys.executable)}"
    yield f"{ENVIRONMENT_VARIABLE:<13} {escaped(diagnosis['setting'] or 'not set')}"
    yield f"start-up      {escaped(', '.join(diagnosis['start_up_files']) or 'no nnguard.pth in this environment')}"
    yield f"interpreters  {'armed' if diagnosis['armed_at_start'] else 'not armed'} at their start" + (
        f", were {ENVIRONMENT_VARIABLE} {diagnosis['asked_with']}" if supposed else ""
    )
    if diagnosis["status"] is not None:
        yield from _status_lines(diagnosis["status"], diagnosis["nnunetv2_path"], "would be " if supposed else "")
    yield from (f"setting       {escaped(problem)}" for problem in diagnosis["settings_in_doubt"])
    yield ""
    if diagnosis["active"]:
        yield f"active: nnU-Net runs guarded here, in mode {escaped(diagnosis['setting'])}"
    else:
        yield "not active: nnU-Net runs unguarded here"
        yield from (f"  - {escaped(reason)}" for reason in diagnosis["reasons"])


def _status_lines(status: dict[str, Any], nnunetv2_path: str | None, would_be: str) -> Iterator[str]:
    versions = ", ".join(f"{name} {version or 'missing'}" for name, version in status["versions"].items())
    yield f"versions      {escaped(versions)}"
    yield f"nnU-Net       {escaped(nnunetv2_path or 'not found')}"
    for owner, targets in status["targets"].items():
        missing = f", missing: {escaped(', '.join(targets['missing']))}" if targets["missing"] else ""
        number = len(targets["patched"])
        yield f"  {escaped(owner)}: {number} target{'' if number == 1 else 's'} {would_be}patched{missing}"
