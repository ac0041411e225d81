"""Where a call into a user's code failed: the deepest line that the user can fix."""

from __future__ import annotations

import sysconfig
from pathlib import Path
from traceback import walk_tb
from types import FrameType

#: Installed packages are in these folders. Users do not fix them, except nnU-Net and the trainers in its package.
INSTALLED = ("site-packages", "dist-packages")
STANDARD_LIBRARY = tuple(Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib"))


def place_of(error: BaseException) -> str:
    """The deepest frame of the user's code, as ``nnUNetTrainerX.py, line 12, in __init__``.

    A deeper frame of nnU-Net follows, because nnU-Net often fails on what the user gave it. The text is empty if there
    is neither, and for a ``SyntaxError``, which names its file and line itself.
    """
    if isinstance(error, SyntaxError):
        return ""
    users = nnunets = ""
    for frame, line in walk_tb(error.__traceback__):
        place = f"{Path(frame.f_code.co_filename).name}, line {line}, in {frame.f_code.co_name}"
        if _package_of(frame) == "nnunetv2":
            nnunets = place
        elif _is_the_users(frame):
            users, nnunets = place, ""
    return "; nnU-Net's ".join(place for place in (users, nnunets) if place)


def _package_of(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]


def _is_the_users(frame: FrameType) -> bool:
    file = Path(frame.f_code.co_filename)
    if _package_of(frame) == "nnguard" or not file.is_absolute() or set(file.parts) & set(INSTALLED):
        return False
    return not any(file.is_relative_to(folder) for folder in STANDARD_LIBRARY)
