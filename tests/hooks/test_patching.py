"""The one door: original once, results and errors unchanged, errors of ours kept in, all of it undone."""

import pickle
import subprocess
import sys
import types
from itertools import product
from pathlib import Path

import pytest

from nnguard.errors import ConfigurationError, ConsistencyWarning, MirroringError
from nnguard.hooks import patching
from nnguard.hooks.patching import Guard

SRC = Path(__file__).parents[2] / "src" / "nnguard"

ACCIDENTS = (ValueError("ours"), RecursionError("ours"), MemoryError("ours"), AssertionError("ours"))
DELIBERATE = (
    MirroringError("refused"),
    ConfigurationError("refused"),
    ConsistencyWarning("refused"),
    KeyboardInterrupt(),
    SystemExit(3),
)
HOST_ERRORS = (RuntimeError("theirs"), StopIteration("theirs"), MirroringError("theirs"), KeyboardInterrupt())


@pytest.fixture(autouse=True)
def unpatched():
    yield
    patching.unpatch_all()


def host_class(outcome="result"):
    class Host:
        calls = 0

        def method(self, number, *, keyword=None):
            type(self).calls += 1
            if isinstance(outcome, BaseException):
                raise outcome
            return (outcome, number, keyword)

    return Host


def raising(error):
    def guard(*_arguments):
        if error is not None:
            raise error

    return guard


def called(function):
    """What a call came to: ``("returned", value)`` or ``("raised", exception)``."""
    try:
        return "returned", function()
    except BaseException as error:  # noqa: BLE001 - what it is, is what is asked
        return "raised", error


@pytest.mark.parametrize("host", ["result", *HOST_ERRORS], ids=repr)
@pytest.mark.parametrize("after", [None, *ACCIDENTS], ids=repr)
@pytest.mark.parametrize("before", [None, *ACCIDENTS], ids=repr)
def test_an_accident_of_ours_changes_nothing_for_the_host(before, after, host):
    kind = host_class(host)
    patching.patch(kind, "method", Guard(raising(before), raising(after)))
    outcome, value = called(lambda: kind().method(1, keyword=2))
    assert kind.calls == 1
    if isinstance(host, BaseException):
        assert outcome == "raised"
        assert value is host
        assert value.__context__ is None
        assert value.__cause__ is None
    else:
        assert (outcome, value) == ("returned", ("result", 1, 2))
    accidents = [before] if isinstance(host, BaseException) else [before, after]
    expected = [type(accident).__name__ for accident in accidents if accident is not None]
    assert [error.kind for error in patching.swallowed] == expected
    patching.swallowed.clear()


@pytest.mark.parametrize("error", DELIBERATE, ids=repr)
@pytest.mark.parametrize("when", ["before", "after"])
def test_what_is_raised_on_purpose_passes(when, error):
    kind = host_class()
    patching.patch(kind, "method", Guard(**{when: raising(error)}))
    outcome, value = called(lambda: kind().method(1))
    assert (outcome, value) == ("raised", error)
    assert value.__context__ is None
    assert kind.calls == (0 if when == "before" else 1)


def test_the_hosts_error_keeps_its_context_while_another_is_handled():
    kind = host_class(RuntimeError("theirs"))
    patching.patch(kind, "method", Guard(raising(None), raising(None)))
    handled = KeyError("handled")
    try:
        raise handled
    except KeyError:
        _outcome, value = called(lambda: kind().method(1))
    assert value.__context__ is handled


def test_the_guard_before_may_hand_on_other_arguments():
    kind = host_class()
    patching.patch(kind, "method", Guard(before=lambda host, args, kwargs: ((args[0] + 1,), {"keyword": "new"})))
    assert kind().method(1) == ("result", 2, "new")


@pytest.mark.expects_internal_error
def test_an_error_is_logged_once_a_place_with_its_traceback_and_counted_each_time(monkeypatch):
    events = []
    logger = types.SimpleNamespace(error=lambda event, **details: events.append((event, details)))
    monkeypatch.setattr("nnguard.report.log.get_logger", lambda: logger)
    kind = host_class()
    patching.patch(kind, "method", Guard(before=raising(ValueError("ours"))))
    for _ in range(3):
        kind().method(1)
    assert [error.count for error in patching.swallowed] == [3]
    [(_event, details)] = events
    assert details["place"] == "Host.method before"
    assert "ValueError: ours" in details["exception"]


@pytest.mark.expects_internal_error
def test_a_logger_that_fails_disturbs_nobody(monkeypatch):
    monkeypatch.setattr("nnguard.report.log.get_logger", raising(OSError("disk full")))
    kind = host_class()
    patching.patch(kind, "method", Guard(before=raising(ValueError("ours"))))
    assert kind().method(1) == ("result", 1, None)


@pytest.mark.expects_internal_error
def test_a_swallowed_error_keeps_nothing_alive():
    import gc
    import weakref

    class Weights:
        pass

    weights = Weights()
    reference = weakref.ref(weights)

    def fail(host, args, kwargs):
        held = args[0]
        raise ValueError(type(held))

    kind = host_class()
    patching.patch(kind, "method", Guard(before=fail))
    kind().method(weights)
    del weights
    gc.collect()
    assert reference() is None


def test_patching_twice_guards_once():
    seen = []
    kind = host_class()
    guard = Guard(before=lambda *_: seen.append(1) and None)
    patching.patch(kind, "method", guard)
    patching.patch(kind, "method", guard)
    kind().method(1)
    assert seen == [1]
    assert len(patching.patches()) == 1


def test_undoing_restores_the_original_object():
    kind = host_class()
    original = vars(kind)["method"]
    patching.patch(kind, "method", Guard())
    assert patching.is_ours(vars(kind)["method"])
    patching.unpatch_all()
    assert vars(kind)["method"] is original


def test_undoing_leaves_a_foreign_replacement_alone_and_silences_our_patch_inside_it():
    seen = []
    kind = host_class()
    patching.patch(kind, "method", Guard(before=lambda *_: seen.append(1) and None))
    ours = kind.method

    def foreign(self, *args, **kwargs):
        return ("foreign", ours(self, *args, **kwargs))

    kind.method = foreign
    assert kind().method(1)[0] == "foreign"
    assert seen == [1]
    patching.unpatch_all()
    assert vars(kind)["method"] is foreign
    assert kind().method(1) == ("foreign", ("result", 1, None))
    assert seen == [1]


def test_a_class_without_a_required_method_is_left_alone_and_said_to_be():
    class Fork:
        def present(self):
            return 1

    original = vars(Fork)["present"]
    coverage = patching.patch_all_or_nothing(Fork, {"present": Guard(), "absent": Guard()}, {"extra": Guard()})
    assert vars(Fork)["present"] is original
    assert "absent" in coverage.inactive
    assert coverage.missing == ["absent", "extra"]
    assert not coverage.patched


def test_a_missing_optional_method_is_listed_and_the_rest_patched():
    kind = host_class()
    coverage = patching.patch_all_or_nothing(kind, {"method": Guard()}, {"extra": Guard()})
    assert (coverage.patched, coverage.missing, coverage.inactive) == (["method"], ["extra"], None)


def test_a_method_that_a_fork_moved_into_a_parent_is_patched_there():
    class Parent:
        def method(self):
            return 1

    class Fork(Parent):
        pass

    patching.patch_all_or_nothing(Fork, {"method": Guard()})
    assert patching.is_ours(vars(Parent)["method"])
    assert "method" not in vars(Fork)


@pytest.mark.parametrize("calls_super", [True, False])
def test_an_override_is_guarded_once_whether_or_not_it_calls_super(calls_super):
    seen = []
    kind = host_class()

    class Override(kind):
        def method(self, number):
            return super().method(number) if calls_super else "own"

    guards = {"method": Guard(before=lambda *_: seen.append("before") and None, after=lambda *_: seen.append("after"))}
    patching.patch_all_or_nothing(kind, guards)
    patching.patch_overrides(Override, kind, guards)
    patching.patch_overrides(Override, kind, guards)
    Override().method(1)
    assert seen == ["before", "after"]
    seen.clear()
    kind().method(1)
    assert seen == ["before", "after"]


def test_a_foreign_replacement_is_guarded_when_the_next_object_is_made():
    seen = []
    kind = host_class()
    guards = {"method": Guard(before=lambda *_: seen.append(1) and None)}
    patching.patch_all_or_nothing(kind, guards)
    kind.method = lambda self, number: ("foreign", number)
    patching.patch_overrides(kind, kind, guards)
    assert kind().method(1) == ("foreign", 1)
    assert seen == [1]


def test_a_mixin_shared_with_other_classes_is_guarded_for_ours_only():
    seen = []

    class Mixin:
        def method(self):
            return "mixin"

    class Ours:
        def method(self):
            return "ours"

    class Mixed(Mixin, Ours):
        pass

    class Stranger(Mixin):
        pass

    guards = {"method": Guard(before=lambda *_: seen.append(1) and None)}
    patching.patch_overrides(Mixed, Ours, guards)
    assert Stranger().method() == "mixin"
    assert seen == []
    assert Mixed().method() == "mixin"
    assert seen == [1]


@pytest.mark.parametrize(
    ("protocol", "accessed"), list(product(range(2, pickle.HIGHEST_PROTOCOL + 1), ("bound", "plain")))
)
def test_a_guarded_method_is_pickled_like_a_plain_one(protocol, accessed):
    patching.patch(Pickled, "method", Guard())
    method = Pickled().method if accessed == "bound" else Pickled.method
    read_back = pickle.loads(pickle.dumps(method, protocol))
    assert (read_back(1) if accessed == "bound" else read_back(Pickled(), 1)) == 2


def test_a_guarded_bound_method_is_copied_with_its_object():
    import copy

    patching.patch(Pickled, "method", Guard())
    host = Pickled()
    copied = copy.deepcopy(host.method)
    assert copied.__self__ is not host
    assert type(copied.__self__) is Pickled
    assert copied(1) == 2
    assert copy.copy(host.method)(1) == 2
    assert copy.deepcopy(Pickled.method)(host, 1) == 2


def test_only_patching_knows_wrapt():
    knowing = [path.name for path in SRC.rglob("*.py") if "import wrapt" in path.read_text()]
    assert knowing == ["patching.py"]


def test_only_patching_and_the_callers_of_foreign_transforms_and_file_systems_catch_everything():
    broad = {path.name for path in SRC.rglob("*.py") if "except Exception" in path.read_text()}
    assert broad == {"patching.py", "foreign_calls.py", "sources.py"}


def test_an_import_hook_that_fails_does_not_fail_the_import(tmp_path):
    (tmp_path / "host_of_a_failing_hook.py").write_text("value = 1\n")
    code = (
        "from nnguard.hooks import patching\n"
        "patching.when_imported('host_of_a_failing_hook', lambda module: 1 / 0)\n"
        "import host_of_a_failing_hook as host\n"
        "print(host.value, [error.kind for error in patching.swallowed])\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert ran.stdout.split(maxsplit=1) == ["1", "['ZeroDivisionError']\n"]
    assert "internal error" in ran.stderr


class Pickled:
    """At module level, where pickle finds classes by name."""

    def method(self, number):
        return number + 1


# ---------------------------------------------------------------- what an object holds itself


class Holder:
    def method(self, number):
        return ("class", number)


def held(guarded=True):
    holder, heard = Holder(), []
    patching.patch(Holder, "method", Guard(before=lambda *what: heard.append("class")))
    own = holder.method
    holder.method = lambda number: ("own", own(number))
    if guarded:
        patching.patch_on_object(holder, "method", Guard(before=lambda instance, *_: heard.append(instance)))
    return holder, heard


def test_what_an_object_holds_is_guarded_in_place_of_the_class():
    holder, heard = held()
    assert holder.method(1) == ("own", ("class", 1))
    assert heard == [holder]


@pytest.mark.parametrize("guarded", [True, False])
def test_the_class_is_guarded_for_other_objects_and_until_the_object_is(guarded):
    holder, heard = held(guarded)
    (Holder() if guarded else holder).method(1)
    assert heard == ["class"]


def test_an_object_is_guarded_once_and_only_where_it_holds_something():
    holder, heard = held()
    patching.patch_on_object(holder, "method", Guard())
    patching.patch_on_object(Holder(), "method", Guard())
    holder.method(1)
    assert heard == [holder]
    assert len(patching.patches()) == 2


def test_what_an_object_held_is_put_back():
    holder, heard = held(guarded=False)
    before = vars(holder)["method"]
    patching.patch_on_object(holder, "method", Guard(before=lambda *_: heard.append("guard")))
    assert vars(holder)["method"] is not before
    patching.unpatch_all()
    assert vars(holder)["method"] is before


def test_an_object_is_let_go_of_though_what_it_holds_is_bound_to_it():
    import gc
    import weakref

    holder, heard = held()
    gone = weakref.ref(holder)
    heard.clear()
    del holder
    gc.collect()
    assert gone() is None
    patching.unpatch_all()


def test_a_copy_of_the_object_takes_no_guard_along():
    import copy

    holder = Holder()
    holder.method = holder.method
    heard = []
    patching.patch_on_object(holder, "method", Guard(before=lambda *_: heard.append(1)))
    for twin in (copy.deepcopy(holder), pickle.loads(pickle.dumps(holder))):
        assert twin.method(2) == ("class", 2)
        assert twin.method.__self__ is twin
    assert heard == []
