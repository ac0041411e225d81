"""The globals that PyTorch, numpy and nnU-Net write into a checkpoint, and what a call of each gives.

A file that names any other global is unreadable. Unpickling such a file imports, and may run, code that could change
everything the file says, so only the unpickler could tell what the loader gets.
This module never imports or calls a listed global; a builder below makes plain data from the arguments.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import msgspec

from ..errors import CheckpointError

Builder = Callable[[str, tuple[Any, ...]], Any]
Scalar = str | bytes | int | float | bool | None
_SCALARS = (str, bytes, int, float, type(None))


class Opaque(msgspec.Struct, frozen=True):
    """A value that only code can make, for example a ``torch.device``.

    ``name`` is its global; ``arguments`` are the arguments of the call if they are plain scalars, else empty.
    """

    name: str
    arguments: tuple[Scalar, ...] = ()

    def __repr__(self) -> str:
        return f"<{self.name}({', '.join(map(repr, self.arguments))})>"


class Global:
    """A class or function that the file names; it is not imported. ``build`` makes the value that represents a call."""

    __slots__ = ("build", "name")

    def __init__(self, name: str, build: Builder) -> None:
        self.name = name
        self.build = build


class OrderedMapping(dict[Any, Any]):
    """A ``collections.OrderedDict``: a dict that pickle may give attributes (state dicts carry ``_metadata``)."""

    __slots__ = ()


class DType:
    """A ``numpy.dtype``: ``code`` such as ``f8``. A later BUILD opcode sets its byte order.

    ``number`` unpacks one number; it is ``None`` for types that are not a single number.
    """

    __slots__ = ("code", "number")

    def __init__(self, code: str) -> None:
        self.code = code
        self.settle((3, "<", None, None, None, -1, -1, 0))

    def settle(self, state: Any) -> None:
        """Takes the state that numpy stores: a version, a byte order, and fields that single numbers leave empty."""
        if type(state) is not tuple or len(state) < 8 or state[1] not in ("<", ">", "|"):
            raise CheckpointError("a numpy dtype has a state that numpy does not write")
        letter = NUMBERS.get(self.code) if state[2:] == (None, None, None, -1, -1, 0) else None
        self.number = struct.Struct((">" if state[1] == ">" else "<") + letter) if letter else None


#: numpy's codes for single numbers -> struct's codes.
NUMBERS = {
    "f2": "e", "f4": "f", "f8": "d", "i1": "b", "i2": "h", "i4": "i", "i8": "q",
    "u1": "B", "u2": "H", "u4": "I", "u8": "Q", "b1": "?",
}  # fmt: skip


def opaque(name: str, arguments: tuple[Any, ...]) -> Opaque:
    return Opaque(name, arguments if all(isinstance(value, _SCALARS) for value in arguments) else ())


def _empty(kind: Callable[[], Any]) -> Builder:
    """A builder for an empty OrderedDict or bytes. Other opcodes fill the dict; other calls make non-empty bytes."""

    def build(name: str, arguments: tuple[Any, ...]) -> Any:
        if arguments:
            raise CheckpointError(f"{name} is called with arguments, which Python's pickler does not do")
        return kind()

    return build


def _encoded_bytes(name: str, arguments: tuple[Any, ...]) -> bytes:
    if len(arguments) != 2 or type(arguments[0]) is not str or arguments[1] != "latin1":
        raise CheckpointError(f"{name} is called otherwise than Python stores bytes")
    return arguments[0].encode("latin-1")


def _size(name: str, arguments: tuple[Any, ...]) -> Any:
    if len(arguments) != 1 or type(arguments[0]) is not tuple:
        raise CheckpointError(f"{name} is called with something else than a tuple")
    return arguments[0]


def _dtype(name: str, arguments: tuple[Any, ...]) -> DType:
    match arguments:
        # The third argument asks for a copy. Without it, a later BUILD would alter numpy's own dtype in the process.
        case (str() as code, 0 | False, 1 | True):
            return DType(code)
    raise CheckpointError(f"{name} is called otherwise than numpy stores it")


def _numpy_scalar(name: str, arguments: tuple[Any, ...]) -> Any:
    if len(arguments) != 2 or type(arguments[0]) is not DType or type(arguments[1]) is not bytes:
        raise CheckpointError(f"{name} is called otherwise than numpy stores a scalar")
    dtype, data = arguments
    if dtype.number is None:
        return Opaque(name, (dtype.code,))
    if dtype.number.size != len(data):
        raise CheckpointError(f"a numpy number of type {dtype.code} is stored in {len(data)} bytes")
    return dtype.number.unpack(data)[0]


def _inert(prefix: str, names: str) -> dict[str, Builder]:
    """Globals whose call changes nothing except its result, and whose result no rule needs."""
    return {f"{prefix}.{name}": opaque for name in names.split()}


#: global -> the builder of the value that represents a call of it
KNOWN: dict[str, Builder] = {
    **_inert(
        "torch",
        "DoubleStorage FloatStorage HalfStorage LongStorage IntStorage ShortStorage CharStorage ByteStorage "
        "BoolStorage BFloat16Storage ComplexDoubleStorage ComplexFloatStorage QUInt8Storage QInt8Storage "
        "QInt32Storage QUInt4x2Storage QUInt2x4Storage UntypedStorage "
        "DoubleTensor FloatTensor HalfTensor LongTensor IntTensor ShortTensor CharTensor ByteTensor BoolTensor "
        "BFloat16Tensor Tensor device",
    ),
    **_inert(
        "torch",
        "float64 float32 float16 bfloat16 float8_e4m3fn float8_e5m2 float8_e4m3fnuz float8_e5m2fnuz complex128 "
        "complex64 complex32 int64 int32 int16 int8 uint64 uint32 uint16 uint8 bool quint8 qint8 qint32 quint4x2 "
        "quint2x4 strided sparse_coo sparse_csr contiguous_format channels_last channels_last_3d preserve_format",
    ),
    **_inert(
        "torch._utils",
        "_rebuild_tensor _rebuild_tensor_v2 _rebuild_tensor_v3 _rebuild_parameter _rebuild_parameter_with_state "
        "_rebuild_sparse_tensor _rebuild_meta_tensor_no_storage _rebuild_device_tensor_from_numpy "
        "_rebuild_device_tensor_from_cpu_tensor _rebuild_nested_tensor _rebuild_qtensor",
    ),
    **_inert("torch.storage", "TypedStorage UntypedStorage"),
    **_inert("torch", "nn.parameter.Parameter serialization._get_layout _tensor._rebuild_from_type_v2"),
    **_inert("numpy", "ndarray"),
    **_inert("collections", "Counter defaultdict"),
    **_inert("pathlib", "PosixPath WindowsPath PurePosixPath PureWindowsPath _local.PosixPath _local.WindowsPath"),
    **_inert("datetime", "datetime date time timedelta timezone"),
    **_inert("builtins", "bytearray complex set frozenset range slice list dict tuple int float str bool"),
    "collections.OrderedDict": _empty(OrderedMapping),
    "_codecs.encode": _encoded_bytes,
    "builtins.bytes": _empty(bytes),
    "torch.Size": _size,
    "numpy.dtype": _dtype,
    **{
        f"numpy.{core}.{name}": builder
        for core in ("core", "_core")
        for name, builder in {
            "multiarray.scalar": _numpy_scalar,
            "multiarray._reconstruct": opaque,
            "numeric._frombuffer": opaque,
        }.items()
    },
}


def known_name(module: str, name: str) -> str:
    """``module.name``. Python 2's ``__builtin__``, which protocols 0 to 2 write, becomes ``builtins``."""
    return f"{'builtins' if module == '__builtin__' else module}.{name}"
