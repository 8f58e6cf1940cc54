import struct
from pathlib import Path

import pytest

from train.events import Events, crc32c

LINES = [
    {"phase": "head", "epoch": 1, "step": 4, "loss": 1.5, "seconds": 0.25},
    {"phase": "full", "epoch": 1, "step": 20, "loss": 1.25, "val_top1": 0.5, "seconds": 1.5},
    {"phase": "full", "epoch": 2, "step": 300, "loss": 0.5, "seconds": 9.0},
]


def records(path: Path) -> list[bytes]:
    """Return the records of a file, whose checksums must be right."""
    data, found, at = path.read_bytes(), [], 0
    while at < len(data):
        (length,) = struct.unpack_from("<Q", data, at)
        assert struct.unpack_from("<I", data, at + 8)[0] == masked(data[at : at + 8])
        found.append(data[at + 12 : at + 12 + length])
        assert struct.unpack_from("<I", data, at + 12 + length)[0] == masked(found[-1])
        at += 16 + length
    return found


def masked(data: bytes) -> int:
    crc = crc32c(data)
    return ((crc >> 15) + (crc << 17) + 0xA282EAD8) % 2**32


def test_the_checksum_is_that_of_the_rfc() -> None:
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA  # RFC 3720, B.4


def test_steps_count_on_over_the_phases(tmp_path: Path) -> None:
    events = Events(tmp_path)
    events.begin(LINES[:1])
    for line in LINES[1:]:
        events.add(line)
    first, *rest = records(events.path)
    assert first.endswith(b"brain.Event:2")
    assert [each[9:11] for each in rest[:2]] == [b"\x10\x04", b"\x10\x18"]  # steps 4 and 24
    assert rest[2][9:12] == b"\x10\xb0\x02"  # 304
    assert b"loss\x15" + struct.pack("<f", 1.25) in rest[1]
    assert b"val_top1\x15" + struct.pack("<f", 0.5) in rest[1]


def test_a_run_that_goes_on_has_the_file_of_one_that_was_not_disturbed(tmp_path: Path) -> None:
    calm, killed = Events(tmp_path / "calm"), Events(tmp_path / "killed")
    calm.begin([])
    for line in LINES:
        calm.add(line)
    killed.begin(LINES[:2])
    killed.add({**LINES[2], "step": 299})  # lost with the steps after the last checkpoint
    Events(tmp_path / "killed").begin(LINES)
    assert killed.path.read_bytes() == calm.path.read_bytes()


def test_tensorboard_reads_it(tmp_path: Path) -> None:
    loader = pytest.importorskip("tensorboard.backend.event_processing.event_file_loader")
    events = Events(tmp_path)
    events.begin(LINES)
    found = list(loader.LegacyEventFileLoader(str(events.path)).Load())
    assert [event.step for event in found] == [0, 4, 24, 304]
    assert found[2].summary.value[1].tag == "val_top1"
    assert found[2].summary.value[1].simple_value == 0.5
