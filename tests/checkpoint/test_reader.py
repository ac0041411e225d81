"""What the reader returns is what PyTorch loads, for every protocol, source and form that torch.save has."""

import io
import os
import random
import re
import socket
import struct
import subprocess
import sys
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nnguard.checkpoint import Opaque, exported_checkpoints, pickle_reader, read_checkpoint
from nnguard.checkpoint.pickle_reader import read_pickle
from nnguard.errors import CheckpointError
from tests.checkpoint.trainings import AXES, saved, trained
from tests.support.agreement import assert_agrees, loaded, same
from tests.support.archives import (
    BYTEORDER,
    ENTRIES,
    ROOT,
    TENSOR,
    VERSION,
    Piece,
    call,
    checkpoint,
    data_pkl,
    encoded,
    encoded_entry,
    pickled,
    text,
    zipped,
)
from tests.support.records import record_of


def long_trained(epochs=100):
    """So long that numpy's globals stand beyond the memo's first 256 places, as in every real training."""
    chance = np.random.default_rng(0)
    logging = {
        name: list(chance.standard_normal(epochs).astype(kind))
        for name, kind in {"a": np.float32, "b": np.float64, "c": np.float16, "d": np.int64, "e": np.bool_}.items()
    }
    return {"before": {str(n): [n] for n in range(300)}, **trained(logging=logging)}


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_long_training_reads_as_pytorch_loads_it(protocol, tmp_path):
    assert_agrees(saved(tmp_path, long_trained(), pickle_protocol=protocol))


@pytest.fixture
def long_pickle(tmp_path):
    with zipfile.ZipFile(saved(tmp_path, long_trained())) as archive:
        return archive.read("checkpoint_final/data.pkl")


def in_single_steps(monkeypatch, data):
    with monkeypatch.context() as patch:
        patch.setattr("nnguard.checkpoint.pickle_reader._Reader.logged_number", lambda reader, position: 0)
        return answer_to(data)


def answer_to(data):
    """What the reader makes of a pickle; an error without its place, which may be that of any of the fourteen."""
    try:
        pickle = read_pickle(data)
    except CheckpointError as error:
        return re.sub(r"byte \d+", "", str(error))
    # Damage may leave a global or a dtype among the values, whose text is its address.
    return re.sub(r" at 0x[0-9a-f]+", "", repr((pickle.root, pickle.stop, pickle.ends)))


def test_numbers_are_read_in_one_step(long_pickle, monkeypatch):
    read = []
    step = pickle_reader._Reader.logged_number

    def counted(reader, position):
        read.append(step(reader, position))
        return read[-1]

    monkeypatch.setattr(pickle_reader._Reader, "logged_number", counted)
    read_pickle(long_pickle)
    assert sum(map(bool, read)) > 390  # all but the first of each type, which bring what the others refer to


def test_one_step_says_what_fourteen_say(long_pickle, monkeypatch):
    assert answer_to(long_pickle) == in_single_steps(monkeypatch, long_pickle)


def test_one_step_says_of_damage_what_fourteen_say(long_pickle, monkeypatch):
    """Bytes are changed inside the numbers, where a shortcut could overlook them."""
    chance = random.Random()
    numbers = [match.start() for match in re.finditer(rb"j...\0j...\0j...\0X", long_pickle, re.DOTALL)]
    answers = set()
    for _ in range(400):
        data = bytearray(long_pickle)
        for _ in range(chance.randint(1, 3)):
            place = chance.choice(numbers) + chance.randrange(66)
            data[place] = chance.choice((data[place] ^ 1 << chance.randrange(8), *b"jrhqRX.0\x86\x85"))
        answer = answer_to(bytes(data))
        assert answer == in_single_steps(monkeypatch, bytes(data)), bytes(data)
        answers.add(answer)
    assert len(answers) > 50


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_trainers_checkpoint_reads_as_pytorch_loads_it(protocol, tmp_path):
    ours = assert_agrees(saved(tmp_path, trained(nnguard='{"a": 1}'), pickle_protocol=protocol))
    assert ours.init_args["device"] == Opaque("torch.device", ("cuda", 0))
    assert all(type(value) is float for value in ours.logging["mean_fg_dice"])


@pytest.mark.parametrize("protocol", [0, 1])
def test_older_protocols_are_refused_with_the_way_out(protocol, tmp_path):
    """Nobody saves with them: protocol 2 is PyTorch's default ever since, and tensors of protocol 0 never load."""
    path = saved(tmp_path, {"trainer_name": "nnUNetTrainer"}, pickle_protocol=protocol)
    with pytest.raises(CheckpointError, match=r"protocol 2 to 5.*torch\.save"):
        read_checkpoint(path)


@pytest.mark.parametrize("axes", [None, (), [], (0,), [0, 1], (0, 1, 2), 2, (-1,), (0, 0), "01", True, 0.5, {"a": 1}])
def test_declared_axes_come_verbatim(axes, tmp_path):
    ours = assert_agrees(saved(tmp_path, trained(**{AXES: axes})))
    assert type(ours.declared_axes) is type(axes)


def test_axes_of_numpy_integers_are_numbers(tmp_path):
    path = saved(tmp_path, trained(**{AXES: tuple(np.arange(2))}))
    assert read_checkpoint(path).declared_axes == (0, 1)


def test_missing_axes_are_told_from_none(tmp_path):
    content = trained()
    del content[AXES]
    assert not assert_agrees(saved(tmp_path, content)).has_declared_axes
    assert assert_agrees(saved(tmp_path, trained(**{AXES: None}))).has_declared_axes


@pytest.mark.parametrize(
    "dtype", ["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?", ">f8", ">i4", ">u2"]
)
def test_every_numpy_number_is_decoded(dtype, tmp_path):
    value = np.frombuffer(np.array(97, dtype=dtype).tobytes(), dtype=dtype)[0]
    assert_agrees(saved(tmp_path, trained(_best_ema=np.float64(0.5), logging={"values": [value, value]})))


def test_what_is_no_data_is_opaque(tmp_path):
    content = trained()
    content["init_args"].update(
        array=np.zeros((2, 2)),
        tensor=torch.zeros(2),
        path=Path("a"),
        dtype=torch.float32,
        complex=1j,
        longdouble=np.longdouble(1),
    )
    ours = assert_agrees(saved(tmp_path, content))
    assert ours.init_args["dtype"] == Opaque("torch.float32")
    assert ours.init_args["longdouble"].name.endswith("scalar")


def test_ordinary_python_values_come_through(tmp_path):
    values = {
        "bytes": b"a\xff", "no_bytes": b"", "big": 2**70, "negative": -5,
        "ordered": OrderedDict(a=1), "size": torch.Size([1, 2]), "nested": [[(1, (2,))]], "astral": "\U0001f600",
        "nothing": {}, 1: "int key", None: "None key", (1, "a"): "tuple key",
    }  # fmt: skip
    for protocol in (2, 4):
        ours = read_checkpoint(saved(tmp_path, trained(init_args=values), pickle_protocol=protocol))
        assert ours.init_args == loaded(tmp_path / "checkpoint_final.pth")["init_args"]


def test_sets_are_opaque(tmp_path):
    values = {"set": {1, 2}, "frozen": frozenset({"a"})}
    read = read_checkpoint(saved(tmp_path, trained(init_args=values))).init_args
    assert all(isinstance(value, Opaque) for value in read.values())


def test_later_entry_overrides_earlier_for_both(tmp_path):
    path = tmp_path / "a.pth"
    path.write_bytes(checkpoint(pickled(after=encoded_entry(AXES, None) + encoded_entry(AXES, (1,)))))
    assert assert_agrees(path).declared_axes == (1,)


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**80), 2**80) | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text(max_size=8) | st.integers(-5, 5), inner, max_size=4)
    ),
    max_leaves=25,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(plans=PLAIN, axes=PLAIN, record=st.text(), protocol=st.integers(2, 5), shared=st.booleans())
def test_made_dicts_read_as_pytorch_loads_them(plans, axes, record, protocol, shared, tmp_path):
    content = trained(**{AXES: axes}, nnguard=record)
    content["init_args"]["plans"] = [plans, plans] if shared else plans
    assert_agrees(saved(tmp_path, content, pickle_protocol=protocol))


@pytest.mark.parametrize(
    ("name", "data"),
    {
        "with CRCs not computed": zipped([data_pkl(pickled(), crc=0), VERSION]),
        "with sizes behind the data": zipped(
            [data_pkl(pickled(), local={"flags": 8, "crc": 0, "size": 0, "packed": 0}), VERSION]
        ),
        "with a zip64 record": checkpoint(zip64={}),
        "with data.pkl last": zipped([VERSION, BYTEORDER, data_pkl(pickled())]),
        "with a memo used twice": checkpoint(pickled(inside=text("note") + b"(Nq\x01K\x05q\x01h\x01t")),
        "with a frame": checkpoint(b"\x80\x04\x95" + struct.pack("<Q", len(pickled()) - 2) + pickled()[2:]),
        "with metadata on a state dict": checkpoint(
            pickled(inside=text("note") + b"ccollections\nOrderedDict\n)R}" + text("_metadata") + b"}sb")
        ),
        "with keys that are equal": checkpoint(pickled(inside=text("note") + b"}K\x01Ns\x88K\x05s")),
    }.items(),
)
def test_unusual_but_sound_files_read_as_pytorch_loads_them(name, data, tmp_path):
    path = tmp_path / "checkpoint_final.pth"
    path.write_bytes(data)
    assert_agrees(path)


@pytest.mark.parametrize("name", ["checkpoint_final.pth", "modèle \u2603.pth", "a.b.pth"])
def test_the_files_name_does_not_matter(name, tmp_path):
    path = tmp_path / name
    torch.save(trained(), str(path))
    assert_agrees(path)


def test_a_checkpoint_of_other_code_reads_with_what_it_has(tmp_path):
    ours = read_checkpoint(saved(tmp_path, {"network_weights": {}, "trainer_name": 5, "current_epoch": True}))
    assert (ours.trainer_name, ours.epoch, ours.best_ema, ours.init_args, ours.logging) == (None, None, None, {}, {})


# -- the record ---------------------------------------------------------------------------------------


def test_no_record_is_none_and_a_broken_one_is_an_error(tmp_path):
    assert read_checkpoint(saved(tmp_path, trained())).record() is None
    for broken in ("", "{", "[]", '{"schema": 1}', '{"schema": 999}', None, 5, ["a"], "[" * 100_000):
        ours = read_checkpoint(saved(tmp_path, trained(nnguard=broken)))
        assert ours.has_record
        with pytest.raises(CheckpointError, match="checkpoint_final"):
            ours.record()


def test_record_comes_back(tmp_path):
    record = record_of()
    assert read_checkpoint(saved(tmp_path, trained(nnguard=record.to_json()))).record() == record


# -- the weights' fingerprint -------------------------------------------------------------------------


def test_fingerprint_follows_the_weights_and_nothing_else(tmp_path):
    content = trained()
    first = read_checkpoint(saved(tmp_path, content)).weights_fingerprint
    assert first
    assert read_checkpoint(saved(tmp_path, {**content, "nnguard": "{}", AXES: None})).weights_fingerprint == first
    content["network_weights"]["0.bias"] += 1
    assert read_checkpoint(saved(tmp_path, content)).weights_fingerprint != first


def test_no_fingerprint_where_pytorch_computed_no_crcs(tmp_path):
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        path = saved(tmp_path, trained())
    finally:
        torch.serialization.set_crc32_options(before)
    assert assert_agrees(path).weights_fingerprint is None


# -- sources ------------------------------------------------------------------------------------------


class Counted(io.BytesIO):
    """Counts the bytes that are read from it."""

    taken = 0

    def read(self, size=-1):
        piece = super().read(size)
        self.taken += len(piece)
        return piece


def test_an_open_file_stays_open_where_it_stood(tmp_path):
    path = saved(tmp_path, trained())
    with path.open("rb") as file:
        file.seek(7)
        assert read_checkpoint(file).trainer_name == "nnUNetTrainer"
        assert file.tell() == 7


def test_tensors_are_never_read():
    big = Piece(ROOT + "data/0", bytes(20 << 20))
    file = Counted(checkpoint(None, big))
    read_checkpoint(file)
    assert file.taken < 200_000


def test_a_url_is_read_by_ranges(tmp_path):
    import fsspec

    files = fsspec.filesystem("memory")
    files.pipe("/nnguard/checkpoint.pth", checkpoint(None, Piece(ROOT + "data/0", bytes(1 << 20))))
    asked = []
    whole = type(files).cat_file

    def counted(self, path, start=None, end=None, **how):
        asked.append(end - start)
        return whole(self, path, start=start, end=end, **how)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(files), "cat_file", counted)
        ours = read_checkpoint("memory://nnguard/checkpoint.pth")
    assert ours.path == "memory://nnguard/checkpoint.pth"
    assert ours.declared_axes == (0, 1)
    assert sum(asked) < 100_000


@pytest.mark.parametrize("url", ["memory://nothing/here.pth", "nosuchscheme://a/b.pth"])
def test_a_url_that_leads_nowhere_is_one_line(url):
    with pytest.raises(CheckpointError, match="cannot be reached") as caught:
        read_checkpoint(url)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
def test_checkpoints_inside_an_exported_model(method, tmp_path):
    path, export = saved(tmp_path, trained()), tmp_path / "model.zip"
    member = "Dataset002_Discs/nnUNetTrainer__nnUNetPlans__2d/fold_0/checkpoint_final.pth"
    with zipfile.ZipFile(export, "w", method) as archive:
        archive.write(path, member)
        archive.writestr("Dataset002_Discs/nnUNetTrainer__nnUNetPlans__2d/plans.json", "{}")
    assert exported_checkpoints(export) == [member]
    inside, outside = read_checkpoint(export, member=member), read_checkpoint(path)
    assert inside.path == f"{export}!{member}"
    assert inside.size == outside.size
    assert inside.init_args == outside.init_args
    assert same(inside.logging, outside.logging)
    with pytest.raises(CheckpointError, match="no member"):
        read_checkpoint(export, member="Dataset002_Discs/other.pth")
    with pytest.raises(CheckpointError, match="zip of whole models"):
        read_checkpoint(export)


def test_a_damaged_export_is_an_error(tmp_path):
    path, export = saved(tmp_path, trained()), tmp_path / "model.zip"
    with zipfile.ZipFile(export, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(path, "m/fold_0/checkpoint_final.pth")
    damaged = bytearray(export.read_bytes())
    damaged[3000] ^= 0xFF
    export.write_bytes(damaged)
    with pytest.raises(CheckpointError, match=r"damaged|unpacked|header|directory"):
        read_checkpoint(export, member="m/fold_0/checkpoint_final.pth")


# -- what is no checkpoint ----------------------------------------------------------------------------

LEGACY = io.BytesIO()
torch.save({"a": torch.zeros(2)}, LEGACY, _use_new_zipfile_serialization=False)


NO_CHECKPOINTS = [
    ("empty.pth", b"", "empty"),
    ("lfs.pth", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "git lfs pull"),
    ("legacy.pth", LEGACY.getvalue(), r"old format.*torch\.save"),
    ("model_final_checkpoint.model", LEGACY.getvalue(), "nnU-Net v1"),
    ("model_final_checkpoint.model.pkl", b"\x80\x03}.", "nnU-Net v1"),
    ("bare.pth", b"\x80\x04}.", "bare pickle"),
    ("a.tar", bytes(257) + b"ustar" + bytes(300), "tar archive"),
    ("a.7z", b"7z\xbc\xaf\x27\x1c" + bytes(50), "7z archive"),
    ("a.pth.gz", b"\x1f\x8b" + bytes(50), "gzip"),
    ("page.pth", b"<!DOCTYPE html>", "text"),
    ("zeros.pth", bytes(4096), "zeros"),
    ("noise.pth", b"whatever it is", "no zip archive"),
    ("half.pth", checkpoint()[: len(checkpoint()) // 2], "truncated"),
    ("v1.zip", zipped([Piece("a/plans.pkl", b""), Piece("b/x", b"")]), "one folder"),
]


# Named by file: the old format writes addresses of memory, and xdist's processes must collect the same names.
@pytest.mark.parametrize(("name", "content", "says"), NO_CHECKPOINTS, ids=[row[0] for row in NO_CHECKPOINTS])
def test_what_a_file_is_that_is_no_checkpoint(name, content, says, tmp_path):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=says) as caught:
        read_checkpoint(path)
    assert "\n" not in str(caught.value)


def test_missing_path_and_directory(tmp_path):
    with pytest.raises(CheckpointError, match="no such file"):
        read_checkpoint(tmp_path / "nothing.pth")
    with pytest.raises(CheckpointError, match="directory"):
        read_checkpoint(tmp_path)
    with pytest.raises(CheckpointError, match="cannot be opened"):
        read_checkpoint("a\0b")
    with pytest.raises(CheckpointError, match="neither a path nor an open"):
        read_checkpoint(5)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")
@pytest.mark.timeout(20)
def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.pth")
    with pytest.raises(CheckpointError, match="pipe"):
        read_checkpoint(tmp_path / "pipe.pth")
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(os.path.relpath(tmp_path / "s"))
        with pytest.raises(CheckpointError, match="cannot be opened"):
            read_checkpoint(tmp_path / "s")


def test_an_unreadable_file_is_one_line(unprivileged):
    path = unprivileged / "secret.pth"
    path.write_bytes(checkpoint())
    path.chmod(0)
    with pytest.raises(CheckpointError, match="Permission denied"):
        read_checkpoint(path)


def test_reading_a_local_file_imports_neither_torch_numpy_pickle_nor_fsspec(tmp_path):
    path = tmp_path / "a.pth"
    path.write_bytes(checkpoint(None, TENSOR))
    code = (
        "import sys; from nnguard.checkpoint import read_checkpoint; read_checkpoint(sys.argv[1]);"
        "print(sorted({'torch', 'numpy', 'pickle', 'fsspec', 'nnunetv2', 'hashlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_encoded_values_are_what_pickle_reads():
    import pickle

    for value in (
        None,
        True,
        0,
        255,
        65535,
        -1,
        2**31,
        -(2**31),
        2**64,
        0.5,
        "é",
        (),
        (0, 1),
        [],
        [1],
        {},
        {"a": (1,)},
    ):
        assert pickle.loads(b"\x80\x02" + encoded(value) + b".") == value
    with pytest.raises(TypeError):
        encoded(object())


def test_the_made_archive_is_a_checkpoint_for_pytorch(tmp_path):
    """Otherwise the tests with made archives would prove nothing."""
    path = tmp_path / "a.pth"
    path.write_bytes(checkpoint())
    assert loaded(path) == ENTRIES
    path.write_bytes(checkpoint(pickled(inside=text("note") + call("builtins", "list", b"]"))))
    assert loaded(path)["note"] == []
