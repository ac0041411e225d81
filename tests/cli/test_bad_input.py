"""Every command answers bad input with one line on stderr and exit status 2, and writes nothing."""

import io
import os
import pickle
import tarfile

import pytest
import torch

from tests.support.checkpoints import checkpoint_dict, save_checkpoint

COMMANDS = {
    "inspect": ["inspect", "{path}"],
    "compare": ["compare", "{path}", "{path}"],
    "repair": ["repair", "{path}"],
    "repair --state": ["repair", "{path}", "--state", "0,1"],
    "check": ["check", "{folder}"],
    "audit": ["audit", "{folder}"],
}
#: These open a checkpoint by itself; the others find it in its model folder.
ON_FILES = ("inspect", "compare", "repair", "repair --state")


def empty(path):
    path.write_bytes(b"")


def truncated(path):
    save_checkpoint(path)
    path.write_bytes(path.read_bytes()[:-300])


def lfs_pointer(path):
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n")


def legacy(path):
    torch.save(checkpoint_dict(), path, _use_new_zipfile_serialization=False)


def version_1(path):
    path.write_bytes(pickle.dumps({"state_dict": {}, "epoch": 1}))


def tar(path):
    with tarfile.open(path, "w") as archive:
        archive.addfile(tarfile.TarInfo("a"), io.BytesIO())


def seven_zip(path):
    path.write_bytes(b"7z\xbc\xaf\x27\x1c" + bytes(60))


def noise(path):
    path.write_bytes(bytes(range(256)) * 8)


def pipe(path):
    os.mkfifo(path)


def unreadable(path):
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    save_checkpoint(path)
    path.chmod(0)


BAD_FILES = [empty, truncated, lfs_pointer, legacy, version_1, tar, seven_zip, noise, pipe, unreadable]


@pytest.fixture
def place(tmp_path):
    """Where the bad file goes: into an otherwise good model folder."""
    from tests.support.checkpoints import save_model

    folder = save_model(tmp_path / "Dataset002_Discs/nnUNetTrainer__nnUNetPlans__2d", ())
    (folder / "fold_0").mkdir()
    return folder / "fold_0/checkpoint_final.pth"


def files_below(folder):
    return sorted(path for path in folder.rglob("*"))


@pytest.mark.parametrize("make", BAD_FILES, ids=lambda make: make.__name__)
@pytest.mark.parametrize("command", ON_FILES)
def test_a_bad_file_is_one_line_and_exit_2(nnguard, place, command, make):
    make(place)
    there = files_below(place.parent)
    done = nnguard(*(part.format(path=place) for part in COMMANDS[command]))
    assert done.status == 2
    assert done.out == ""
    assert done.err.startswith("nnguard: ")
    assert len(done.err.splitlines()) == 1
    assert place.name in done.err
    assert files_below(place.parent) == there


@pytest.mark.parametrize("make", [make for make in BAD_FILES if make is not pipe], ids=lambda make: make.__name__)
@pytest.mark.parametrize("command", ["check", "audit"])
def test_a_bad_checkpoint_in_a_model_folder_is_no_pass(nnguard, place, command, make):
    make(place)
    there = files_below(place.parent)
    done = nnguard(command, place.parents[1], *(("-f", "0") if command == "check" else ()))
    assert done.status == 2
    assert place.name in done.out + done.err
    assert files_below(place.parent) == there


@pytest.mark.parametrize("command", COMMANDS)
def test_a_missing_path_is_one_line_and_exit_2(nnguard, tmp_path, command):
    nowhere = tmp_path / "nowhere"
    done = nnguard(*(part.format(path=nowhere, folder=nowhere) for part in COMMANDS[command]))
    assert (done.status, done.out, len(done.err.splitlines())) == (2, "", 1)
    assert "nowhere" in done.err


@pytest.mark.parametrize("command", COMMANDS)
def test_an_empty_folder_is_one_line_and_exit_2(nnguard, tmp_path, command):
    done = nnguard(*(part.format(path=tmp_path, folder=tmp_path) for part in COMMANDS[command]))
    assert (done.status, done.out, len(done.err.splitlines())) == (2, "", 1)


@pytest.mark.parametrize("command", ["check", "audit"])
def test_a_file_is_no_folder(nnguard, tmp_path, command):
    file = tmp_path / "file"
    file.write_text("")
    done = nnguard(command, file)
    assert (done.status, done.out, len(done.err.splitlines())) == (2, "", 1)


def test_control_characters_of_a_path_are_shown_and_not_sent(nnguard, tmp_path):
    done = nnguard("inspect", tmp_path / "\x1b[2J\n::error::x.pth")
    assert "\x1b" not in done.err
    assert len(done.err.splitlines()) == 1
    assert r"\x1b" in done.err


EMPTY = {
    **{name: ["" if part.startswith("{") else part for part in parts] for name, parts in COMMANDS.items()},
    "compare, second": ["compare", ".", ""],
    "fliptest": ["fliptest", "", "-i", "."],
    "fliptest -i": ["fliptest", ".", "-i", ""],
    "fliptest -o": ["fliptest", ".", "-i", ".", "-o", ""],
    "audit --list": ["audit", "--list", ""],
    "audit -o": ["audit", ".", "-o", ""],
    "repair --from-fliptest": ["repair", ".", "--from-fliptest", ""],
    "preflight --picture": ["preflight", "1", "2d", "0", "--picture", ""],
    "demo --keep": ["demo", "--keep", ""],
    "check -chk": ["check", ".", "-chk", ""],
}


@pytest.mark.parametrize("arguments", EMPTY.values(), ids=EMPTY)
def test_an_empty_path_is_not_the_folder_that_one_is_in(nnguard, sound, monkeypatch, arguments):
    monkeypatch.chdir(sound)
    there = files_below(sound)
    done = nnguard(*arguments)
    assert (done.status, done.out, len(done.err.splitlines())) == (2, "", 1)
    assert " is empty" in done.err
    assert files_below(sound) == there


@pytest.mark.parametrize("command", ["inspect", "check", "repair", "audit", "compare"])
def test_a_dot_is_the_folder_that_one_is_in(nnguard, sound, monkeypatch, command):
    monkeypatch.chdir(sound)
    assert nnguard(command, ".").status == 0


@pytest.mark.parametrize("command", [name for name in COMMANDS if name not in ("inspect", "check", "audit")])
def test_a_url_is_named_as_one_by_commands_that_need_a_file(nnguard, command):
    done = nnguard(*(part.format(path="s3://bucket/a.pth", folder="s3://bucket/a") for part in COMMANDS[command]))
    assert (done.status, done.out, len(done.err.splitlines())) == (2, "", 1)
    assert "is a URL" in done.err
    assert "nnguard check reads URLs" in done.err


def test_a_folder_with_the_name_of_a_url_is_a_folder(nnguard, sound, monkeypatch):
    (sound.parent / "s3:").mkdir()
    sound.rename(sound.parent / "s3:/model")
    monkeypatch.chdir(sound.parent)
    assert nnguard("check", "s3://model").status == 0


@pytest.mark.parametrize("text", ['{"a": 1}', "[]", "{", "\x00", '{"schema": 99}'])
def test_json_that_is_no_record_is_said_to_be_none(nnguard, tmp_path, text):
    path = tmp_path / "plans.json"
    path.write_text(text)
    for command in (["inspect", path], ["compare", path, path]):
        done = nnguard(*command)
        assert (done.status, done.out, len(done.err.splitlines())) == (2, "", 1)
        assert "plans.json: no record, as nnguard.json holds one" in done.err
