"""Claims about the place that is named where somebody's code failed."""

import json
import sys
from types import ModuleType

import pytest

from nnguard.foreign_calls import attempt

TRAINER = """
import json

class nnUNetTrainerX:
    def __init__(self):
        self.configure()

    def configure(self):
        return {}["a"]

    def read(self):
        return json.loads("{")
"""


@pytest.fixture
def trainer(tmp_path):
    """The class, loaded from a folder of the user's."""
    path = tmp_path / "nnUNetTrainerX.py"
    path.write_text(TRAINER)
    module = ModuleType("nnUNetTrainerX")
    exec(compile(TRAINER, str(path), "exec"), module.__dict__)
    return module.nnUNetTrainerX


def test_the_deepest_line_of_the_users_is_named(trainer):
    failed = attempt(trainer)
    assert failed == "KeyError: 'a'"
    assert failed.place == "nnUNetTrainerX.py, line 9, in configure"


def test_a_library_that_fails_is_not_the_place_but_who_called_it(trainer):
    assert attempt(trainer.read, None).place == "nnUNetTrainerX.py, line 12, in read"


def test_nnunets_own_lines_count_where_it_is_installed(trainer):
    code = "def build(trainer):\n    return trainer.no_such_thing\n"
    module = ModuleType("nnunetv2.run.run_training")
    exec(compile(code, f"{sys.prefix}/lib/site-packages/nnunetv2/run/run_training.py", "exec"), module.__dict__)
    assert attempt(module.build, trainer).place == "run_training.py, line 2, in build"


def test_what_nnunet_was_given_is_named_beside_where_it_failed(trainer, tmp_path):
    nnunets, users = ModuleType("nnunetv2.run"), ModuleType("nnUNetTrainerY")
    exec(compile("def take(x):\n    return x['a']\n", "/lib/nnunetv2/run.py", "exec"), nnunets.__dict__)
    users.take = nnunets.take
    exec(compile("def give():\n    return take({})\n", str(tmp_path / "y.py"), "exec"), users.__dict__)
    assert attempt(users.give).place == "y.py, line 2, in give; nnU-Net's run.py, line 2, in take"


def test_where_nobody_s_line_failed_none_is_named():
    assert attempt(json.loads, "{").place == ""


def test_a_syntax_error_names_its_own_line(tmp_path):
    failed = attempt(compile, "def (", "nnUNetTrainerX.py", "exec")
    assert (failed.place, "nnUNetTrainerX.py, line 1" in failed) == ("", True)
