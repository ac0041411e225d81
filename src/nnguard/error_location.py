"""Where a call into somebody's code failed: the deepest line that is theirs to mend."""

from __future__ import annotations

import sysconfig
from pathlib import Path
from traceback import walk_tb
from types import FrameType

#: Packages are found here; what is installed is for nobody to mend, save nnU-Net and trainers in its package.
INSTALLED = ("site-packages", "dist-packages")
STANDARD_LIBRARY = tuple(Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib"))


def place_of(error: BaseException) -> str:
    """``nnUNetTrainerX.py, line 12, in __init__``: the deepest frame that is the user's, and nnU-Net's where that is
    deeper still: nnU-Net often fails on what it was given.

    Empty where there is neither, and for a ``SyntaxError``, which names its file and line itself.
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
