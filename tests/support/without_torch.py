"""A pytest plugin for environments without torch: what needs it is skipped, and counted, by what it tries to import.

``scripts/pythons`` loads it. A promise stays a promise: where nnguard itself tries to import torch while a test of a
command runs, that test fails as before.
"""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path

import pytest

NEEDED = ("torch", "nnunetv2", "batchgenerators", "batchgeneratorsv2", "skimage", "SimpleITK", "scipy")
TESTS = Path(__file__).parents[1]

#: Files of tests that were not collected, with the number of test functions in them.
_left_out: dict[str, int] = {}


def missing(error: BaseException | None) -> str | None:
    """The name of what is needed and not installed, where that is what the error says."""
    name = (getattr(error, "name", None) or "").partition(".")[0]
    known = isinstance(error, ModuleNotFoundError) and name in NEEDED
    return name if known and importlib.util.find_spec(name) is None else None


class Module(pytest.Module):
    def _getobj(self):
        try:
            return super()._getobj()
        except self.CollectError as error:
            name = missing(error.__cause__ or error.__context__)
            if name is None:
                raise
            functions = [node for node in ast.walk(ast.parse(self.path.read_text())) if is_test(node)]
            _left_out[str(self.path.relative_to(TESTS))] = len(functions)
            pytest.skip(f"needs {name}", allow_module_level=True)


def is_test(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef) and node.name.startswith("test_")


def pytest_pycollect_makemodule(module_path, parent):
    return Module.from_parent(parent, path=module_path)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    name = missing(call.excinfo.value) if call.excinfo is not None else None
    if name is not None and TESTS in Path(call.excinfo.traceback[-1].path).parents:
        report.outcome = "skipped"
        report.longrepr = (str(item.path), item.location[1] or 0, f"Skipped: needs {name}")
    return report


def pytest_terminal_summary(terminalreporter):
    functions = sum(_left_out.values())
    terminalreporter.write_line(f"not collected without torch: {functions} test functions in {len(_left_out)} files")
