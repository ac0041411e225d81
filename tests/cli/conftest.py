"""Runs the command line in this process, and shares made models."""

from typing import NamedTuple

import pytest


class Outcome(NamedTuple):
    status: int
    out: str
    err: str


@pytest.fixture
def nnguard(capsys, monkeypatch):
    """``nnguard("check", folder)`` as the console script would run it."""
    from nnguard.cli import main

    monkeypatch.delenv("NNGUARD", raising=False)
    monkeypatch.delenv("COLUMNS", raising=False)

    def run(*arguments):
        capsys.readouterr()
        status = main([str(argument) for argument in arguments])
        return Outcome(status, *capsys.readouterr())

    return run


@pytest.fixture
def sound(tmp_path):
    """A model whose record says that it mirrors as its checkpoint declares."""
    from tests.support.checkpoints import save_model
    from tests.support.records import record_of

    return save_model(tmp_path / "Dataset002_Discs/nnUNetTrainer__nnUNetPlans__2d", (0, 1), record=record_of())


@pytest.fixture
def trapped(tmp_path):
    """The bug of nnU-Net issue 2552: declared (0, 1), never mirrored."""
    from tests.support.checkpoints import save_model
    from tests.support.records import record_of

    folder = tmp_path / "Dataset002_Discs/nnUNetTrainerNoMirror__nnUNetPlans__2d"
    return save_model(folder, (0, 1), record=record_of(mirrored=()))
