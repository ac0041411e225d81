"""Zip archives as PyTorch lays them out, and every way of getting one wrong, from raw bytes and without PyTorch."""

from __future__ import annotations

import struct
import zlib
from typing import Any

from nnguard.checkpoint.pickle_writer import encoded, encoded_entry

LOCAL = "<4s5H3I2H"
CENTRAL = "<4s6H3I5H2I"
ROOT = "archive/"

#: What a made checkpoint says.
ENTRIES: dict[str, Any] = {
    "network_weights": {},
    "optimizer_state": {"state": {0: None, 1: None}, "param_groups": [{"lr": 0.01}]},
    "grad_scaler_state": None,
    "logging": {"mean_fg_dice": [0.5, 0.75], "dice_per_class_or_region": [[0.5], [0.75]]},
    "_best_ema": 0.75,
    "current_epoch": 2,
    "init_args": {"plans": {"plans_name": "nnUNetPlans"}, "configuration": "2d", "fold": 0, "dataset_json": {}},
    "trainer_name": "nnUNetTrainer",
    "inference_allowed_mirroring_axes": (0, 1),
}


def pickled(entries: dict[str, Any] | None = None, *, before: bytes = b"", inside: bytes = b"", after: bytes = b"",
            protocol: int = 2) -> bytes:  # fmt: skip
    """A ``data.pkl`` with opcodes of one's own before the root, among its entries (key and value), or before STOP."""
    items = ENTRIES if entries is None else entries
    body = b"".join(encoded(key) + encoded(value) for key, value in items.items())
    return b"\x80" + bytes([protocol]) + before + b"}q\x00(" + body + inside + b"u" + after + b"."


def text(value: str) -> bytes:
    return encoded(value)


def call(module: str, name: str, *arguments: bytes) -> bytes:
    """GLOBAL, a tuple of arguments, REDUCE."""
    return f"c{module}\n{name}\n".encode() + b"(" + b"".join(arguments) + b"tR"


class Piece:
    """A member and how it lies: each keyword of ``local`` or ``central`` replaces what belongs into that header."""

    def __init__(self, name: str, data: bytes, *, method: int = 0, crc: int | None = None,
                 local: dict[str, Any] | None = None, central: dict[str, Any] | None = None) -> None:  # fmt: skip
        self.name = name
        self.data = data
        self.method = method
        self.crc = zlib.crc32(data) if crc is None else crc
        self.local = local or {}
        self.central = central or {}

    @property
    def packed(self) -> bytes:
        if self.method == 0:
            return self.data
        deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
        return deflater.compress(self.data) + deflater.flush()

    def header(self, offset: int) -> bytes:
        name = self.local.get("name", self.name.encode())
        extra = self.local.get("extra", b"")
        fields = (
            self.local.get("signature", b"PK\x03\x04"), 20, self.local.get("flags", 0),
            self.local.get("method", self.method), 0, 0, self.local.get("crc", self.crc),
            self.local.get("packed", len(self.packed)), self.local.get("size", len(self.data)), len(name), len(extra),
        )  # fmt: skip
        return struct.pack(LOCAL, *fields) + name + extra

    def entry(self, offset: int) -> bytes:
        name = self.central.get("name", self.name.encode())
        extra = self.central.get("extra", b"")
        comment = self.central.get("comment", b"")
        fields = (
            self.central.get("signature", b"PK\x01\x02"), 20, 20, self.central.get("flags", 0),
            self.central.get("method", self.method), 0, 0, self.central.get("crc", self.crc),
            self.central.get("packed", len(self.packed)), self.central.get("size", len(self.data)),
            len(name), len(extra), len(comment), self.central.get("disk", 0), 0, 0,
            self.central.get("offset", offset),
        )  # fmt: skip
        return struct.pack(CENTRAL, *fields) + name + extra + comment


def zipped(pieces: list[Piece], *, prefix: bytes = b"", shifted: bool = False, gap: bytes = b"", suffix: bytes = b"",
           end: dict[str, int] | None = None, zip64: dict[str, int] | None = None) -> bytes:  # fmt: skip
    """A zip archive of ``pieces``; ``shifted`` offsets count the prefix, as a careful forger would write them."""
    out, entries = bytearray(prefix), b""
    base = len(prefix) if shifted else 0
    for piece in pieces:
        offset = len(out) - len(prefix) + base
        out += piece.header(offset) + piece.packed
        entries += piece.entry(offset)
    start = len(out) - len(prefix) + base
    out += entries + gap
    values = {"disk": 0, "first": 0, "here": len(pieces), "count": len(pieces), "size": len(entries), "start": start}
    if zip64 is not None:
        wide = {**values, "place": len(out), **zip64}
        out += struct.pack("<4sQ2H2I4Q", b"PK\x06\x06", wide.get("length", 44), 0x31E, 45, 0, 0, wide["here"],
                           wide["count"], wide["size"], wide["start"])  # fmt: skip
        out += struct.pack("<4sIQI", b"PK\x06\x07", 0, wide["place"], wide.get("disks", 1))
    last = {**values, "comment": 0, **(end or {})}
    out += struct.pack("<4s4H2IH", b"PK\x05\x06", *(last[key] for key in
                       ("disk", "first", "here", "count", "size", "start", "comment")))  # fmt: skip
    return bytes(out + suffix)


def data_pkl(data: bytes, **how: Any) -> Piece:
    return Piece(ROOT + "data.pkl", data, **how)


VERSION = Piece(ROOT + "version", b"3\n")
BYTEORDER = Piece(ROOT + "byteorder", b"little")
TENSOR = Piece(ROOT + "data/0", b"\0\0\x80?")


def checkpoint(data: bytes | None = None, *more: Piece, **how: Any) -> bytes:
    """A file as ``torch.save`` writes it, around a ``data.pkl``."""
    return zipped([data_pkl(pickled() if data is None else data), BYTEORDER, *more, VERSION], **how)


__all__ = [
    "BYTEORDER", "ENTRIES", "ROOT", "TENSOR", "VERSION", "Piece", "call", "checkpoint", "data_pkl", "encoded",
    "encoded_entry", "pickled", "text", "zipped",
]  # fmt: skip
