"""The demo never passes off a failure as a refusal, and overwrites nothing. The real run is in tests/e2e."""

import os
import subprocess

import pytest

from nnguard.cli import main
from nnguard.demo import disc_dataset, story
from nnguard.demo.workspace import Run, Workspace, installed
from nnguard.errors import NNGuardError


def ended(status, output):
    return Run(command="NNGUARD=strict nnUNetv2_predict", short="", output=output, status=status, seconds=1.0)


REFUSAL = "Traceback\nMirroringError: \nNNG101 unseen-flip (harmful): a model\n  Explained by: nnguard rule NNG101.\n"


def test_a_refusal_is_told_with_its_message(tmp_path):
    said = []
    row = story._strict(ended(1, REFUSAL), tmp_path / "nothing", tmp_path, said.append)
    assert row.measured == "refused, 0 files written"
    assert "NNG101 unseen-flip" in said[0]


def test_a_refusal_that_came_too_late_is_seen_by_what_was_written(tmp_path):
    (tmp_path / "case.png").touch()
    row = story._strict(ended(1, REFUSAL), tmp_path, tmp_path, lambda text: None)
    assert row.measured == "refused, 1 files written"


def test_a_prediction_that_failed_for_another_reason_is_no_refusal(tmp_path):
    with pytest.raises(NNGuardError, match="another reason:\nKilled"):
        story._strict(ended(137, "Killed\n"), tmp_path, tmp_path, lambda text: None)


def test_a_command_that_fails_ends_the_demo_with_its_last_lines():
    with pytest.raises(NNGuardError, match="ended with status 1:\nno space left"):
        story._succeeded(ended(1, "no space left\n"))


def test_the_callers_environment_is_left_alone_and_the_commands_get_their_own(tmp_path, monkeypatch):
    monkeypatch.setenv("nnUNet_results", "the user's")
    workspace = Workspace(tmp_path)
    environment = workspace.environment("strict")
    assert environment["NNGUARD"] == "strict"
    assert environment["nnUNet_results"] == str(tmp_path / "results")
    assert dict(os.environ)["nnUNet_results"] == "the user's"


def test_what_is_kept_holds_the_trainer_that_its_model_needs_and_the_variables_to_use_it(tmp_path):
    workspace = Workspace(tmp_path / "with a blank")
    assert [path.name for path in workspace.trainers.glob("*.py")] == ["nnUNetTrainerIssue2552.py"]
    assert workspace.environment("warn")["nnUNet_extTrainer"] == str(workspace.trainers)
    shell = f'. "{workspace.folder}/environment.sh"; printf %s "$nnUNet_extTrainer"'
    assert subprocess.run(["sh", "-c", shell], capture_output=True, text=True).stdout == str(workspace.trainers)


def test_the_variables_of_what_is_kept_find_this_environments_commands(tmp_path, monkeypatch):
    made = tmp_path / "an environment's/bin"
    made.mkdir(parents=True)
    (made / "nnguard").write_text("#!/bin/sh\necho found\n")
    (made / "nnguard").chmod(0o755)
    monkeypatch.setattr("nnguard.demo.workspace.sys.executable", str(made / "python"))
    shell = f'. "{Workspace(tmp_path / "kept").folder}/environment.sh"; nnguard && command -v sh'
    ran = subprocess.run(["/bin/sh", "-c", shell], capture_output=True, text=True)
    assert ran.stdout.startswith("found\n/")


def test_a_missing_command_is_named_with_what_installs_it():
    with pytest.raises(NNGuardError, match=r"nnUNetv2_no_such is not installed.*nnguard\[nnunet\]"):
        installed("nnUNetv2_no_such")


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_folder_with_something_in_it_is_refused_and_left_alone(tmp_path, capsys, kind):
    taken = tmp_path / "taken"
    if kind == "file":
        taken.write_text("mine")
    else:
        taken.mkdir()
        (taken / "mine").touch()
    assert main(["demo", "--keep", str(taken)]) == 2
    assert "overwrites nothing" in capsys.readouterr().err
    assert taken.is_file() or [path.name for path in taken.iterdir()] == ["mine"]


def test_the_made_images_are_the_same_each_time_and_hold_both_labels(tmp_path):
    from skimage import io

    first, second = (disc_dataset.make(tmp_path / name, training_cases=3, test_cases=1) for name in ("first", "second"))
    for path in sorted(first.rglob("*.png")):
        assert path.read_bytes() == (second / path.relative_to(first)).read_bytes()
    for path in (first / "labelsTr").iterdir():
        assert set(io.imread(path).flat) == {0, disc_dataset.LEFT, disc_dataset.RIGHT}
