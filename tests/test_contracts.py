"""The arrows between modules: the contracts hold, and what breaks one is found and named."""

import os
import re
import shutil
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[1]
LINT = "from importlinter.cli import lint_imports_command; lint_imports_command()"

ARROWS = "Arrows point one way"
CIRCLES = "No circle between the modules of a package"
WRAPT = "One door to wrapt"


def lint(root):
    """What lint-imports says of the tree at ``root``, on one line."""
    environment = {**os.environ, "PYTHONPATH": str(root / "src"), "NNGUARD": "off"}
    done = subprocess.run(
        [sys.executable, "-c", LINT, "--no-cache"], cwd=root, env=environment, capture_output=True, text=True
    )
    said = " ".join((done.stdout + done.stderr).split())
    assert (done.returncode == 0) == (" 0 broken." in said), said
    return said


@pytest.fixture
def lint_with(tmp_path):
    """Lints a copy of the tree in which a module has some more lines; a module that is not there is made."""

    def lint_with(module, lines):
        shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", tmp_path)
        with (tmp_path / "src/nnguard" / module).open("a") as file:
            file.write(f"\n{lines}\n")
        return lint(tmp_path)

    return lint_with


def test_the_contracts_hold():
    said = lint(ROOT)
    assert " 0 broken." in said, said
    assert all(f"{name} KEPT" in said for name in (ARROWS, CIRCLES, WRAPT))


def test_no_module_imports_itself_by_way_of_others():
    """A package's own ``__init__`` counts here: import-linter looks for circles between its children alone."""
    graph = grimp.build_graph("nnguard", cache_dir=None, exclude_type_checking_imports=True)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        pytest.fail(" is imported by ".join(error.args[1]))


@pytest.mark.parametrize("when", ["", "def late(): "])
def test_a_circle_is_found_whenever_it_is_imported(lint_with, when):
    said = lint_with("models/scores.py", f"{when}from . import comparison")
    assert f"{CIRCLES} BROKEN" in said
    assert re.search(r"No cycles are allowed in nnguard\.models\..* \.(scores -> \.comp|comparison -> \.sc)", said)


def test_an_import_for_type_checkers_is_no_circle(lint_with):
    said = lint_with("models/scores.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING: from . import comparison")
    assert f"{CIRCLES} KEPT" in said


@pytest.mark.parametrize(
    ("module", "lines", "contract", "named"),
    [
        ("probe/labels.py", "import wrapt", WRAPT, "nnguard.probe.labels -> wrapt"),
        ("hooks/ranks.py", "import wrapt", WRAPT, "nnguard.hooks.ranks -> wrapt"),
        ("rules/words.py", "from ..models import scores", ARROWS, "nnguard.rules.words -> nnguard.models.scores"),
        ("demo/outcome.py", "from .. import record", ARROWS, "nnguard.demo.outcome -> nnguard.record"),
    ],
)
def test_an_arrow_that_points_the_wrong_way_is_found(lint_with, module, lines, contract, named):
    said = lint_with(module, lines)
    assert f"{contract} BROKEN" in said
    assert named in said


def test_a_new_module_needs_a_place(lint_with):
    said = lint_with("newcomer.py", "")
    assert f"{ARROWS} BROKEN" in said
    assert "newcomer" in said.partition("Broken contracts")[2]
