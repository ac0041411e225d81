"""One pass over the opcodes of ``data.pkl``: plain values out, nothing imported, nothing called.

Only opcodes that PyTorch's pickles consist of are understood, each bounded by the bytes that it came in,
and every doubt ends in ``CheckpointError``: what this reader accepts, the unpickler reads the same way.
"""

from __future__ import annotations

import codecs
import struct
from collections.abc import Callable, Collection
from typing import Any

from ..errors import CheckpointError
from .known import (
    KNOWN,
    DType,
    Global,
    Opaque,
    OrderedMapping,
    encoded_bytes,
    known_name,
    numpy_scalar,
    opaque,
)

#: Longest integer, in bytes: far above any seed or time stamp, and below what Python refuses to print.
MAX_INTEGER = 512
#: Memory that the values may take, in bytes, estimated: a floor, and so much for each byte of the file. nnU-Net's
#: own pickles stay below 8 bytes a byte; one-byte opcodes that each make a container reach 50 to 200.
FLOOR, GROWTH = 8 << 20, 16
#: So many opcodes pass between two looks at that estimate.
STRIDE = 1 << 14
#: Marks inside marks. Python's own recursion limit keeps a pickler from writing more than about 300.
MAX_MARKS = 1_000
#: Keys whose hash a file can choose (tuples). Colliding ones cost their number squared; nnU-Net writes none.
MAX_TUPLE_KEYS = 500

#: What Python's pickler writes floats with; Python's parser would take more ("1_0", "infinity") than C's.
_FLOAT_LETTERS = b"0123456789+-.einfa"
_SIZE_2, _SIZE_4, _SIZE_8 = struct.Struct("<H"), struct.Struct("<I"), struct.Struct("<Q")
_SIGNED_4, _DOUBLE = struct.Struct("<i"), struct.Struct(">d")


class Entry:
    """A key set on the root by itself: ``start`` to ``stop`` are its bytes, key, value and SETITEM."""

    __slots__ = ("key", "start", "stop", "value")

    def __init__(self, key: Any, value: Any, start: int, stop: int) -> None:
        self.key = key
        self.value = value
        self.start = start
        self.stop = stop


class Pickle:
    """What a pickle holds, and where.

    Attributes:
        root: the dict at its top.
        protocol: as its first opcode says; 1 or 0 where there is none.
        tensors: how many tensors it refers to.
        entries: the last entries before STOP that were set one by one, adjacent to each other.
        stop: the position of STOP.
        frame: the position of the FRAME opcode that STOP lies in, if any.
    """

    __slots__ = ("entries", "frame", "protocol", "root", "stop", "tensors")

    def __init__(
        self, root: dict[Any, Any], protocol: int, tensors: int, entries: list[Entry], stop: int, frame: int | None
    ) -> None:
        self.root = root
        self.protocol = protocol
        self.tensors = tensors
        self.entries = entries
        self.stop = stop
        self.frame = frame


def read_pickle(data: bytes, trusted: Collection[str] = ()) -> Pickle:
    """Reads a checkpoint's ``data.pkl``.

    Args:
        data: all of its bytes.
        trusted: globals (``module.name``) beyond ``known.KNOWN`` that the caller knows to be harmless; what
            they build stays opaque.

    Raises:
        CheckpointError: with the position and the reason.
    """
    reader = _Reader(data, frozenset(trusted))
    try:
        return reader.run()
    except CheckpointError as error:
        raise CheckpointError(f"data.pkl, byte {reader.start}: {error}") from None
    except (IndexError, struct.error):
        raise CheckpointError(
            f"data.pkl, byte {reader.start}: it ends, or takes a value, where there is none"
        ) from None
    except (UnicodeError, ValueError, OverflowError) as error:
        raise CheckpointError(f"data.pkl, byte {reader.start}: a value is garbled ({error})") from None


class _Reader:
    def __init__(self, data: bytes, trusted: frozenset[str]) -> None:
        self.data = data
        self.trusted = trusted
        self.position = self.start = 0
        self.stack: list[Any] = []
        self.outer: list[list[Any]] = []
        self.memo: list[Any] = []
        self.cost = 0
        self.tensors = 0
        self.tuple_keys = 0
        self.frame: int | None = None
        self.frame_end = 0
        self.root_alone_at = 0
        self.entries: list[Entry] = []
        self.shape: tuple[bytes, int, DType] | None = None

    def run(self) -> Pickle:
        if not self.data:
            raise CheckpointError("it is empty")
        while not self.stride():
            held = self.cost + 8 * (len(self.stack) + len(self.memo))
            if held > FLOOR + GROWTH * len(self.data):
                raise CheckpointError("its values would take far more memory than the file, as no training's do")
        return self.finish()

    def stride(self) -> bool:
        """Interprets a stretch of opcodes. True when it ended at STOP.

        Nearly all opcodes of a long training's checkpoint are those of logged numbers, so these are interpreted
        here: a call each would double the time.
        """
        data, table, memo, stack, position = self.data, _TABLE, self.memo, self.stack, self.position
        try:
            for _ in range(STRIDE):
                code = data[position]
                if code == _BINGET:
                    stack.append(memo[data[position + 1]])
                    position += 2
                elif code == _LONG_BINGET:
                    end = self.logged_numbers(position)
                    if end > position:
                        position = end
                    else:
                        self.get(_SIZE_4.unpack_from(data, position + 1)[0])
                        position += 5
                elif code == _LONG_BINPUT or code == _BINPUT:  # noqa: SIM109 (a tuple costs a fifth of all)
                    long = code == _LONG_BINPUT
                    index = _SIZE_4.unpack_from(data, position + 1)[0] if long else data[position + 1]
                    if index == len(memo):
                        memo.append(stack[-1])
                    else:
                        self.put(index)
                    position += 5 if long else 2
                elif code == _BINUNICODE:
                    begin = position + 5
                    end = begin + _SIZE_4.unpack_from(data, position + 1)[0]
                    if end > len(data):
                        raise CheckpointError(f"a text of {end - begin} bytes is announced: truncated")
                    stack.append(data[begin:end].decode("utf-8", "surrogatepass"))
                    self.cost += 50 + end - begin
                    position = end
                elif code == _TUPLE2:
                    stack[-2:] = [(stack[-2], stack[-1])]
                    self.cost += 64
                    position += 1
                elif code == _STOP:
                    self.position = position + 1
                    return True
                else:
                    handler = table[code]
                    if handler is None:
                        raise CheckpointError(f"opcode {bytes([code])!r} is none that PyTorch writes")
                    self.position = position + 1
                    self.start = position
                    handler(self)
                    stack, position = self.stack, self.position
        finally:
            self.start = position
        self.position = position
        return False

    def logged_numbers(self, position: int) -> int:
        """Reads numpy's numbers, as many as follow each other, where protocol 2 has written them as it always does.

        nnU-Net logs six of them an epoch, in fourteen opcodes each, alike but for text and places in the memo; the
        first one's shape is what the others are compared with. Whatever differs in anything is left to the single
        opcodes: this decides about speed alone.

        Returns:
            The position behind the last one, or ``position`` where there is none.
        """
        data, memo, stack = self.data, self.memo, self.stack
        if self.shape is None or data[position : position + len(self.shape[0])] != self.shape[0]:
            shape = self.shape_at(position)
            if shape is None:
                return position
            self.shape = shape
        head, tail, dtype = self.shape
        length = len(head)
        while data[position : position + length] == head and dtype.number is not None:
            begin = position + length + 4
            end = begin + _SIZE_4.unpack_from(data, begin - 4)[0]
            stop = end + _NUMBER_TAIL.size
            # As one whole number: places in the memo follow each other, so they differ by as much as it grew.
            if int.from_bytes(data[end:stop], "little") != tail + len(memo) * _NUMBER_TAIL_STEP or stop > len(data):
                break
            try:
                text = data[begin:end].decode("utf-8", "surrogatepass")
                raw = text.encode("latin-1")
                value = dtype.number.unpack(raw)[0]
            except (UnicodeError, struct.error):
                break
            memo += (text, (text, "latin1"), raw, (dtype, raw), value)
            stack.append(value)
            self.cost += 50 + end - begin + 4 * 64
            position = stop
        return position

    def shape_at(self, position: int) -> tuple[bytes, int, DType] | None:
        """The shape of the logged number at ``position``, if there is one: its bytes up to the text, those behind it
        less what the memo's length adds, and its type."""
        memo, first = self.memo, len(self.memo)
        try:
            head = _NUMBER_HEAD.unpack_from(self.data, position)
            end = position + _NUMBER_HEAD.size + head[7]
            tail = _NUMBER_TAIL.unpack_from(self.data, end)
            number, dtype, encode, latin = memo[head[1]], memo[head[3]], memo[head[5]], memo[tail[3]]
        except (IndexError, struct.error):
            return None
        if head[::2] != _NUMBER_HEAD_CODES or tail != (
            _LONG_BINPUT, first, _LONG_BINGET, tail[3], _TUPLE2, _LONG_BINPUT, first + 1, _REDUCE,
            _LONG_BINPUT, first + 2, _TUPLE2, _LONG_BINPUT, first + 3, _REDUCE, _LONG_BINPUT, first + 4,
        ):  # fmt: skip
            return None
        called = type(number) is Global is type(encode) and not (number.rebuilds or encode.rebuilds)
        if not called or number.build is not numpy_scalar or encode.build is not encoded_bytes:
            return None
        if type(dtype) is not DType or latin != "latin1":
            return None
        base = int.from_bytes(self.data[end : end + _NUMBER_TAIL.size], "little") - first * _NUMBER_TAIL_STEP
        return self.data[position : position + _NUMBER_HEAD.size - 4], base, dtype

    def finish(self) -> Pickle:
        if self.position != len(self.data):
            raise CheckpointError(f"{len(self.data) - self.position} bytes follow the first STOP")
        if self.outer or len(self.stack) != 1:
            raise CheckpointError("more than one value is left at STOP")
        if self.frame is not None and self.frame_end > self.position:
            raise CheckpointError("its last frame is longer than the data")
        root = self.stack[0]
        if type(root) is not dict:
            raise CheckpointError("it holds no dictionary, so it is not a training checkpoint")
        protocol = self.data[1] if self.data[0] == 0x80 else int(self.data[:1] == b"}")
        inside = self.frame is not None and self.frame_end == self.position
        tail = self.entries if self.root_alone_at == self.start else []
        return Pickle(root, protocol, self.tensors, tail, self.start, self.frame if inside else None)

    # -- bytes ---------------------------------------------------------------------------------------

    def take(self, length: int) -> bytes:
        end = self.position + length
        if end > len(self.data):
            raise CheckpointError(
                f"a value of {length} bytes is announced, and {len(self.data) - self.position} follow"
            )
        piece = self.data[self.position : end]
        self.position = end
        return piece

    def byte(self) -> int:
        value = self.data[self.position]
        self.position += 1
        return value

    def number(self, layout: struct.Struct) -> Any:
        value = layout.unpack_from(self.data, self.position)[0]
        self.position += layout.size
        return value

    def line(self) -> bytes:
        end = self.data.find(b"\n", self.position)
        if end < 0:
            raise CheckpointError("a line has no end: truncated")
        piece = self.data[self.position : end]
        self.position = end + 1
        return piece

    # -- structure -----------------------------------------------------------------------------------

    def protocol(self) -> None:
        value = self.byte()
        if self.start != 0:
            raise CheckpointError("PROTO stands in the middle")
        if not 2 <= value <= 5:
            raise CheckpointError(f"pickle protocol {value} does not exist")

    def begin_frame(self) -> None:
        length = self.number(_SIZE_8)
        if self.start < self.frame_end:
            raise CheckpointError("a frame begins inside a frame")
        if length > len(self.data) - self.position:
            raise CheckpointError("a frame is longer than the data")
        self.frame, self.frame_end = self.start, self.position + length

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

    def pop_marked(self) -> None:
        self.marked()

    def pop(self) -> None:
        if self.stack:
            self.stack.pop()
        else:
            self.marked()

    # -- memo ----------------------------------------------------------------------------------------

    def put(self, index: int) -> None:
        # Picklers number as they go; a larger index only serves to make an unpickler allocate.
        if index == len(self.memo):
            self.memo.append(self.stack[-1])
        elif 0 <= index < len(self.memo):
            self.memo[index] = self.stack[-1]
            self.shape = None  # what it refers to may have been here
        else:
            raise CheckpointError(f"memo number {index} is out of turn")

    def get(self, index: int) -> None:
        if not 0 <= index < len(self.memo):
            raise CheckpointError(f"memo number {index} was never stored")
        self.stack.append(self.memo[index])

    def decimal(self) -> int:
        return _whole(self.line())

    # -- scalars -------------------------------------------------------------------------------------

    def integer_line(self) -> None:
        flag = {b"00": False, b"01": True}.get(self.data[self.position : self.position + 2])
        if flag is not None and self.data[self.position + 2 : self.position + 3] == b"\n":
            self.position += 3
            self.stack.append(flag)
        else:
            self.stack.append(self.decimal())

    def long_line(self) -> None:
        text = self.line()
        if not text.endswith(b"L"):
            raise CheckpointError("a whole number is not written as one")
        self.stack.append(_whole(text[:-1]))

    def float_line(self) -> None:
        text = self.line()
        if text.strip(_FLOAT_LETTERS):
            raise CheckpointError("a number is not written as one")
        self.stack.append(float(text))

    def long(self, length: int) -> None:
        if not 0 <= length <= MAX_INTEGER:
            raise CheckpointError(f"a whole number of {length} bytes is longer than any that is needed")
        self.stack.append(int.from_bytes(self.take(length), "little", signed=True))

    def unicode_line(self) -> None:
        text = codecs.raw_unicode_escape_decode(self.line())[0]
        self.cost += 50 + len(text)
        self.stack.append(text)

    def text(self, length: int) -> None:
        self.cost += 50 + length
        self.stack.append(self.take(length).decode("utf-8", "surrogatepass"))

    def old_text(self, length: int) -> None:
        # Python 2's str, which torch.load decodes as UTF-8.
        if length < 0:
            raise CheckpointError("a text of negative length")
        self.cost += 50 + length
        self.stack.append(self.take(length).decode("utf-8"))

    def bytes(self, length: int) -> None:
        self.cost += 33 + length
        self.stack.append(self.take(length))

    def byte_array(self) -> None:
        self.take(self.number(_SIZE_8))
        self.make(Opaque("bytearray"))

    # -- containers ----------------------------------------------------------------------------------

    def make(self, value: Any) -> None:
        self.cost += 216 if type(value) is set else 64
        self.stack.append(value)

    def key(self, value: Any) -> Any:
        """A dict's key or a set's member, or a stand-in where hashing it could cost more than it is worth."""
        kind = type(value)
        if kind is str or value is None or kind is bool or kind is float or kind is bytes:
            return value
        if kind is int:
            # Beyond Python's hash modulus a file could choose numbers that all collide.
            if -(2**60) < value < 2**60:
                return value
            raise CheckpointError("a key is a whole number beyond 2**60")
        if kind is tuple:
            if len(value) > 16 or not all(type(part) in (str, int, float, bool, bytes, type(None)) for part in value):
                raise CheckpointError("a key is a nested or long tuple")
            self.tuple_keys += 1
            if self.tuple_keys > MAX_TUPLE_KEYS:
                raise CheckpointError(f"more than {MAX_TUPLE_KEYS} keys are tuples")
            return value
        if kind is Global:
            return Opaque(value.name)
        # What a call makes may equal a key that is there: str("nnguard"), for example.
        raise CheckpointError("a key is neither text nor a number")

    def set_items(self, target: Any, pairs: list[Any]) -> None:
        if len(pairs) % 2:
            raise CheckpointError("a key has no value")
        kind = type(target)
        self.cost += 20 * len(pairs)
        if kind is dict or kind is OrderedMapping:
            key = self.key
            for index in range(0, len(pairs), 2):
                name = pairs[index]
                target[name if type(name) is str else key(name)] = pairs[index + 1]
        elif kind is not Opaque:
            raise CheckpointError("keys are set on something that is no dictionary")

    def set_item(self) -> None:
        stack = self.stack
        value, key = stack.pop(), stack.pop()
        self.set_items(stack[-1], [key, value])
        if len(stack) == 1 and not self.outer:
            self.note_entry(key, value)

    def note_entry(self, key: Any, value: Any) -> None:
        begin = self.root_alone_at
        if self.entries and self.entries[-1].stop != begin:
            self.entries = []
        if begin:
            self.entries.append(Entry(key, value, begin, self.position))
        self.root_alone_at = self.position

    def set_marked_items(self) -> None:
        pairs = self.marked()
        self.set_items(self.stack[-1], pairs)
        if len(self.stack) == 1 and not self.outer:
            self.root_alone_at = self.position

    def extend(self, target: Any, values: list[Any]) -> None:
        if type(target) is list:
            target.extend(values)
        elif type(target) is not Opaque:
            raise CheckpointError("values are appended to something that is no list")

    def append(self) -> None:
        value = self.stack.pop()
        self.extend(self.stack[-1], [value])

    def append_marked(self) -> None:
        values = self.marked()
        self.extend(self.stack[-1], values)

    def add_marked(self) -> None:
        values = self.marked()
        target = self.stack[-1]
        if type(target) is not set:
            raise CheckpointError("members are added to something that is no set")
        self.cost += 40 * len(values)
        target.update(map(self.key, values))

    def frozen_set(self) -> None:
        values = self.marked()
        self.cost += 216 + 40 * len(values)
        self.stack.append(frozenset(map(self.key, values)))

    def marked_dict(self) -> None:
        pairs = self.marked()
        made: dict[Any, Any] = {}
        self.set_items(made, pairs)
        self.make(made)

    def tuple_of(self, length: int) -> None:
        stack = self.stack
        if len(stack) < length:
            raise CheckpointError("a tuple takes more values than there are")
        self.cost += 64
        stack[-length:] = [tuple(stack[-length:])]

    def marked_tuple(self) -> None:
        values = tuple(self.marked())
        self.cost += 8 * len(values)
        self.make(values)

    def marked_list(self) -> None:
        values = self.marked()
        self.cost += 8 * len(values)
        self.make(values)

    # -- what the unpickler would call ---------------------------------------------------------------

    def name_global(self, module: str, name: str) -> None:
        full = known_name(module, name)
        build = KNOWN.get(full) or (opaque if full in self.trusted else None)
        if build is None:
            raise CheckpointError(
                f"it names {full}, which is none of the globals that PyTorch and numpy write: loading this file would "
                "import it and may run it, so nothing that the file says can be relied on"
            )
        self.make(Global(full, build))

    def global_line(self) -> None:
        module, name = self.line().decode(), self.line().decode()
        self.name_global(module, name)

    def global_on_stack(self) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        if type(name) is not str or type(module) is not str:
            raise CheckpointError("a global is named by something that is no text")
        self.name_global(module, name)

    def call(self) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        if type(function) is not Global or type(arguments) is not tuple:
            raise CheckpointError("something is called that is no named global, or not with a tuple")
        self.tensors += function.rebuilds
        self.make(function.build(function.name, arguments))

    def new_object(self) -> None:
        arguments, kind = self.stack.pop(), self.stack.pop()
        if type(kind) is not Global or type(arguments) is not tuple:
            raise CheckpointError("an object is made of something that is no named global")
        self.make(Opaque(kind.name))

    def new_object_with_keywords(self) -> None:
        if type(self.stack.pop()) is not dict:
            raise CheckpointError("keyword arguments are no dictionary")
        self.new_object()

    def build(self) -> None:
        state = self.stack.pop()
        target = self.stack[-1]
        if type(target) is OrderedMapping:
            # Attributes could hide methods of the mapping; PyTorch sets this one.
            if type(state) is not dict or set(state) != {"_metadata"}:
                raise CheckpointError("an OrderedDict is given attributes that PyTorch does not give")
        elif type(target) is DType:
            self.build_dtype(target, state)
        elif type(target) is not Opaque:
            raise CheckpointError("state is set on something that is no object")

    def build_dtype(self, target: DType, state: Any) -> None:
        order = state[1] if type(state) is tuple and len(state) >= 8 else None
        if order not in ("<", ">", "|"):
            raise CheckpointError("a numpy dtype has a state that numpy does not write")
        target.settle(order, plain=state[2:] == (None, None, None, -1, -1, 0))

    def storage(self) -> None:
        match self.stack.pop():
            case ("storage", Global(), str(), str(), int()):
                self.make(Opaque("torch.storage"))
            case _:
                raise CheckpointError("a reference to tensor data has not the form that PyTorch writes")


Handler = Callable[[_Reader], None]


def _push(value: Any) -> Handler:
    return lambda reader: reader.stack.append(value)


def _handlers() -> dict[str, Handler]:
    """Opcode -> handler, of all that ``stride`` does not interpret itself."""
    return {
        "\x80": _Reader.protocol,
        "\x95": _Reader.begin_frame,
        "(": _Reader.mark,
        "0": _Reader.pop,
        "1": _Reader.pop_marked,
        "p": lambda reader: reader.put(reader.decimal()),
        "\x94": lambda reader: reader.put(len(reader.memo)),
        "g": lambda reader: reader.get(reader.decimal()),
        "N": _push(None),
        "\x88": _push(True),
        "\x89": _push(False),
        ")": _push(()),
        "I": _Reader.integer_line,
        "L": _Reader.long_line,
        "F": _Reader.float_line,
        "K": lambda reader: reader.stack.append(reader.byte()),
        "M": lambda reader: reader.stack.append(reader.number(_SIZE_2)),
        "J": lambda reader: reader.stack.append(reader.number(_SIGNED_4)),
        "G": lambda reader: reader.stack.append(reader.number(_DOUBLE)),
        "\x8a": lambda reader: reader.long(reader.byte()),
        "\x8b": lambda reader: reader.long(reader.number(_SIGNED_4)),
        "V": _Reader.unicode_line,
        "\x8c": lambda reader: reader.text(reader.byte()),
        "\x8d": lambda reader: reader.text(reader.number(_SIZE_8)),
        "T": lambda reader: reader.old_text(reader.number(_SIGNED_4)),
        "U": lambda reader: reader.old_text(reader.byte()),
        "B": lambda reader: reader.bytes(reader.number(_SIZE_4)),
        "C": lambda reader: reader.bytes(reader.byte()),
        "\x8e": lambda reader: reader.bytes(reader.number(_SIZE_8)),
        "\x96": _Reader.byte_array,
        "}": lambda reader: reader.make({}),
        "d": _Reader.marked_dict,
        "s": _Reader.set_item,
        "u": _Reader.set_marked_items,
        "]": lambda reader: reader.make([]),
        "l": _Reader.marked_list,
        "a": _Reader.append,
        "e": _Reader.append_marked,
        "\x85": lambda reader: reader.tuple_of(1),
        "\x87": lambda reader: reader.tuple_of(3),
        "t": _Reader.marked_tuple,
        "\x8f": lambda reader: reader.make(set()),
        "\x90": _Reader.add_marked,
        "\x91": _Reader.frozen_set,
        "c": _Reader.global_line,
        "\x93": _Reader.global_on_stack,
        "R": _Reader.call,
        "\x81": _Reader.new_object,
        "\x92": _Reader.new_object_with_keywords,
        "b": _Reader.build,
        "Q": _Reader.storage,
    }


def _whole(text: bytes) -> int:
    digits = text[1:] if text.startswith(b"-") else text
    # C reads a leading 0 as octal; Python refuses to convert more digits than these.
    if not digits.isdigit() or (digits.startswith(b"0") and digits != b"0") or len(digits) > 2 * MAX_INTEGER:
        raise CheckpointError("a whole number is not written as one")
    return int(text)


_STOP, _BINGET, _BINPUT, _LONG_BINGET, _LONG_BINPUT, _BINUNICODE, _TUPLE2, _REDUCE = b".hqjrX\x86R"
#: ``scalar(dtype, encode(text, "latin1"))``, its globals and "latin1" out of the memo: up to the text, and behind it.
_NUMBER_HEAD, _NUMBER_TAIL = struct.Struct("<BIBIBIBI"), struct.Struct("<BIBIBBIBBIBBIBBI")
#: One at the lowest byte of each of the five places in the memo that the tail stores to.
_NUMBER_TAIL_STEP = sum(256**offset for offset in (1, 12, 18, 24, 30))
_NUMBER_HEAD_CODES = (_LONG_BINGET, _LONG_BINGET, _LONG_BINGET, _BINUNICODE)
_TABLE: list[Handler | None] = [_handlers().get(chr(code)) for code in range(256)]
