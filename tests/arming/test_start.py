"""The start of an interpreter: what is loaded, what is said, and that nothing escapes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SRC = Path(__file__).parents[2] / "src"
PTH_LINE = (SRC / "nnguard.pth").read_text()

#: Everything of nnguard that an armed interpreter holds until nnU-Net is looked for.
ARMED = {
    "__future__",
    "_nnguard_start",
    "nnguard",
    "nnguard.arming",
    "nnguard.errors",
    "nnguard.findings",
    "nnguard.settings",
}

LOADED = "import sys; print(*sorted(sys.modules))"


def python(code, nnguard=None, *, start=True, path=()):
    """Runs ``code`` as site would leave it: the start-up line first, unless ``start`` is false."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("NNGUARD")}
    if nnguard is not None:
        environment["NNGUARD"] = nnguard
    environment["PYTHONPATH"] = os.pathsep.join(map(str, (*path, SRC)))
    # -I would ignore PYTHONPATH and NNGUARD alike; an installed nnguard has run its own line by now: twice is as once.
    return subprocess.run(
        [sys.executable, "-c", (PTH_LINE if start else "") + code],
        env=environment,
        capture_output=True,
        text=True,
    )


def loaded(nnguard, code=""):
    ran = python(code + "\n" + LOADED, nnguard)
    assert ran.returncode == 0, ran.stderr
    return set(ran.stdout.split())


@pytest.mark.parametrize("value", [None, ""])
def test_nothing_of_nnguard_is_loaded_where_it_is_not_asked_for(value):
    assert not {name for name in loaded(value) if "nnguard" in name}


@pytest.mark.parametrize("value", ["off", " OFF "])
def test_off_loads_no_more_than_the_line_that_reads_it(value):
    assert {name for name in loaded(value) if "nnguard" in name} == {"_nnguard_start"}


@pytest.mark.parametrize("value", ["warn", "strict", "strict,NNG102=raise", "stict"])
def test_an_armed_interpreter_holds_the_standard_library_and_five_small_modules(value):
    more = loaded(value) - loaded(None)
    assert more == ARMED


def test_importing_nnguard_arms_without_a_setting():
    ran = python("import nnguard; print(nnguard.status()['armed'], nnguard.status()['mode'])", start=False)
    assert ran.stdout.split() == ["True", "warn"]


def test_importing_nnguard_under_off_does_not_arm():
    ran = python("import nnguard; print(nnguard.status()['armed'])", "off", start=False)
    assert ran.stdout.split() == ["False"]


def test_public_names_are_listed_and_load_when_they_are_used():
    ran = python(
        "import nnguard, sys\n"
        "assert set(nnguard.__all__) <= set(dir(nnguard))\n"
        "assert 'nnguard.record' not in sys.modules\n"
        "assert nnguard.Record.__module__ == 'nnguard.record'\n"
        "assert all(hasattr(nnguard, name) for name in nnguard.__all__)\n"
        "assert not hasattr(nnguard, 'no_such_name')\n",
        start=False,
    )
    assert ran.returncode == 0, ran.stderr


def test_an_unreadable_mode_costs_one_line_and_nothing_else():
    ran = python("print('the user runs')", "stict")
    assert (ran.returncode, ran.stdout) == (0, "the user runs\n")
    [line] = ran.stderr.splitlines()
    assert "stict" in line
    assert "warn, strict, exact, correct" in line


def test_starting_twice_leaves_one_trigger():
    ran = python(PTH_LINE + "import sys; print([type(f).__name__ for f in sys.meta_path].count('_Trigger'))", "warn")
    assert ran.stdout.split() == ["1"]


@pytest.mark.parametrize("fault", ["raise SystemExit(3)", "raise KeyboardInterrupt", "1 / 0", "import no_such_module"])
def test_whatever_fails_at_start_up_is_one_line_and_the_interpreter_starts(tmp_path, fault):
    broken = tmp_path / "nnguard"
    broken.mkdir()
    (broken / "__init__.py").write_text(fault + "\n")
    ran = python("print('the user runs')", "warn", path=[tmp_path])
    assert (ran.returncode, ran.stdout) == (0, "the user runs\n")
    assert ran.stderr.startswith("nnguard: inactive: start-up failed: ")
    assert "Traceback" not in ran.stderr


def test_a_closed_stderr_is_no_obstacle():
    ran = python(
        "import sys; sys.stderr = None\nimport _nnguard_start; _nnguard_start.say('x'); print('the user runs')"
    )
    assert ran.stdout == "the user runs\n"


def host(tmp_path, code="value = 1\n"):
    package = tmp_path / "nnunetv2"
    package.mkdir()
    (package / "__init__.py").write_text(code)
    return tmp_path


def test_the_trigger_steps_aside_when_nnunet_is_looked_for(tmp_path):
    ran = python(
        "import sys, nnguard\n"
        "print(nnguard.status()['waiting'], 'wrapt' in sys.modules)\n"
        "import nnunetv2\n"
        "print(nnguard.status()['waiting'], 'wrapt' in sys.modules, nnunetv2.value, 'torch' in sys.modules)\n",
        "warn",
        path=[host(tmp_path)],
    )
    assert ran.stdout.split() == ["True", "False", "False", "True", "1", "False"], ran.stderr


def test_hooks_that_cannot_be_loaded_cost_one_line_and_nnunet_imports(tmp_path):
    (tmp_path / "wrapt.py").write_text("raise ImportError('no wrapt here')\n")
    ran = python(
        "import nnunetv2, nnguard; print(nnunetv2.value, nnguard.status()['inactive'])",
        "warn",
        path=[host(tmp_path)],
    )
    assert ran.returncode == 0
    assert ran.stdout.startswith("1 ['loading the hooks failed: ImportError: no wrapt here")
    assert [line for line in ran.stderr.splitlines() if "no wrapt here" in line] == ran.stderr.splitlines()


def test_an_nnunet_without_a_predictor_class_is_refused_with_one_line(tmp_path):
    inference = host(tmp_path) / "nnunetv2" / "inference"
    inference.mkdir()
    (inference / "__init__.py").write_text("")
    (inference / "predict_from_raw_data.py").write_text("def predict_from_raw_data(): return 1\n")
    ran = python(
        "from nnunetv2.inference import predict_from_raw_data as module\n"
        "import nnguard\n"
        "print(module.predict_from_raw_data(), nnguard.status()['active'])",
        "warn",
        path=[tmp_path],
    )
    assert ran.stdout.split() == ["1", "False"]
    [line] = ran.stderr.splitlines()
    assert "inactive" in line
    assert "2.2" in line


def test_a_fork_without_a_required_method_is_left_whole_and_named(tmp_path):
    inference = host(tmp_path) / "nnunetv2" / "inference"
    inference.mkdir()
    (inference / "__init__.py").write_text("")
    (inference / "predict_from_raw_data.py").write_text(
        "class nnUNetPredictor:\n"
        "    def manual_initialization(self): return 'own'\n"
        "    def predict_from_files(self): return 'files'\n"
    )
    ran = python(
        "from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor as P\n"
        "import nnguard\n"
        "print(type(vars(P)['manual_initialization']).__name__, P().predict_from_files(), nnguard.status()['active'])",
        "warn",
        path=[tmp_path],
    )
    assert ran.stdout.split() == ["function", "files", "False"]
    [line] = ran.stderr.splitlines()
    assert "_internal_maybe_mirror_and_predict" in line


def test_a_hook_that_raises_does_not_fail_the_import_and_the_guard_says_it_is_inactive(tmp_path):
    inference = host(tmp_path) / "nnunetv2" / "inference"
    inference.mkdir()
    (inference / "__init__.py").write_text("")
    (inference / "predict_from_raw_data.py").write_text("class nnUNetPredictor: pass\n")
    ran = python(
        "import nnguard, nnunetv2\n"
        "from nnguard.hooks import predictor\n"
        "predictor.patch = lambda module: 1 / 0\n"
        "from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor\n"
        "print(nnguard.status()['inactive'], nnguard.status()['internal_errors'])",
        "warn",
        path=[tmp_path],
    )
    assert "patching nnunetv2.inference.predict_from_raw_data failed" in ran.stdout
    assert ran.stdout.strip().endswith("1")
    assert len(ran.stderr.splitlines()) == 1


@pytest.mark.parametrize("method", ["spawn", "fork", "forkserver"])
def test_workers_are_armed_like_their_parent(tmp_path, method):
    script = tmp_path / "script.py"
    script.write_text(
        "import multiprocessing, sys\n"
        "def armed():\n"
        "    import nnguard\n"
        "    return nnguard.status()['mode']\n"
        "if __name__ == '__main__':\n"
        f"    with multiprocessing.get_context({method!r}).Pool(1) as pool:\n"
        "        print(pool.apply(armed))\n"
    )
    environment = {**os.environ, "NNGUARD": "strict", "PYTHONPATH": str(SRC)}
    ran = subprocess.run([sys.executable, str(script)], env=environment, capture_output=True, text=True)
    assert ran.stdout.split() == ["strict"], ran.stderr


def test_the_start_file_names_the_callable_that_the_pth_line_calls():
    import pkgutil

    [entry] = (SRC / "nnguard.start").read_text().split()
    assert pkgutil.resolve_name(entry).__name__ == "start"
    assert entry.partition(":")[0] in PTH_LINE
    assert PTH_LINE.startswith("import ")
    assert PTH_LINE.count("\n") == 1
