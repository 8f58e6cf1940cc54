"""The figures of a run as TensorBoard reads them: `tensorboard --logdir data/runs`.

A file of records (length, checksum, bytes, checksum), each a protocol buffer: few enough kinds
to be written by hand. Formats: tensorflow/core/lib/io/record_writer.h, core/util/event.proto and
core/framework/summary.proto of TensorFlow.
"""

import struct
from pathlib import Path
from typing import Any

from flora.ledger import publish

_NAME = "events.out.tfevents.0.train"
_ABOUT = {"phase", "epoch", "step", "seconds"}
"""What in a line is no figure."""


class Events:
    """A file of all figures over the steps of a run. Its clock is the seconds of training."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / _NAME
        self._phase, self._first, self._last = "", 0, 0

    def begin(self, lines: list[dict[str, Any]]) -> None:
        """Start from *lines* of metrics.jsonl, whatever the file holds."""
        self._phase, self._first, self._last = "", 0, 0
        start = record(_double(1, 0.0) + _bytes(3, b"brain.Event:2"))
        with publish(self.path) as draft:
            draft.write_bytes(start + b"".join(self._event(line) for line in lines))

    def add(self, line: dict[str, Any]) -> None:
        """Write one more line."""
        with self.path.open("ab") as file:
            file.write(self._event(line))

    def _event(self, line: dict[str, Any]) -> bytes:
        """Return a line as a record; steps of all phases count on."""
        if line["phase"] != self._phase:
            self._phase, self._first = line["phase"], self._last
        self._last = self._first + line["step"]
        values = b"".join(
            _bytes(1, _bytes(1, name.encode()) + b"\x15" + struct.pack("<f", value))
            for name, value in line.items()
            if name not in _ABOUT
        )
        return record(_double(1, line["seconds"]) + _number(2, self._last) + _bytes(5, values))


def record(data: bytes) -> bytes:
    """Return *data* as a record."""
    length = struct.pack("<Q", len(data))
    return length + _checksum(length) + data + _checksum(data)


def crc32c(data: bytes) -> int:
    """Return the CRC-32C of *data* (Castagnoli; RFC 3720, B.4)."""
    value = 0xFFFFFFFF
    for byte in data:
        value = value >> 8 ^ _TABLE[(value ^ byte) & 0xFF]
    return value ^ 0xFFFFFFFF


def _checksum(data: bytes) -> bytes:
    value = crc32c(data)
    return struct.pack("<I", ((value >> 15 | value << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def _row(value: int) -> int:
    for _ in range(8):
        value = value >> 1 ^ 0x82F63B78 * (value & 1)
    return value


_TABLE = [_row(byte) for byte in range(256)]


def _number(field: int, value: int) -> bytes:
    return bytes([field << 3]) + _varint(value)


def _double(field: int, value: float) -> bytes:
    return bytes([field << 3 | 1]) + struct.pack("<d", value)


def _bytes(field: int, value: bytes) -> bytes:
    return bytes([field << 3 | 2]) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)
