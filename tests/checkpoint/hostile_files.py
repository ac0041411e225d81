"""Files that try to run something, or to show a reader something else than PyTorch loads.

Each is named after its trick. ``corpus`` gives all of them; those that carry a payload write the sentinel
file when they are unpickled.
"""

from __future__ import annotations

import io
import struct
import tarfile

from tests.support.archives import (
    BYTEORDER,
    ROOT,
    TENSOR,
    VERSION,
    Piece,
    call,
    checkpoint,
    data_pkl,
    encoded_entry,
    pickled,
    text,
    zipped,
)

AXES = "inference_allowed_mirroring_axes"

#: Callables that run what they are given, from advisories on scanners that went by lists of bad names.
RUNNERS = (
    "posix.system", "os.system", "os.popen", "os.execv", "nt.system", "subprocess.Popen", "subprocess.getoutput",
    "builtins.eval", "builtins.exec", "builtins.compile", "builtins.getattr", "builtins.__import__", "builtins.open",
    "__builtin__.eval", "importlib.import_module", "runpy._run_code", "operator.attrgetter", "operator.methodcaller",
    "functools.partial", "timeit.timeit", "cProfile.run", "profile.run", "pdb.run", "code.InteractiveInterpreter",
    "codeop.compile_command", "bdb.Bdb.run", "trace.Trace", "pydoc.pipepager", "doctest.debug_script",
    "asyncio.unix_events._UnixSubprocessTransport._start", "ensurepip._run_pip", "idlelib.pyshell.ModifiedInterpreter",
    "lib2to3.pgen2.grammar.Grammar.loads", "pickle.loads", "_pickle.loads", "marshal.loads", "types.FunctionType",
    "logging.config._resolve", "uuid._get_command_stdout", "pip.main", "webbrowser.open", "socket.create_connection",
    "shutil.rmtree", "ctypes.CDLL", "sys.setrecursionlimit", "gc.get_objects", "copyreg._reconstructor",
    "numpy.testing._private.utils.runstring", "numpy.load", "numpy.f2py.crackfortran.getlincoef",
    "torch.load", "torch.hub.load", "torch.serialization.load", "torch.jit.load", "torch.storage._load_from_bytes",
    "torch.utils._config_module.load_config", "torch.jit.unsupported_tensor_ops.execWrapper",
    "torch.utils.collect_env.run", "torch.distributed.run", "torch._dynamo.guards.GuardBuilder.get",
    "torch._utils.importlib.import_module", "collections.namedtuple", "collections.abc.sys.modules",
    "datetime.sys.modules", "pathlib.os.system",
)  # fmt: skip


def _payload(sentinel: str) -> bytes:
    return call("builtins", "exec", text(f"open({sentinel!r}, 'w').close()"))


def _touch(sentinel: str) -> bytes:
    return text(f"touch {sentinel}")


def runners() -> dict[str, bytes]:
    """A call of each runner, as the value of a key."""
    made = {}
    for name in RUNNERS:
        module, _, attribute = name.rpartition(".")
        made[f"runner {name}"] = checkpoint(pickled(inside=text("note") + call(module, attribute, text("0"))))
    return made


def payloads(sentinel: str) -> dict[str, bytes]:
    """Places and opcodes for a payload. Each of these does run when the file is loaded by PyTorch."""
    run, note = _payload(sentinel), text("note")
    system = text("os") + text("system")
    opened = text(sentinel) + text("w")
    pickles = {
        "as a value": pickled(inside=note + run),
        "as a key": pickled(inside=run + b"N"),
        "before the root, dropped": pickled(before=run + b"0"),
        "after the root, dropped": pickled(after=run + b"0"),
        "in a tuple dropped with its mark": pickled(after=b"(" + run + b"1"),
        "nested in containers": pickled(inside=note + b"](}(" + note + b"(" + run + b"ttue" + b""),
        "appended to a list": pickled(inside=note + b"]" + run + b"a"),
        "in an OrderedDict": pickled(
            inside=note + b"ccollections\nOrderedDict\n)R" + note + run + b"s"),
        "in a set": pickled(inside=note + b"\x8f(" + run + b"\x90", protocol=4),
        "in a frozen set": pickled(inside=note + b"(" + run + b"\x91", protocol=4),
        "as an argument of a harmless call": pickled(inside=note + b"cbuiltins\nlist\n((" + run + b"ltR"),
        "overriding the axes": pickled(after=text(AXES) + run + b"s"),
        "python 2's name of builtins": pickled(
            inside=note + run.replace(b"cbuiltins\n", b"c__builtin__\n")),
        "STACK_GLOBAL": pickled(inside=note + system + b"\x93" + _touch(sentinel) + b"\x85R", protocol=4),
        "STACK_GLOBAL from the memo": pickled(
            before=text("os") + b"\x940" + text("system") + b"\x940h\x00h\x01\x93" + _touch(sentinel) + b"\x85R0")
            .replace(b"}q\x00", b"}"),
        "STACK_GLOBAL with a dotted name": pickled(
            inside=note + text("pathlib") + text("os.system") + b"\x93" + _touch(sentinel) + b"\x85R", protocol=4),
        "INST": pickled(inside=note + b"(" + _touch(sentinel) + b"ios\nsystem\n"),
        "OBJ": pickled(inside=note + b"(cos\nsystem\n" + _touch(sentinel) + b"o"),
        "NEWOBJ": pickled(inside=note + b"c_io\nFileIO\n(" + opened + b"t\x81" + b"0"
                          + call("builtins", "open", opened)),
        "NEWOBJ_EX": pickled(inside=note + b"c_io\nFileIO\n(" + opened + b"t}\x92" + b"0"
                             + call("builtins", "open", opened), protocol=4),
        "BUILD on a foreign object": pickled(
            inside=note + b"ctypes\nSimpleNamespace\n)R}(" + note + run + b"ub"),
        "getattr of a method": pickled(
            inside=note + call("builtins", "getattr", call("builtins", "__import__", text("os")), text("system"))
            + _touch(sentinel) + b"\x85R"),
        "a pickle in a pickle": pickled(
            inside=note + call("pickle", "loads", b"B" + struct.pack("<I", len(run) + 3) + b"\x80\x02" + run + b"."),
            protocol=3),
        "functools.partial": pickled(
            inside=note + b"cfunctools\npartial\n(cos\nsystem\n" + _touch(sentinel) + b"tR)R"),
        "map over a runner": pickled(
            inside=note + b"cbuiltins\nlist\n("
            + call("builtins", "map", b"cos\nsystem\n", b"](" + _touch(sentinel) + b"e") + b"tR"),
        "protocol 0": b"(d" + b"Vnote\n" + b"cos\nsystem\n(V" + f"touch {sentinel}".encode() + b"\ntRs.",
        "no protocol": b"}" + note + run + b"s.",
        "in a frame": _framed(pickled(inside=note + run, protocol=4)),
        "numpy scalar of objects": pickled(inside=note + call(
            "numpy.core.multiarray", "scalar", b"cnumpy\ndtype\n(X\x02\0\0\0O8\x89\x88tR", run)),
        "a default factory": pickled(inside=note + b"ccollections\ndefaultdict\n(" + run + b"tR"),
    }  # fmt: skip
    return {f"payload {name}": checkpoint(data) for name, data in pickles.items()}


def _framed(data: bytes) -> bytes:
    return data[:2] + b"\x95" + struct.pack("<Q", len(data) - 2) + data[2:]


def opcodes() -> dict[str, bytes]:
    """Pickles that loaders read differently, or that only a forger writes."""
    note, plain = text("note"), pickled()
    root = b"\x80\x02}"
    state, unset = b"}(" + text("get") + b"Nu", b"J\xff\xff\xff\xff"
    pickles = {
        "a second pickle after STOP": plain + pickled({AXES: None}),
        "bytes after STOP": plain + b"\0",
        "two roots": pickled(before=pickled({AXES: None})[2:-1]),
        "a root that is a list": b"\x80\x02].",
        "a root that is an OrderedDict": b"\x80\x02ccollections\nOrderedDict\n)R" + encoded_entry(AXES, None) + b".",
        "an open mark at STOP": b"\x80\x02(}.",
        "nothing at STOP": b"\x80\x02.",
        "no STOP": plain[:-1],
        "cut in a text": plain[:40],
        "empty": b"",
        "EXT1": pickled(inside=note + b"\x82\x01"),
        "EXT2": pickled(inside=note + b"\x83\x01\x00"),
        "EXT4": pickled(inside=note + b"\x84\x01\0\0\0"),
        "PERSID": pickled(inside=note + b"Pstorage\n"),
        "BINPERSID of text": pickled(inside=note + text("storage") + b"Q"),
        "BINPERSID of another kind": pickled(inside=note + b"(" + text("module") + b"NNNtQ"),
        "BINPERSID with a foreign storage": pickled(
            inside=note + b"(" + text("storage") + b"cos\nStorage\n" + text("0") + text("cpu") + b"K\x01tQ"),
        "NEXT_BUFFER": pickled(inside=note + b"\x97", protocol=5),
        "READONLY_BUFFER": pickled(inside=note + b"C\x01a\x98", protocol=5),
        "STRING": pickled(inside=note + b"S'os'\n"),
        "DUP": pickled(inside=note + b"N2"),
        "an unknown opcode": pickled(inside=note + b"\xff"),
        "PROTO in the middle": pickled(inside=note + b"\x80\x02N"),
        "protocol 6": b"\x80\x06}.",
        "protocol 255": b"\x80\xff}.",
        "a frame in a frame": b"\x80\x04\x95" + struct.pack("<Q", 11) + b"\x95" + struct.pack("<Q", 2) + b"}.",
        "a frame beyond the end": b"\x80\x04\x95" + struct.pack("<Q", 100) + b"}.",
        "a memo number never stored": pickled(inside=note + b"h\x07"),
        "a memo number out of turn": pickled(inside=note + b"Nq\x09"),
        "a negative memo number": pickled(inside=note + b"g-1\n"),
        "an octal number": pickled(inside=note + b"I010\n"),
        "a hexadecimal number": pickled(inside=note + b"I0x10\n"),
        "a number with an underscore": pickled(inside=note + b"I1_0\n"),
        "a float with an underscore": pickled(inside=note + b"F1_0.5\n"),
        "a long without L": pickled(inside=note + b"L10\n"),
        "text that is no UTF-8": pickled(inside=note + b"X\x01\0\0\0\xff"),
        "old text that is no UTF-8": pickled(inside=note + b"U\x01\xff"),
        "old text of negative length": pickled(inside=note + b"T\xff\xff\xff\xff"),
        "an odd number of items": pickled(inside=note),
        "SETITEM on a tuple": pickled(inside=note + b")NNs"),
        "APPEND on a dict": pickled(inside=note + b"}Na"),
        "ADDITEMS on a list": pickled(inside=note + b"](N\x90", protocol=4),
        "REDUCE of text": pickled(inside=note + text("os.system") + b")R"),
        "REDUCE without a tuple": pickled(inside=note + b"cbuiltins\nlist\n]R"),
        "STACK_GLOBAL of numbers": pickled(inside=note + b"K\x01K\x02\x93", protocol=4),
        "BUILD on a function": pickled(inside=note + b"ctorch._utils\n_rebuild_tensor_v2\n" + b"N" + state + b"\x86b"),
        "BUILD on a class": pickled(inside=note + b"ccollections\nOrderedDict\n" + b"N" + state + b"\x86b"),
        "BUILD on the root": pickled(after=state + b"b"),
        "BUILD that hides a method": pickled(inside=note + b"ccollections\nOrderedDict\n)R" + state + b"b"),
        "BUILD on numpy's own dtype": pickled(
            inside=note + b"cnumpy\ndtype\n(X\x02\0\0\0f8\x89\x89tR(K\x03X\x01\0\0\0>NNN" + unset * 2 + b"K\0tb"),
        "a dtype in no byte order": pickled(
            inside=note + b"cnumpy\ndtype\n(X\x02\0\0\0f8\x89\x88tR(K\x03X\x01\0\0\0=NNN" + unset * 2 + b"K\0tb"),
        "a numpy number of the wrong length": pickled(inside=note + call(
            "numpy.core.multiarray", "scalar", b"cnumpy\ndtype\n(X\x02\0\0\0f8\x89\x88tR", b"C\x01a"), protocol=3),
        "bytes by another codec": pickled(inside=note + call("_codecs", "encode", text("63616c6c"), text("hex"))),
        "bytes of a length": pickled(inside=note + call("builtins", "bytes", b"J\xff\xff\xff\x7f")),
        "a key that is a list": root + b"]Ns.",
        "a key made by a call": pickled(after=call("builtins", "str", text(AXES)) + b"Ns"),
        "a key that is a path": pickled(inside=call("pathlib", "PurePosixPath", text("a")) + b"N"),
        "a key that is a tensor's call": pickled(inside=b"ctorch._utils\n_rebuild_tensor_v2\n(]tRN"),
    }  # fmt: skip
    return {f"opcode {name}": checkpoint(data) for name, data in pickles.items()}


def archives() -> dict[str, bytes]:
    """Zip files in which PyTorch and Python's ``zipfile`` would find different bytes, or find none."""
    good, other = data_pkl(pickled()), pickled({AXES: None})
    wide = struct.pack("<2HQ", 1, 8, 0)
    whole = checkpoint()
    return {f"archive {name}": data for name, data in {
        "data.pkl twice": zipped([good, data_pkl(other), VERSION]),
        "DATA.PKL beside data.pkl": zipped([Piece(ROOT + "DATA.PKL", other), good, VERSION]),
        "two roots": zipped([good, Piece("other/data.pkl", other), VERSION, Piece("other/version", b"3\n")]),
        "roots that differ in case": zipped([good, Piece("ARCHIVE/x", b""), VERSION]),
        "data.pkl in a deeper folder": zipped([Piece(ROOT + "x/data.pkl", other), VERSION]),
        "data.pkl compressed": zipped([data_pkl(pickled(), method=8), VERSION]),
        "data.pkl with a wrong CRC": zipped([data_pkl(pickled(), crc=1), VERSION]),
        "data.pkl with another local name": zipped(
            [data_pkl(pickled(), local={"name": b"archive/other.pk"}), VERSION]),
        "data.pkl with another local method": zipped([data_pkl(pickled(), local={"method": 8}), VERSION]),
        "data.pkl with another local size": zipped([data_pkl(pickled(), local={"size": 7}), VERSION]),
        "data.pkl with another local CRC": zipped([data_pkl(pickled(), local={"crc": 7}), VERSION]),
        "data.pkl with another packed size": zipped([data_pkl(pickled(), central={"packed": 7}), VERSION]),
        "data.pkl encrypted": zipped([data_pkl(pickled(), local={"flags": 1}, central={"flags": 1}), VERSION]),
        "data.pkl in the directory": zipped([data_pkl(pickled(), central={"size": 9999, "packed": 9999}), VERSION]),
        "a local header without signature": zipped([VERSION, data_pkl(pickled(), local={"signature": b"PKXX"})]),
        "a name with NUL": zipped([Piece(ROOT + "data.pkl\0x", other), good, VERSION]),
        "a name with a backslash": zipped([Piece("archive\\data.pkl", other), good, VERSION]),
        "a name that is no UTF-8": zipped([good, Piece("x", b"", central={"name": b"archive/\xff"}), VERSION]),
        "bytes before it": checkpoint(prefix=b"#!/bin/sh\n"),
        "bytes before it, offsets put right": checkpoint(prefix=b"#!/bin/sh\n", shifted=True),
        "another archive before it": checkpoint(other, prefix=whole),
        "another archive before it, offsets put right": checkpoint(other, prefix=whole, shifted=True),
        "bytes after it": checkpoint(suffix=b"\n"),
        "another archive after it": checkpoint(suffix=zipped([data_pkl(other), VERSION])),
        "a comment": checkpoint(end={"comment": 3}, suffix=b"abc"),
        "an end record in the comment": checkpoint(end={"comment": 22}, suffix=whole[-22:]),
        "a gap before the end record": checkpoint(gap=b"\0" * 8),
        "a zip64 record elsewhere": checkpoint(zip64={"place": 0}),
        "a zip64 record that contradicts": checkpoint(zip64={"count": 2, "here": 2}),
        "a zip64 record of two disks": checkpoint(zip64={"disks": 2}),
        "a zip64 record of odd length": checkpoint(zip64={"length": 45}),
        "a zip64 record missing": checkpoint(end={"start": 0xFFFFFFFF}),
        "a zip64 field missing": zipped([data_pkl(pickled(), central={"offset": 0xFFFFFFFF}), VERSION]),
        "two zip64 fields": zipped(
            [data_pkl(pickled(), central={"offset": 0xFFFFFFFF, "extra": wide + wide}), VERSION]),
        "an extra field cut off": zipped([data_pkl(pickled(), central={"extra": b"\x01\0\xff\0"}), VERSION]),
        "fewer members than announced": checkpoint(end={"count": 9, "here": 9}),
        "more members than announced": checkpoint(end={"count": 2, "here": 2}),
        "counts that differ": checkpoint(end={"here": 1}),
        "another disk": checkpoint(end={"disk": 1}),
        "a member on another disk": zipped([data_pkl(pickled(), central={"disk": 1}), VERSION]),
        "an entry without signature": zipped([data_pkl(pickled(), central={"signature": b"PKXX"}), VERSION]),
        "no members": zipped([]),
        "no data.pkl": zipped([BYTEORDER, TENSOR, VERSION]),
        "no version": zipped([good, BYTEORDER]),
        "TorchScript": zipped([good, Piece(ROOT + "constants.pkl", b""), VERSION]),
        "TorchScript in capitals": zipped([good, Piece(ROOT + "CONSTANTS.PKL", b""), VERSION]),
        "members without a folder": zipped([Piece("data.pkl", pickled()), Piece("version", b"3\n")]),
        "truncated in the directory": whole[:-30],
        "truncated in data.pkl": whole[:100],
    }.items()}  # fmt: skip


def renamed(sentinel: str) -> dict[str, bytes]:
    """Other formats under a checkpoint's name, with a payload where PyTorch would load them."""
    run = b"\x80\x02" + _payload(sentinel) + b"."
    legacy = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}(X\x0a\0\0\0type_sizesNu." + run
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        member = tarfile.TarInfo("pickle")
        member.size = len(run)
        archive.addfile(member, io.BytesIO(run))
    return {
        "renamed bare pickle": run,
        "renamed legacy file": legacy,
        "renamed tar": tar.getvalue(),
        "renamed 7z": b"7z\xbc\xaf\x27\x1c" + bytes(26),
    }


def corpus(sentinel: str) -> dict[str, bytes]:
    """name -> file, all of it."""
    return {**runners(), **payloads(sentinel), **opcodes(), **archives(), **renamed(sentinel)}
