"""A splice changes what it was asked to change; the weights, the layout and the old file survive whatever happens."""

import errno
import fcntl
import io
import json
import os
import pickle
import random
import resource
import struct
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import pytest
import torch

from nnguard.checkpoint import layout, read_checkpoint, replacement, splice
from nnguard.checkpoint.archive import read_directory
from nnguard.checkpoint.sources import opened
from nnguard.errors import CheckpointError
from tests.checkpoint.trainings import AXES, RECORD, saved, trained
from tests.support.agreement import loaded, same
from tests.support.archives import ROOT, VERSION, Piece, checkpoint, data_pkl, encoded, pickled, zipped

CHANGES = {AXES: None, "nnguard": RECORD}


def identical(one, other):
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return list(one) == list(other) and all(identical(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return type(one) is type(other) and len(one) == len(other) and all(map(identical, one, other))
    return same(one, other) or one == other


def member(name, size, crc):
    """A member as a zip directory names it."""
    info = zipfile.ZipInfo(name)
    info.file_size, info.compress_size, info.CRC = size, size, crc
    return info


def without(content, *keys):
    return {key: value for key, value in content.items() if key not in keys}


def folder_state(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# -- what comes out -----------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_changed_keys_change_and_everything_else_is_identical(protocol, tmp_path, monkeypatch):
    path = saved(tmp_path, trained(), pickle_protocol=protocol)
    before = loaded(path)
    result = splice(path, CHANGES)
    assert result.changed
    assert result.before == {AXES: (0, 1)}
    assert result.after == CHANGES
    assert result.size_after == path.stat().st_size
    # PyTorch then compares the offsets that it computes with those that it finds.
    monkeypatch.setenv("TORCH_SERIALIZATION_DEBUG", "1")
    for how in ({}, {"mmap": True}):
        after = torch.load(path, weights_only=False, map_location="cpu", **how)
        assert (after[AXES], after["nnguard"]) == (None, RECORD)
        assert identical(without(before, AXES), without(after, AXES, "nnguard"))
    ours = read_checkpoint(path)
    assert (ours.declared_axes, ours.record_text) == (None, RECORD)


def test_computed_storage_offsets_are_right(tmp_path):
    config = pytest.importorskip("torch.utils.serialization.config")
    path = saved(tmp_path, trained())
    before = loaded(path)
    splice(path, CHANGES)
    with config.patch({"load.calculate_storage_offsets": True}):
        after = torch.load(path, weights_only=False, map_location="cpu", mmap=True)
    assert identical(before["network_weights"], after["network_weights"])


def test_weights_only_loading_still_works(tmp_path):
    content = without(trained(), "logging", "_best_ema", "init_args")
    path = saved(tmp_path, content)
    splice(path, {AXES: (0,), "nnguard": RECORD, "note": [1, 0.5, True, {"a": (1,)}]})
    after = torch.load(path, weights_only=True)
    assert after[AXES] == (0,)
    assert after["note"] == [1, 0.5, True, {"a": (1,)}]


@pytest.mark.parametrize("protocol", [4, 5])
def test_frames_stay_right_for_pythons_own_unpickler(protocol, tmp_path):
    class Unpickler(pickle._Unpickler):
        def persistent_load(self, saved_id):
            return "storage"

        def find_class(self, module, name):
            return lambda *arguments: None

    path = tmp_path / "a.pth"
    torch.save({"trainer_name": "T", AXES: (0, 1), "long": "x" * 100_000, "more": list(range(300))}, path,
               pickle_protocol=protocol)  # fmt: skip
    splice(path, CHANGES)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert Unpickler(io.BytesIO(archive.read("a/data.pkl"))).load()[AXES] is None


def test_the_layout_is_pytorchs_own_byte_for_byte(tmp_path):
    path = saved(tmp_path, trained())
    with opened(str(path)) as source:
        directory = read_directory(source)
        placed = layout.place(directory.members.values(), 64)
        written = io.BytesIO()
        origins = {item.info.filename: item.data for item in placed}
        layout.write(placed, lambda info: [source.read(origins[info.filename], info.file_size)], written.write)
    assert written.getvalue() == path.read_bytes()


@pytest.mark.parametrize(("size", "offset"), [(0, 0), (300, 2**32 - 2), (300, 2**32 - 1), (300, 2**32), (2**32, 5)])
def test_offsets_and_sizes_beyond_4_gib_are_what_pytorch_computes(size, offset):
    reader = torch._C.PyTorchFileReader(io.BytesIO(checkpoint()))
    item = layout.Placed(member("archive/data/0", size, 1), offset, 64)
    assert item.data == reader.get_record_offset_no_read(offset, "data/0", size, 64)
    wide = size >= 0xFFFFFFFF or offset >= 0xFFFFFFFF
    assert len(item.trailer) == (0 if not size else 24 if wide else 16)


def test_an_archive_of_another_writer_is_laid_out_anew(tmp_path):
    path = tmp_path / "a.pth"
    path.write_bytes(zipped([VERSION, Piece(ROOT + "data/0", b"abcd"), data_pkl(pickled())]))
    splice(path, CHANGES)
    assert loaded(path)[AXES] is None
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.read(ROOT + "data/0") == b"abcd"


@pytest.mark.parametrize("alignment", [64, 256])
def test_pytorchs_alignment_is_kept(alignment, tmp_path):
    config = pytest.importorskip("torch.utils.serialization.config")
    with config.patch({"save.storage_alignment": alignment}):
        path = saved(tmp_path, trained())
    splice(path, CHANGES)
    with opened(str(path)) as source:
        directory = read_directory(source)
        placed = layout.place(directory.members.values(), alignment)
    assert [item.offset for item in placed] == [info.header_offset for info in directory.members.values()]
    assert all(item.data % alignment == 0 for item in placed)


# -- doing it twice -----------------------------------------------------------------------------------


def test_the_same_splice_twice_changes_nothing(tmp_path):
    path = saved(tmp_path, trained())
    splice(path, CHANGES)
    state, times = folder_state(tmp_path), path.stat()
    again = splice(path, CHANGES)
    assert not again.changed
    assert again.after == {}
    assert folder_state(tmp_path) == state
    assert path.stat().st_mtime_ns == times.st_mtime_ns
    assert path.stat().st_ino == times.st_ino


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_hundred_splices_do_not_grow_the_file(protocol, tmp_path):
    path = saved(tmp_path, trained(), pickle_protocol=protocol)
    sizes = set()
    for n in range(20):
        splice(path, {AXES: (n % 3,), "nnguard": RECORD[:-10] + str(n % 10)}, backup=False)
        sizes.add(path.stat().st_size)
    assert len(sizes) == 1
    assert loaded(path)[AXES] == (19 % 3,)


def test_an_earlier_splice_of_another_key_is_kept(tmp_path):
    path = saved(tmp_path, trained())
    splice(path, {"nnguard": RECORD})
    splice(path, {AXES: (1,)})
    assert read_checkpoint(path).record_text == RECORD
    assert loaded(path)["nnguard"] == RECORD


def test_equal_values_of_other_types_are_changes(tmp_path):
    path = saved(tmp_path, trained(**{AXES: (0, 1)}))
    assert splice(path, {AXES: [0, 1]}).changed
    assert loaded(path)[AXES] == [0, 1]
    assert splice(path, {"current_epoch": True}).changed


@pytest.mark.parametrize(
    "tail", [encoded("a") + b"q\x01" + b"Ns" + encoded("b") + b"h\x01s", b"(" + encoded("a") + b"Nu"]
)
def test_tails_of_others_are_not_cut(tail, tmp_path):
    """A last entry that fills the memo, or that was set among others, is no splice of ours."""
    path = tmp_path / "a.pth"
    path.write_bytes(checkpoint(pickled(after=tail)))
    before = loaded(path)
    splice(path, CHANGES, backup=False)
    assert without(loaded(path), AXES, "nnguard") == without(before, AXES, "nnguard")
    assert list(read_checkpoint(path).keys) == list(loaded(path))


# -- the old file -------------------------------------------------------------------------------------


def test_backup_is_the_first_file_and_is_never_overwritten(tmp_path):
    path = saved(tmp_path, trained())
    original = path.read_bytes()
    result = splice(path, CHANGES)
    backup = tmp_path / "checkpoint_final.pth.before-nnguard"
    assert result.backup == str(backup)
    assert backup.read_bytes() == original
    splice(path, {AXES: (1,)})
    assert backup.read_bytes() == original


def test_no_backup_where_none_is_wanted(tmp_path):
    path = saved(tmp_path, trained())
    assert splice(path, CHANGES, backup=False).backup is None
    assert [item.name for item in tmp_path.iterdir()] == ["checkpoint_final.pth"]


def test_backup_without_hard_links_is_a_copy(tmp_path, monkeypatch):
    def no_links(*_):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    path = saved(tmp_path, trained())
    original = path.read_bytes()
    splice(path, CHANGES)
    assert (tmp_path / "checkpoint_final.pth.before-nnguard").read_bytes() == original
    assert sorted(item.name for item in tmp_path.iterdir()) == [
        "checkpoint_final.pth", "checkpoint_final.pth.before-nnguard"
    ]  # fmt: skip


def test_dry_run_says_it_all_and_writes_nothing(tmp_path):
    path = saved(tmp_path, trained())
    state = folder_state(tmp_path)
    planned = splice(path, CHANGES, dry_run=True)
    assert folder_state(tmp_path) == state
    done = splice(path, CHANGES)
    assert (planned.before, planned.after, planned.size_after) == (done.before, done.after, done.size_after)


def test_mode_is_kept(tmp_path):
    path = saved(tmp_path, trained())
    path.chmod(0o640)
    splice(path, CHANGES)
    assert path.stat().st_mode & 0o777 == 0o640


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_owner_and_group_are_kept(tmp_path):
    path = saved(tmp_path, trained())
    os.chown(path, 1234, 5678)
    splice(path, CHANGES)
    assert (path.stat().st_uid, path.stat().st_gid) == (1234, 5678)


def test_a_symbolic_link_is_written_through_and_stays(tmp_path):
    (tmp_path / "store").mkdir()
    path = saved(tmp_path / "store", trained())
    link = tmp_path / "link.pth"
    link.symlink_to(Path("store") / path.name)
    assert splice(link, CHANGES).backup == str(path) + ".before-nnguard"
    assert link.is_symlink()
    assert loaded(path)[AXES] is None


def refused(path, says, **how):
    state = folder_state(path.parent)
    with pytest.raises(CheckpointError, match=says) as caught:
        splice(path, CHANGES, **how)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(path))
    assert folder_state(path.parent) == state


def test_hard_links_are_refused(tmp_path):
    path = saved(tmp_path, trained())
    os.link(path, tmp_path / "other.pth")
    refused(path, "hard links")
    refused(path, "hard links", dry_run=True)


def test_the_backups_own_link_is_no_obstacle(tmp_path):
    """A run that was killed between backup and replacement leaves two names for one file."""
    path = saved(tmp_path, trained())
    os.link(path, replacement.backup_of(path))
    assert splice(path, CHANGES).changed


def test_a_disk_that_fills_up_on_the_way_leaves_the_old_file(tmp_path):
    path = saved(tmp_path, trained())
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        refused(path, "cannot be rewritten.*as it was")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_read_only_folder_is_refused(unprivileged):
    path = unprivileged / "a.pth"
    path.write_bytes(checkpoint())
    unprivileged.chmod(0o555)
    refused(path, "folder .* write-protected")


def test_a_write_protected_file_is_refused(unprivileged):
    path = unprivileged / "a.pth"
    path.write_bytes(checkpoint())
    path.chmod(0o444)
    refused(path, "write-protected")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make a file of somebody else")
def test_another_users_file_is_refused(unprivileged):
    path = unprivileged / "a.pth"
    path.write_bytes(checkpoint())
    path.chmod(0o666)
    os.seteuid(0)
    os.chown(path, 1234, 5678)
    os.seteuid(65534)
    refused(path, "another user")


def test_a_file_that_changes_meanwhile_is_left_alone(tmp_path, monkeypatch):
    path = saved(tmp_path, trained())
    keep = replacement._keep_owner_and_mode

    def trained_on(*arguments):
        keep(*arguments)
        path.write_bytes(checkpoint())

    monkeypatch.setattr(replacement, "_keep_owner_and_mode", trained_on)
    with pytest.raises(CheckpointError, match="changed while"):
        splice(path, CHANGES)
    assert path.read_bytes() == checkpoint()
    assert [item.name for item in tmp_path.iterdir()] == ["checkpoint_final.pth"]


def in_place(path, data):
    path.write_bytes(data)


def by_renaming(path, data):
    other = path.with_name("other")
    other.write_bytes(data)
    other.replace(path)


def gone(path, data):
    path.unlink()


@pytest.mark.parametrize("saves", [in_place, by_renaming, gone])
@pytest.mark.parametrize("links", [True, False])
def test_a_training_that_saves_while_the_backup_is_made_keeps_its_file(saves, links, tmp_path, monkeypatch):
    path = saved(tmp_path, trained())
    back_up = replacement._back_up

    def trained_on(*arguments):
        made = back_up(*arguments)
        saves(path, checkpoint())
        return made

    def no_links(*_):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(replacement, "_back_up", trained_on)
    if not links:
        monkeypatch.setattr(os, "link", no_links)
    with pytest.raises(CheckpointError, match=r"changed while|cannot be rewritten"):
        splice(path, CHANGES)
    assert folder_state(tmp_path) == ({} if saves is gone else {"checkpoint_final.pth": checkpoint()})


def test_an_earlier_backup_survives_a_refusal(tmp_path, monkeypatch):
    path = saved(tmp_path, trained())
    original = path.read_bytes()
    splice(path, CHANGES)
    back_up = replacement._back_up

    def trained_on(*arguments):
        made = back_up(*arguments)
        path.write_bytes(checkpoint())
        return made

    monkeypatch.setattr(replacement, "_back_up", trained_on)
    with pytest.raises(CheckpointError, match="changed while"):
        splice(path, {AXES: (1,)})
    assert replacement.backup_of(path).read_bytes() == original


def test_what_was_written_wrongly_is_not_put_in_place(tmp_path, monkeypatch):
    path = saved(tmp_path, trained())
    original = path.read_bytes()
    keep = replacement._keep_owner_and_mode

    def damaged(descriptor, *arguments):
        os.pwrite(descriptor, b"\xff", path.stat().st_size // 2)
        keep(descriptor, *arguments)

    monkeypatch.setattr(replacement, "_keep_owner_and_mode", damaged)
    with pytest.raises(CheckpointError):
        splice(path, CHANGES)
    assert folder_state(tmp_path) == {"checkpoint_final.pth": original}


def test_leftovers_of_a_killed_run_are_used_again(tmp_path):
    path = saved(tmp_path, trained())
    part = tmp_path / "checkpoint_final.pth.nnguard-part"
    part.write_bytes(bytes(10_000_000))
    splice(path, CHANGES)
    assert not part.exists()
    assert loaded(path)[AXES] is None


def test_two_at_once_are_one_and_a_refusal(tmp_path):
    path = saved(tmp_path, trained())
    part = tmp_path / "checkpoint_final.pth.nnguard-part"
    with part.open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        refused(path, "another nnguard")
    splice(path, CHANGES)


def test_a_trap_in_the_temporary_files_place_is_not_written_through(tmp_path):
    path = saved(tmp_path, trained())
    (tmp_path / "precious").write_bytes(b"precious")
    part = tmp_path / "checkpoint_final.pth.nnguard-part"
    os.link(tmp_path / "precious", part)
    refused(path, "in the way")
    part.unlink()
    part.symlink_to("precious")
    refused(path, "cannot be rewritten")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (zipped([data_pkl(pickled()), Piece(ROOT + "data/0", bytes(99), method=8), VERSION]), "compressed"),
        (zipped([data_pkl(pickled()), Piece(ROOT + "x", b"", central={"offset": 0}), VERSION]), "header|shares"),
        (checkpoint(None, Piece(ROOT + ".storage_alignment", b"0")), "alignment"),
        (checkpoint(b"\x80\x02]."), "no dictionary"),
        (b"", "empty"),
    ],
)
def test_what_cannot_be_spliced_is_one_line(data, says, tmp_path):
    path = tmp_path / "a.pth"
    path.write_bytes(data)
    refused(path, says)


def test_a_missing_path_and_a_value_that_is_not_plain(tmp_path):
    with pytest.raises(CheckpointError, match="no such file"):
        splice(tmp_path / "nothing.pth", CHANGES)
    with pytest.raises(TypeError, match="no plain value"):
        splice(saved(tmp_path, trained()), {AXES: torch.zeros(1)})


# -- beyond 4 GiB -------------------------------------------------------------------------------------


def sparse_checkpoint(path, size):
    """A checkpoint with one tensor of ``size`` zero bytes, laid out as PyTorch does, most of it a hole."""
    storage = (
        b"ctorch._utils\n_rebuild_tensor_v2\n((X\7\0\0\0storagectorch\nByteStorage\nX\1\0\0\0?X\3\0\0\0cpu\x8a\5"
        + struct.pack("<Q", size)[:5] + b"tQK\0\x8a\5" + struct.pack("<Q", size)[:5] + b"\x85K\1\x85\x89}tR"
    )  # fmt: skip
    inside = b"X\5\0\0\0large" + storage.replace(b"?", b"0")
    small = b"X\5\0\0\0small" + storage.replace(b"?", b"1").replace(
        struct.pack("<Q", size)[:5], struct.pack("<Q", 4)[:5]
    )
    data = pickled(inside=inside + small)
    contents = {"data.pkl": data, "byteorder": b"little", "data/0": None, "data/1": b"abcd", "version": b"3\n"}
    members = []
    for name, content in contents.items():
        length = size if content is None else len(content)
        crc = 0 if content is None else zipfile.crc32(content)
        members.append(member(ROOT + name, length, crc))
    placed = layout.place(members, 64)
    with path.open("wb") as file:
        for item in placed:
            file.write(item.header)
            content = contents[item.info.filename[len(ROOT) :]]
            if content is None:
                file.seek(size, os.SEEK_CUR)
            else:
                file.write(content)
            file.write(item.trailer)
        file.write(layout.directory(placed))
    return placed


@pytest.mark.slow
@pytest.mark.parametrize("size", [(1 << 32) + 12345, (1 << 32) - 4096])
def test_files_beyond_4_gib_and_files_that_come_to_cross_it(size, tmp_path, monkeypatch):
    path = tmp_path / "large.pth"
    placed = sparse_checkpoint(path, size)
    crosses = size < 1 << 32
    assert (placed[3].offset < 0xFFFFFFFF) == crosses
    splice(path, CHANGES, backup=False)
    with opened(str(path)) as source:
        assert read_directory(source).members[ROOT + "data/1"].header_offset > 0xFFFFFFFF
    monkeypatch.setenv("TORCH_SERIALIZATION_DEBUG", "1")
    after = torch.load(path, weights_only=False, mmap=True)
    assert after[AXES] is None
    assert after["large"].numel() == size
    assert bytes(after["small"].tolist()) == b"abcd"
    with zipfile.ZipFile(path) as archive:
        assert archive.read(ROOT + "data/1") == b"abcd"
    assert read_checkpoint(path).record_text == RECORD
    assert path.stat().st_blocks * 512 < 100 << 20


# -- kill -9 ------------------------------------------------------------------------------------------

#: Splices in a child that kills itself at the n-th call of a C function; every write, link and rename is one.
KILL = """
import json, os, signal, sys
from pathlib import Path
from nnguard.checkpoint import splice
import nnguard.checkpoint.writer, shutil, fcntl
folder, source, changes = Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])
original = source.read_bytes()
target = folder / "checkpoint_final.pth"

def fresh():
    for item in folder.iterdir():
        item.unlink()
    target.write_bytes(original)

def run(last):
    seen = 0
    def count(frame, event, argument):
        nonlocal seen
        if event in ("c_call", "c_return"):
            seen += 1
            if seen == last:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.setprofile(count)
    splice(target, changes)
    sys.setprofile(None)
    return seen

fresh()
run(None)  # the first time some more are called, which import and fill caches
fresh()
points = run(None)
expected = target.read_bytes()
outcome = {"points": points, "old": 0, "new": 0, "wrong": []}
import random
for point in sorted(random.Random(int(sys.argv[5])).sample(range(1, points), min(int(sys.argv[4]), points - 1))):
    fresh()
    child = os.fork()
    if not child:
        run(point)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    backup = target.with_name(target.name + ".before-nnguard")
    content = target.read_bytes()
    killed = os.WIFSIGNALED(status)
    sound = content == original or (content == expected and backup.exists())
    if not killed or not sound or (backup.exists() and backup.read_bytes() != original):
        outcome["wrong"].append(point)
    outcome["old" if content == original else "new"] += 1
    splice(target, changes)
    if target.read_bytes() != expected or backup.read_bytes() != original or len(list(folder.iterdir())) != 2:
        outcome["wrong"].append(-point)
json.dump(outcome, sys.stdout)
"""


def killed_at(tmp_path, points):
    folder = tmp_path / "work"
    folder.mkdir()
    path = saved(tmp_path, trained())
    seed = random.randrange(1 << 30)
    arguments = [str(folder), str(path), json.dumps({AXES: None, "nnguard": RECORD}), str(points), str(seed)]
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(KILL), *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout)
    assert outcome["wrong"] == [], f"seed {seed}"
    return outcome


def test_killed_at_some_points_the_file_is_old_or_new_and_whole(tmp_path):
    killed_at(tmp_path, 25)


@pytest.mark.slow
def test_killed_at_200_random_points_the_file_is_old_or_new_and_whole(tmp_path):
    outcome = killed_at(tmp_path, 200)
    assert outcome["old"] + outcome["new"] == 200
