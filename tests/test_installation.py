"""Built, installed into a fresh environment, started: wheel and editable, by exact ``sys.modules``."""

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
START_UP_FILES = ("nnguard.pth", "nnguard.start")
ARMED = {
    "__future__",
    "_nnguard_start",
    "nnguard",
    "nnguard.arming",
    "nnguard.errors",
    "nnguard.findings",
    "nnguard.settings",
}

pytestmark = pytest.mark.slow


def built(kind, target):
    """The wheel (or the wheel of an editable install), by the build backend itself: no network."""
    code = f"import hatchling.build; print(hatchling.build.build_{kind}({str(target)!r}))"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return target / ran.stdout.split()[-1]


class Fresh:
    """A new virtual environment with pip and, later, nnguard alone in it."""

    def __init__(self, folder):
        venv.create(folder, with_pip=True)
        self.python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
        self.before = self.modules(None)

    def run(self, *arguments, nnguard=None):
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("NNGUARD", "PYTHON"))}
        if nnguard is not None:
            environment["NNGUARD"] = nnguard
        ran = subprocess.run([self.python, *arguments], env=environment, capture_output=True, text=True, cwd="/")
        assert ran.returncode == 0, ran.stderr
        return ran

    def modules(self, nnguard):
        return set(self.run("-c", "import sys; print(*sys.modules)", nnguard=nnguard).stdout.split())

    @property
    def site_packages(self):
        return Path(self.run("-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])").stdout.strip())


@pytest.fixture(scope="module", params=["wheel", "editable"])
def installed(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    wheel = built(request.param, folder)
    fresh = Fresh(folder / "environment")
    fresh.run("-m", "pip", "install", "--quiet", "--no-index", "--no-deps", str(wheel))
    return fresh


def test_the_start_up_files_lie_at_the_root_of_site_packages(installed):
    assert all((installed.site_packages / name).is_file() for name in START_UP_FILES)
    assert [(installed.site_packages / name).read_text() for name in START_UP_FILES] == [
        (ROOT / "src" / name).read_text() for name in START_UP_FILES
    ]


def test_unset_loads_nothing(installed):
    assert {name for name in installed.modules(None) - installed.before if "editable" not in name} == set()


def test_off_loads_what_reads_it_and_nothing_else(installed):
    assert installed.modules("off") - installed.before == {"_nnguard_start"}


@pytest.mark.parametrize("mode", ["warn", "strict"])
def test_a_mode_arms_with_the_standard_library_alone(installed, mode):
    assert installed.modules(mode) - installed.before == ARMED
    assert installed.run("-c", "import nnguard; print(nnguard.status().mode)", nnguard=mode).stdout.split() == [mode]


def test_without_site_nothing_is_armed(installed):
    ran = installed.run("-S", "-c", "import sys; print('nnguard' in sys.modules)", nnguard="strict")
    assert ran.stdout.split() == ["False"]


def test_uninstalling_takes_the_start_up_files_along(installed, tmp_path):
    files = installed.run("-m", "pip", "show", "--files", "nnguard").stdout.split()
    assert {name for name in START_UP_FILES if name in files} == set(START_UP_FILES)


def test_the_wheel_holds_the_package_and_the_start_up_files(tmp_path):
    names = zipfile.ZipFile(built("wheel", tmp_path)).namelist()
    assert {*START_UP_FILES, "_nnguard_start.py", "nnguard/__init__.py", "nnguard/py.typed"} <= set(names)
    assert {name.partition("/")[0] for name in names if ".dist-info/" not in name} == {
        "nnguard",
        "_nnguard_start.py",
        *START_UP_FILES,
    }
