"""Records and models of the version that ``expected.json`` names: today's code reads them the same and says the same.

``before/today.py`` asks; codes, severities and axes are compared, and none of the words. Keys that are new are no
difference. What is meant to differ has a row in ``MEANT_TO_DIFFER``.
"""

from __future__ import annotations

import fnmatch
import json
from typing import Any, NamedTuple

import pytest

from tests.before import today

EXPECTED = json.loads(today.EXPECTED.read_text())["said"]
for _said in EXPECTED.values():
    del _said["inspect"]["."]  # of a model folder ``inspect`` says what ``check`` says
ASKED = ("read_record", "sidecar", "check", "inspect", "repair")
GONE = "(gone)"


class Meant(NamedTuple):
    """A difference that a later version means. ``where`` is a pattern, such as ``records/*/check/findings/*/code``."""

    where: str
    before: Any
    now: Any
    why: str


#: ``meant.json`` lists them. A row may give a whole list or dictionary, where findings were merged.
MEANT_TO_DIFFER = [Meant(**row) for row in json.loads((today.HERE / "meant.json").read_text())]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return today.unpack(tmp_path_factory.mktemp("before"))


@pytest.fixture(scope="module")
def predictors(folders):
    return today.said_by_predictors(folders)


@pytest.mark.parametrize("subject", EXPECTED)
def test_the_same_is_read_and_said(subject, folders, monkeypatch):
    monkeypatch.delenv("NNGUARD", raising=False)
    said, expected = today.said_of(folders[subject]), EXPECTED[subject]
    assert not [line for asked in ASKED for line in differences(f"{subject}/{asked}", expected[asked], said[asked])]


@pytest.mark.slow
@pytest.mark.xdist_group("before")
@pytest.mark.parametrize("subject", EXPECTED)
def test_the_same_is_said_when_a_predictor_starts(subject, predictors):
    assert not differences(f"{subject}/predictor", EXPECTED[subject]["predictor"], predictors[subject])


def test_nothing_that_was_kept_is_left_out():
    assert {path.stem for path in today.DATA.glob("models/*.zip")} == set(today.MODELS)
    assert set(EXPECTED) == {f"models/{name}" for name in today.MODELS} | {
        f"records/{name}" for name in today.records()
    }


def test_a_difference_is_found_unless_it_is_meant(monkeypatch):
    before, now = {"findings": [{"code": "NNG112"}], "gone": 1}, {"findings": [{"code": "NNG101"}], "new": 1}
    monkeypatch.setattr(f"{__name__}.MEANT_TO_DIFFER", [])
    assert differences("x", before, now) == [
        "x/findings/0/code: was 'NNG112', is 'NNG101'",
        "x/gone: was 1, is '(gone)'",
    ]
    monkeypatch.setattr(f"{__name__}.MEANT_TO_DIFFER", [Meant("*/findings/*/code", "NNG112", "NNG101", "merged")])
    assert differences("x", before, now) == ["x/gone: was 1, is '(gone)'"]


def differences(where: str, before: Any, now: Any) -> list[str]:
    """Each place where today's answer is another one, unless a row means it."""
    if before == now or any(
        fnmatch.fnmatchcase(where, row.where) and (row.before, row.now) == (before, now) for row in MEANT_TO_DIFFER
    ):
        return []
    if isinstance(before, dict) and isinstance(now, dict):
        parts = [(key, before[key], now.get(key, GONE)) for key in before]
    elif isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        parts = [(str(number), *pair) for number, pair in enumerate(zip(before, now, strict=True))]
    else:
        return [f"{where}: was {before!r}, is {now!r}"]
    return [line for key, old, new in parts for line in differences(f"{where}/{key}", old, new)]
