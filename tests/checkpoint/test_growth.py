"""A file that would grow on reading is answered at once, and in little memory."""

import json
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.support.archives import (
    BYTEORDER,
    ENTRIES,
    ROOT,
    VERSION,
    Piece,
    checkpoint,
    data_pkl,
    encoded,
    encoded_entry,
    pickled,
    text,
    zipped,
)

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads its peak memory from Linux")

MODULUS = 2**61 - 1  # Python hashes whole numbers modulo this

#: Reads a file in a process of its own and tells what came of it, in processor seconds and peak MB.
READ = """
import json, sys, time
from nnguard.checkpoint import exported_checkpoints, read_checkpoint
from nnguard.errors import CheckpointError
begin = time.process_time()
try:
    read_checkpoint(sys.argv[1], member=sys.argv[2] or None)
    answer = "read"
except CheckpointError as error:
    answer = str(error)
seconds = time.process_time() - begin
# Not ru_maxrss: it begins at the size of the process that started this one.
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
json.dump([answer, seconds, int(peak.split()[1]) / 1024], sys.stdout)
"""

AUDIT = """
import json, sys, time
from nnguard.models.audit import audit_folder
begin = time.process_time()
audited = audit_folder(sys.argv[1])
seconds = time.process_time() - begin
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
json.dump([[error for one in audited for error in one.errors], seconds, int(peak.split()[1]) / 1024], sys.stdout)
"""


def _long(value: int) -> bytes:
    raw = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(raw)]) + raw


def _doubling(first: bytes, twice: bytes, levels: int = 30) -> bytes:
    """A container of two references to a container of two references..., each built, stored and dropped."""
    steps = [first + b"q\x01" + b"0"]
    for n in range(1, levels):
        steps.append(twice.replace(b"?", b"h" + bytes([n])) + b"q" + bytes([n + 1]) + b"0")
    return b"".join(steps) + b"h" + bytes([levels])


NOTE = text("note")
SIZES = struct.pack("<Q", 1 << 62)
PICKLES = {
    "a memo number of four bytes": b"\x80\x02}r\xff\xff\xff\xff.",
    "a memo number in decimals": b"\x80\x02}p99999999999999\n.",
    "a text of 4 GB": pickled(inside=NOTE + b"X\xff\xff\xff\xff"),
    "a text of 4 EB": pickled(inside=NOTE + b"\x8d" + SIZES, protocol=4),
    "bytes of 4 EB": pickled(inside=NOTE + b"\x8e" + SIZES, protocol=4),
    "a bytearray of 4 EB": pickled(inside=NOTE + b"\x96" + SIZES, protocol=5),
    "a frame of 4 EB": b"\x80\x04\x95" + SIZES + b"}.",
    "a number of 2 GB": pickled(inside=NOTE + b"\x8b\xff\xff\xff\x7f"),
    "a number of 60,000 bytes": pickled(inside=NOTE + b"\x8b" + struct.pack("<i", 60_000) + b"\x7f" * 60_000),
    "a number of a million digits": pickled(inside=NOTE + b"I" + b"9" * 1_000_000 + b"\n"),
    "a hundred thousand marks": pickled(inside=NOTE + b"(" * 100_000),
    "a million nested tuples": pickled(inside=NOTE + b")" + b"\x85" * 1_000_000),
    "lists nested 900 deep": pickled(after=text("init_args") + b"}" + text("plans") + b"](" * 900 + b"e" * 900 + b"ss"),
    "a list in itself": pickled(after=text("init_args") + b"}" + text("plans") + b"]q\x01h\x01ass"),
    "a dict in itself": pickled(after=text("init_args") + b"}q\x01" + text("plans") + b"h\x01ss"),
    "references that double": pickled(
        after=text("init_args") + b"}" + text("plans") + _doubling(b"](NNe", b"](??e") + b"ss"
    ),
    "a million dicts": pickled(inside=NOTE + b"]" + b"(" + b"}" * 1_000_000 + b"e"),
    "a million sets": pickled(inside=NOTE + b"](" + b"\x8f" * 1_000_000 + b"e", protocol=4),
    "a million memo entries": pickled(inside=NOTE + b"N" + b"\x94" * 1_000_000, protocol=4),
    "20,000 colliding numbers": pickled(
        inside=NOTE + b"}(" + b"".join(_long(n * MODULUS) + b"N" for n in range(1, 20_000)) + b"u"
    ),
    "20,000 numbers that collide in a small table": pickled(
        inside=NOTE + b"}(" + b"".join(_long(n << 44) + b"N" for n in range(20_000)) + b"u"
    ),
    "20,000 colliding floats": pickled(
        inside=NOTE + b"}(" + b"".join(encoded(float(n) * 2.0**60) + b"N" for n in range(20_000)) + b"u"
    ),
    "20,000 tuples as keys": pickled(
        inside=NOTE + b"}(" + b"".join(encoded((n, -n)) + b"N" for n in range(20_000)) + b"u"
    ),
    "20,000 colliding members of a set": pickled(
        inside=NOTE + b"\x8f(" + b"".join(_long(n * MODULUS) for n in range(1, 20_000)) + b"\x90", protocol=4
    ),
    "tuples that double as a key": pickled(inside=NOTE + b"}" + _doubling(b")", b"??\x86") + b"Ns"),
    "a record of 16 MB nested": pickled(after=encoded_entry("nnguard", "[" * (4 << 20))),
}  # fmt: skip
FILES = {
    "data.pkl deflated from 1 GB": lambda: zipped(
        [data_pkl(b"", method=8, central={"size": 1 << 30}), BYTEORDER, VERSION]
    ),
    "data.pkl of 4 GB": lambda: zipped(
        [data_pkl(pickled(), central={"size": 0xFFFFFFFE, "packed": 0xFFFFFFFE}), VERSION]
    ),
    "a directory of 4 GB": lambda: checkpoint(end={"size": 0xFFFFFFFE}),
    "a directory of 65,534 members": lambda: checkpoint(end={"count": 65534, "here": 65534}),
    "members that share their bytes": lambda: zipped(
        [data_pkl(pickled()), VERSION]
        + [Piece(f"{ROOT}data/{n}", b"", central={"offset": 0, "size": 400, "packed": 400}) for n in range(20_000)]
    ),
    "pages of end records": lambda: checkpoint(suffix=b"PK\x05\x06" * 100_000),
}


def answer(path, member=""):
    done = subprocess.run([sys.executable, "-c", READ, str(path), member], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", [*PICKLES, *FILES])
def test_growth_is_answered_within_a_second_and_64_mb(name, tmp_path):
    path = tmp_path / "bomb.pth"
    path.write_bytes(checkpoint(PICKLES[name]) if name in PICKLES else FILES[name]())
    text, seconds, megabytes = answer(path)
    assert seconds <= 1.0, text
    assert megabytes <= 64, text


@pytest.mark.parametrize(
    "name",
    [
        "a memo number of four bytes", "a text of 4 GB", "a hundred thousand marks", "a million nested tuples",
        "a million dicts", "references that double", "a list in itself", "20,000 colliding numbers",
        "20,000 tuples as keys", "data.pkl deflated from 1 GB", "a directory of 4 GB",
    ],
)  # fmt: skip
def test_growth_is_refused_and_not_merely_survived(name, tmp_path):
    path = tmp_path / "bomb.pth"
    path.write_bytes(checkpoint(PICKLES[name]) if name in PICKLES else FILES[name]())
    assert answer(path)[0] != "read"


def test_a_deflated_member_that_explodes_is_refused(tmp_path):
    path = tmp_path / "model.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("m/fold_0/a.pth", "w") as member:
        member.write(checkpoint())
        for _ in range(200):
            member.write(bytes(1 << 20))
    text, seconds, megabytes = answer(path, "m/fold_0/a.pth")
    assert "unpacked" in text
    assert seconds <= 1.0
    assert megabytes <= 64


def test_an_exported_zip_that_explodes_is_answered_within_a_second_and_64_mb(tmp_path):
    """Plans, checkpoints each within bounds, and names without end."""
    zeros = bytes(1 << 20)
    bombs = {
        "plans": {"m/fold_0/checkpoint_final.pth": 1, "m/plans.json": 20},
        "one checkpoint": {"m/fold_0/checkpoint_final.pth": 63},
        "many checkpoints": {f"m/fold_{number}/checkpoint_final.pth": 1 for number in range(100)},
        "many files": {f"m/{number}.txt": 0 for number in range(10_000)},
    }
    for name, members in bombs.items():
        path = tmp_path / f"{name}.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for member, size in members.items():
                with archive.open(member, "w") as file:
                    for _ in range(size):
                        file.write(zeros)
        done = subprocess.run([sys.executable, "-c", AUDIT, str(path)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        said, seconds, megabytes = json.loads(done.stdout)
        assert bool(said) == (name != "many files"), said
        assert seconds <= 1.0, name
        assert megabytes <= 64, name


def test_a_long_training_is_no_bomb(tmp_path):
    """1,000 epochs of 20 classes, and a data set of 2,000 cases: large, and in proportion."""
    entries = {
        **ENTRIES,
        "logging": {"dice_per_class_or_region": [[0.1 * k for k in range(20)] for _ in range(1_000)]},
        "init_args": {"dataset_json": {"training": [{"image": f"./imagesTr/{n}.nii.gz"} for n in range(2_000)]}},
    }
    path = tmp_path / "long.pth"
    path.write_bytes(checkpoint(pickled(entries)))
    text, _, megabytes = answer(path)
    assert text == "read"
    assert megabytes <= 64
