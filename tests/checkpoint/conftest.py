"""What the tests of files need of the system."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from nnguard.checkpoint import splice
from nnguard.nnunet import AXES_KEY
from tests.support.archives import checkpoint

NOBODY = 65534


@pytest.fixture
def unprivileged():
    """A folder in which this process has no more rights than an ordinary user; root would be refused nothing."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    inner = folder / "models"
    inner.mkdir()
    # This user may not be able to read Python's own library, so what a repair imports is imported before.
    sound = folder / "sound.pth"
    sound.write_bytes(checkpoint())
    splice(sound, {AXES_KEY: None}, dry_run=True)
    if root:
        os.chown(inner, NOBODY, NOBODY)
        os.setegid(NOBODY)
        os.seteuid(NOBODY)
    try:
        yield inner
    finally:
        if root:
            os.seteuid(0)
            os.setegid(0)
        inner.chmod(0o755)
        shutil.rmtree(folder)
