"""Reads ``data.pkl`` in one pass over its opcodes: it returns plain values, imports nothing and calls nothing.

It knows only the opcodes that PyTorch writes with pickle protocols 2 to 5. No value can be larger than its bytes in the
file. Every doubt raises ``CheckpointError``, so the unpickler reads whatever this reader accepts in the same way.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec

from ..errors import CheckpointError
from .foreign_files import CONVERT
from .globals import KNOWN, DType, Global, Opaque, OrderedMapping, known_name

#: The values may take FLOOR bytes of memory, plus GROWTH bytes per byte of the file (estimated). nnU-Net's own pickles
#: stay below 8 bytes per byte; one-byte opcodes that each make a container reach 50.
FLOOR, GROWTH = 8 << 20, 16
#: The reader checks this estimate after so many opcodes.
STRIDE = 1 << 14
#: Marks inside marks. Python's own recursion limit keeps a pickler from writing more than about 300.
MAX_MARKS = 1_000
#: A file can choose the hash of its tuple keys. Colliding keys take quadratic time, and nnU-Net writes no tuple keys.
MAX_TUPLE_KEYS = 500
#: At most so many of the last entries can come from a splice; a splice writes two.
MAX_ENDS = 32

_KEYS = frozenset({str, int, float, bool, bytes, type(None)})
_SIZE_4 = struct.Struct("<I")


class Pickle(msgspec.Struct):
    """What a pickle contains, and where.

    Attributes:
        root: the top-level dict.
        stop: the position of STOP.
        frame: the position of the FRAME opcode whose frame contains STOP, if any.
        ends: the last positions after an opcode that set keys of the root while the root was alone on the stack.
    """

    root: dict[Any, Any]
    stop: int
    frame: int | None
    ends: list[int]


def read_pickle(data: bytes) -> Pickle:
    """Reads a checkpoint's ``data.pkl`` from its bytes.

    Raises:
        CheckpointError: it gives the position and the reason.
    """
    reader = _Reader(data)
    try:
        return reader.run()
    except CheckpointError as error:
        reason = str(error)
    except KeyError as error:
        reason = f"opcode {bytes(error.args)!r} is none that PyTorch writes"
    except (IndexError, struct.error):
        reason = "it ends, or takes a value, where there is none"
    except ValueError as error:
        reason = f"a text is garbled ({error})"
    raise CheckpointError(f"{reason} (data.pkl, byte {reader.position})")


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0
        self.stack: list[Any] = []
        self.outer: list[list[Any]] = []
        self.memo: list[Any] = []
        self.cost = 0
        self.tuple_keys = 0
        self.frame: int | None = None
        self.frame_end = 0
        self.ends: deque[int] = deque(maxlen=MAX_ENDS)

    def run(self) -> Pickle:
        if self.data[:1] != b"\x80" or not 2 <= self.data[1] <= 5:
            raise CheckpointError(f"it is no pickle of protocol 2 to 5, which PyTorch writes; {CONVERT}")
        self.position = 2
        while not self.stride():
            held = self.cost + 8 * (len(self.stack) + len(self.memo))
            if held > FLOOR + GROWTH * len(self.data):
                raise CheckpointError("its values would take far more memory than the file, as no training's do")
        return self.finish()

    def stride(self) -> bool:
        """Interprets ``STRIDE`` opcodes. Returns whether it reached STOP.

        The most frequent opcodes are interpreted here, because a function call for each would double the time.
        """
        data, memo, stack, position = self.data, self.memo, self.stack, self.position
        try:
            for _ in range(STRIDE):
                code = data[position]
                if code == _LONG_BINGET:
                    end = self.logged_number(position)
                    if end:
                        position = end
                    else:
                        stack.append(memo[_SIZE_4.unpack_from(data, position + 1)[0]])
                        position += 5
                elif code == _LONG_BINPUT:
                    self.put(_SIZE_4.unpack_from(data, position + 1)[0])
                    position += 5
                elif code == _STOP:
                    return True
                else:
                    operand, handler = _TABLE[code]
                    self.position = position + 1 + operand.size
                    handler(self, *operand.unpack_from(data, position + 1))
                    stack, position = self.stack, self.position
        finally:
            self.position = position
        return False

    def logged_number(self, position: int) -> int:
        """Interprets, in one step, the fourteen opcodes with which protocol 2 writes a numpy number.

        nnU-Net logs six such numbers per epoch, so they are nearly all opcodes in the checkpoint of a long training.

        Returns:
            The position after them; 0 if other opcodes stand here.
        """
        data, memo, first = self.data, self.memo, len(self.memo)
        try:
            scalar_at, dtype_at, encode_at, length = _NUMBER_HEAD.unpack_from(data, position)
            end = position + _NUMBER_HEAD.size + length
            latin = _SIZE_4.unpack_from(data, end + 6)[0]
            tail = _NUMBER_TAIL.pack(
                b"r", first, b"j", latin, b"\x86r", first + 1, b"Rr", first + 2, b"\x86r", first + 3, b"Rr", first + 4
            )
            if data[position : position + 16 : 5] != b"jjjX" or data[end : end + _NUMBER_TAIL.size] != tail:
                return 0
            scalar, dtype, encode, codec = memo[scalar_at], memo[dtype_at], memo[encode_at], memo[latin]
        except (IndexError, struct.error):
            return 0
        if type(scalar) is not Global or type(encode) is not Global:
            return 0
        text = data[end - length : end].decode("utf-8", "surrogatepass")
        raw = encode.build(encode.name, (text, codec))
        value = scalar.build(scalar.name, (dtype, raw))
        memo += (text, (text, codec), raw, (dtype, raw), value)
        self.stack.append(value)
        self.cost += 4 * 64
        return end + _NUMBER_TAIL.size

    def finish(self) -> Pickle:
        if self.position + 1 != len(self.data):
            raise CheckpointError(f"{len(self.data) - self.position - 1} bytes follow the first STOP")
        if self.outer or len(self.stack) != 1:
            raise CheckpointError("more than one value is left at STOP")
        root = self.stack[0]
        if type(root) is not dict:
            raise CheckpointError("it holds no dictionary, so it is not a training checkpoint")
        frame = self.frame if self.frame_end == len(self.data) else None
        return Pickle(root, self.position, frame, list(self.ends))

    # -- bytes, marks, memo --------------------------------------------------------------------------

    def take(self, length: int) -> bytes:
        left = len(self.data) - self.position
        if length > left:
            raise CheckpointError(f"a value of {length} bytes is announced, and {left} follow: truncated")
        piece = self.data[self.position : self.position + length]
        self.position += length
        return piece

    def line(self) -> str:
        end = self.data.index(b"\n", self.position)
        piece = self.data[self.position : end]
        self.position = end + 1
        return piece.decode()

    def begin_frame(self, length: int) -> None:
        if self.position <= self.frame_end:
            raise CheckpointError("a frame begins inside a frame")
        if length > len(self.data) - self.position:
            raise CheckpointError("a frame is longer than the data")
        self.frame, self.frame_end = self.position - 9, self.position + length

    def mark(self) -> None:
        if len(self.outer) >= MAX_MARKS:
            raise CheckpointError(f"values are nested more than {MAX_MARKS} deep")
        self.cost += 64
        self.outer.append(self.stack)
        self.stack = []

    def marked(self) -> list[Any]:
        values = self.stack
        self.stack = self.outer.pop()
        return values

    def put(self, index: int) -> None:
        # A pickler uses increasing numbers. A larger index serves only to make an unpickler allocate memory.
        if index == len(self.memo):
            self.memo.append(self.stack[-1])
        elif index < len(self.memo):
            self.memo[index] = self.stack[-1]
        else:
            raise CheckpointError(f"memo number {index} is out of turn")

    # -- values --------------------------------------------------------------------------------------

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def make(self, value: Any) -> None:
        self.cost += 64
        self.stack.append(value)

    def text(self, length: int) -> None:
        self.stack.append(self.take(length).decode("utf-8", "surrogatepass"))

    def key(self, value: Any) -> Any:
        """The value as a dict's key; a global becomes an ``Opaque``.

        Raises:
            CheckpointError: hashing the key could take too long, or the key could equal another one.
        """
        kind = type(value)
        if kind is int and not -(2**60) < value < 2**60:
            # Beyond Python's hash modulus, a file could choose numbers that all collide.
            raise CheckpointError("a key is a whole number beyond 2**60")
        if kind in _KEYS:
            return value
        if kind is tuple and len(value) <= 16 and _KEYS.issuperset(map(type, value)):
            self.tuple_keys += 1
            if self.tuple_keys <= MAX_TUPLE_KEYS:
                return value
        if kind is Global:
            return Opaque(value.name)
        # The result of a call may equal an existing key: str("nnguard"), for example.
        raise CheckpointError(f"a key is neither text nor a number, or more than {MAX_TUPLE_KEYS} are tuples")

    def set_items(self, pairs: list[Any]) -> None:
        target, stack = self.stack[-1], self.stack
        if len(pairs) % 2:
            raise CheckpointError("a key has no value")
        kind = type(target)
        self.cost += 20 * len(pairs)
        if kind is dict or kind is OrderedMapping:
            for index in range(0, len(pairs), 2):
                name = pairs[index]
                target[name if type(name) is str else self.key(name)] = pairs[index + 1]
        elif kind is not Opaque:
            raise CheckpointError("keys are set on something that is no dictionary")
        if len(stack) == 1 and not self.outer:
            self.ends.append(self.position)

    def extend(self, values: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is list:
            target.extend(values)
        elif type(target) is not Opaque:
            raise CheckpointError("values are appended to something that is no list")

    def tuple_of(self, length: int) -> None:
        values = self.stack[-length:]
        if len(values) < length:
            raise CheckpointError("a tuple takes more values than there are")
        self.cost += 64
        self.stack[-length:] = [tuple(values)]

    def marked_tuple(self) -> None:
        values = tuple(self.marked())
        self.cost += 8 * len(values)
        self.make(values)

    # -- what the unpickler would call ---------------------------------------------------------------

    def name_global(self, module: Any, name: Any) -> None:
        if type(module) is not str or type(name) is not str:
            raise CheckpointError("a global is named by something that is no text")
        full = known_name(module, name)
        build = KNOWN.get(full)
        if build is None:
            raise CheckpointError(
                f"dangerous: loading it would run {full}, which neither PyTorch nor numpy writes into a checkpoint; "
                "nothing that it says can be relied on"
            )
        self.make(Global(full, build))

    def call(self) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        if type(function) is not Global or type(arguments) is not tuple:
            raise CheckpointError("something is called that is no named global, or not with a tuple")
        self.make(function.build(function.name, arguments))

    def build(self) -> None:
        state = self.stack.pop()
        target = self.stack[-1]
        if type(target) is OrderedMapping:
            # Other attributes could hide methods of the mapping. PyTorch sets only this one.
            if type(state) is not dict or set(state) != {"_metadata"}:
                raise CheckpointError("an OrderedDict is given attributes that PyTorch does not give")
        elif type(target) is DType:
            target.settle(state)
        elif type(target) is not Opaque:
            raise CheckpointError("state is set on something that is no object")

    def storage(self) -> None:
        match self.stack.pop():
            case ("storage", Global(), str(), str(), int()):
                self.make(Opaque("torch.storage"))
            case _:
                raise CheckpointError("a reference to tensor data has not the form that PyTorch writes")


_STOP, _LONG_BINGET, _LONG_BINPUT = b".jr"
#: ``scalar(dtype, encode(text, "latin1"))`` with all repeated parts from the memo: the bytes before and after ``text``.
_NUMBER_HEAD, _NUMBER_TAIL = struct.Struct("<xIxIxIxI"), struct.Struct("<cIcI2sI2sI2sI2sI")
#: Opcode -> its operand's format and its handler, for all opcodes that ``stride`` does not interpret itself.
_OPCODES: dict[str, tuple[str, Callable[..., None]]] = {
    "\x95": ("<Q", _Reader.begin_frame),
    "(": ("", _Reader.mark),
    "q": ("<B", _Reader.put),
    "\x94": ("", lambda reader: reader.memo.append(reader.stack[-1])),
    "h": ("<B", lambda reader, index: reader.push(reader.memo[index])),
    "N": ("", lambda reader: reader.stack.append(None)),
    "\x88": ("", lambda reader: reader.push(True)),
    "\x89": ("", lambda reader: reader.push(False)),
    "K": ("<B", _Reader.push),
    "M": ("<H", _Reader.push),
    "J": ("<i", _Reader.push),
    "\x8a": ("<B", lambda reader, length: reader.push(int.from_bytes(reader.take(length), "little", signed=True))),
    "G": (">d", _Reader.push),
    "X": ("<I", _Reader.text),
    "\x8c": ("<B", _Reader.text),
    "B": ("<I", lambda reader, length: reader.push(reader.take(length))),
    "C": ("<B", lambda reader, length: reader.push(reader.take(length))),
    "}": ("", lambda reader: reader.make({})),
    "s": ("", lambda reader: reader.set_items([reader.stack.pop(-2), reader.stack.pop()])),
    "u": ("", lambda reader: reader.set_items(reader.marked())),
    "]": ("", lambda reader: reader.make([])),
    "a": ("", lambda reader: reader.extend([reader.stack.pop()])),
    "e": ("", lambda reader: reader.extend(reader.marked())),
    ")": ("", lambda reader: reader.push(())),
    "\x85": ("", lambda reader: reader.tuple_of(1)),
    "\x86": ("", lambda reader: reader.tuple_of(2)),
    "\x87": ("", lambda reader: reader.tuple_of(3)),
    "t": ("", _Reader.marked_tuple),
    "c": ("", lambda reader: reader.name_global(reader.line(), reader.line())),
    "\x93": ("", lambda reader: reader.name_global(reader.stack.pop(-2), reader.stack.pop())),
    "R": ("", _Reader.call),
    "b": ("", _Reader.build),
    "Q": ("", _Reader.storage),
}
_TABLE = {ord(code): (struct.Struct(operand), handler) for code, (operand, handler) in _OPCODES.items()}
