"""Plain values as pickle opcodes that every PyTorch loader understands, also with ``weights_only``.

The opcodes do not use the memo, so a later splice can cut them out again.
"""

from __future__ import annotations

import struct


def encoded(value: object) -> bytes:
    """The opcodes that push ``value``: text, numbers, ``None``, and tuples, lists and dicts of these.

    Raises:
        TypeError: for anything else.
    """
    if value is None:
        return b"N"
    if isinstance(value, bool):
        return b"\x88" if value else b"\x89"
    if type(value) is int:
        return _integer(value)
    if type(value) is float:
        return b"G" + struct.pack(">d", value)
    if type(value) is str:
        raw = value.encode("utf-8", "surrogatepass")
        return b"X" + struct.pack("<I", len(raw)) + raw
    if type(value) is tuple:
        return b"(" + b"".join(map(encoded, value)) + b"t" if value else b")"
    if type(value) is list:
        return b"](" + b"".join(map(encoded, value)) + b"e" if value else b"]"
    if type(value) is dict:
        return b"}(" + b"".join(encoded(key) + encoded(item) for key, item in value.items()) + b"u" if value else b"}"
    raise TypeError(f"{type(value).__name__} is no plain value")


def encoded_entry(key: str, value: object) -> bytes:
    """The opcodes that set one key of the dict on top of the stack."""
    return encoded(key) + encoded(value) + b"s"


def _integer(value: int) -> bytes:
    if -(1 << 31) <= value < 1 << 31:
        return b"J" + struct.pack("<i", value)
    raw = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    if len(raw) > 255:
        raise TypeError("a whole number of more than 255 bytes is no plain value")
    return b"\x8a" + bytes([len(raw)]) + raw
