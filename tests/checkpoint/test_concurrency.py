"""Several processes at one checkpoint, or at the copy of its record: the file is always one of theirs, and whole."""

import contextlib
import json
import subprocess
import sys

import pytest

from nnguard.checkpoint import read_checkpoint, splice
from nnguard.errors import CheckpointError
from nnguard.record import Record
from tests.checkpoint.trainings import AXES, RECORD, saved, trained
from tests.support.checkpoints import save_model
from tests.support.records import record_of

ROUNDS = 40

#: Both children begin when the parent opens the gate; each tells how it ended in words.
RACE = """
import json, os, sys
from pathlib import Path
from nnguard.checkpoint import read_checkpoint, splice
from nnguard.errors import CheckpointError

target, rounds, asked = Path(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3])
original, backup = target.read_bytes(), target.with_name(target.name + ".before-nnguard")

def child(number, gate):
    os.read(gate, 1)
    # A little apart, a little further each round: all of one run passes all of the other.
    for _ in range(number * step * 400):
        pass
    try:
        splice(target, asked[number])
    except CheckpointError as error:
        return str(error)
    return "written"

outcomes = []
for step in range(rounds):
    for path in target.parent.iterdir():
        path.unlink()
    target.write_bytes(original)
    gate, opened = os.pipe()
    ends = []
    for number in (0, 1):
        told, tells = os.pipe()
        if not os.fork():
            os.write(tells, child(number, gate).encode())
            os._exit(0)
        os.close(tells)
        ends.append(told)
    os.write(opened, b"gg")
    said = [os.read(end, 10_000).decode() for end in ends]
    for _ in ends:
        os.wait()
    for descriptor in (gate, opened, *ends):
        os.close(descriptor)
    outcomes.append({
        "said": said,
        "content": target.read_bytes().hex(),
        "backup": backup.read_bytes() == original,
        "files": len(list(target.parent.iterdir())),
    })
json.dump(outcomes, sys.stdout)
"""


def test_two_processes_leave_the_work_of_one_of_them_and_the_original_as_backup(tmp_path):
    folder, expected = tmp_path / "model", []
    folder.mkdir()
    path = saved(folder, trained())
    original = path.read_bytes()
    asked = [{AXES: None, "nnguard": RECORD}, {AXES: [0], "nnguard": RECORD.replace("x", "y")}]
    for changes in asked:
        splice(path, changes, backup=False)
        expected.append(path.read_bytes().hex())
        path.write_bytes(original)
    done = subprocess.run(
        [sys.executable, "-c", RACE, str(path), str(ROUNDS), json.dumps(asked)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    outcomes = json.loads(done.stdout)
    assert len(outcomes) == ROUNDS
    for outcome in outcomes:
        assert "written" in outcome["said"]
        for said in outcome["said"]:
            assert said == "written" or "another nnguard" in said or "changed while" in said
        assert outcome["content"] in expected
        assert (outcome["backup"], outcome["files"]) == (True, 2)
    said = [one for outcome in outcomes for one in outcome["said"]]
    assert any(one != "written" for one in said), "they never met"


#: As a training does that saves all the time: in place, without asking anybody.
TRAINING = """
import sys
from pathlib import Path
target, content = Path(sys.argv[1]), Path(sys.argv[2]).read_bytes()
for _ in range(int(sys.argv[3])):
    with target.open("wb") as file:
        for begin in range(0, len(content), 8192):
            file.write(content[begin:begin + 8192])
print("trained")
"""


def test_beside_a_training_that_saves_all_the_time_the_file_is_the_trainings_or_its_splice(tmp_path):
    folder, source = tmp_path / "model", tmp_path / "source"
    folder.mkdir(), source.mkdir()
    original = saved(source, trained())
    path = folder / original.name
    path.write_bytes(original.read_bytes())
    process = subprocess.Popen(
        [sys.executable, "-c", TRAINING, str(path), str(original), "400"], stdout=subprocess.PIPE, text=True
    )
    while process.poll() is None:
        with contextlib.suppress(CheckpointError):
            splice(path, {AXES: None, "nnguard": RECORD}, backup=False)
    process.communicate()
    assert process.returncode == 0
    assert read_checkpoint(path).declared_axes in ((0, 1), None)
    assert [item.name for item in folder.iterdir()] == [path.name]
    splice(path, {AXES: None, "nnguard": RECORD})
    splice(original, {AXES: None, "nnguard": RECORD}, backup=False)
    assert path.read_bytes() == original.read_bytes()


#: Writes ``nnguard.json`` again and again, by the one way or the other.
WRITER = """
import sys
from pathlib import Path
from nnguard.record import Record
how, folder, text = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
record = Record.from_json(text)
if how == "hook":
    from nnguard.hooks.sidecar import write_copy
    write = lambda: write_copy(folder, record, {})
else:
    from nnguard.models.axes_repair import replace_text
    write = lambda: replace_text(folder / "nnguard.json", text)
for _ in range(600):
    write()
"""


@pytest.mark.parametrize("second", ["hook", "repair"])
def test_the_copy_of_the_record_is_whole_whoever_reads_it(second, tmp_path):
    records = [record_of(written_at=f"2025-01-0{day}T00:00:00Z") for day in (1, 2)]
    path = tmp_path / "nnguard.json"
    path.write_text(records[0].to_json())
    processes = [
        subprocess.Popen([sys.executable, "-c", WRITER, how, str(tmp_path), record.to_json()])
        for how, record in zip(("repair", second), records, strict=True)
    ]
    read = 0
    while any(process.poll() is None for process in processes):
        try:
            text = path.read_bytes()
        except FileNotFoundError:
            continue  # the instant of `write_copy`
        assert Record.from_json(text) in records
        read += 1
    assert [process.returncode for process in processes] == [0, 0]
    assert read > 100
    assert Record.from_json(path.read_bytes()) in records
    assert [item.name for item in tmp_path.iterdir()] == ["nnguard.json"]


def test_two_commands_leave_one_repaired_model_and_its_original(tmp_path):
    command = [sys.executable, "-c", "import sys; from nnguard.cli import main; sys.exit(main())", "repair"]
    for number in range(2):
        folder = save_model(tmp_path / str(number) / "Dataset002/model", (0,), record=record_of(mirrored=()))
        path, copy = (folder / "fold_0" / name for name in ("checkpoint_final.pth", "nnguard.json"))
        copy.write_text(record_of(mirrored=()).to_json())
        original = path.read_bytes()
        both = [
            subprocess.Popen([*command, folder], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            for _ in range(2)
        ]
        told = [process.communicate() for process in both]
        status = sorted(process.returncode for process in both)
        assert status in ([0, 0], [0, 2]), told
        for process, (_, err) in zip(both, told, strict=True):
            assert len(err.splitlines()) == (process.returncode == 2), err
        assert read_checkpoint(path).declared_axes is None
        assert path.with_name(path.name + ".before-nnguard").read_bytes() == original
        assert Record.from_json(copy.read_bytes()).axes.effective is None
        assert len(list(path.parent.iterdir())) == 3
