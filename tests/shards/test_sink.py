import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from shards.sink import Sink

ON_RAMFS = """
mount -t ramfs none "$FOLDER" && cd "$FOLDER" || exit 2
dd if=/dev/zero of=direct bs=4096 count=1 oflag=direct && exit 3
$PYTHON -c "
from pathlib import Path
from shards.sink import Sink
with Sink(Path('new'), 9000) as sink:
    for byte in b'abc':
        sink.room(9000)[:] = bytes([byte]) * 9000
        sink.write(9000)
print(Path('new').read_bytes() == b'a' * 9000 + b'b' * 9000 + b'c' * 9000)
"
"""


@pytest.mark.parametrize("sizes", [[], [0], [1], [4096], [511, 513], [9000] * 5, [5000, 0, 8192]])
def test_what_was_laid_is_what_lies_there(tmp_path: Path, sizes: list[int]) -> None:
    pieces = [random.Random(size).randbytes(size) for size in sizes]
    with Sink(tmp_path / "new", 9000) as sink:
        for piece in pieces:
            sink.room(len(piece))[:] = piece
            sink.write(len(piece))
    assert (tmp_path / "new").read_bytes() == b"".join(pieces)


def test_a_file_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "old").write_bytes(b"old")
    with pytest.raises(FileExistsError):
        Sink(tmp_path / "old", 9000)
    assert (tmp_path / "old").read_bytes() == b"old"


@pytest.mark.skipif(
    subprocess.run(["unshare", "-Urm", "true"], check=False, capture_output=True).returncode != 0,
    reason="takes a user namespace, to mount a file system in",
)
def test_a_file_system_without_direct_writes_gets_the_same_bytes(tmp_path: Path) -> None:
    done = subprocess.run(
        ["unshare", "-Urm", "sh", "-c", ON_RAMFS],
        env={**os.environ, "FOLDER": str(tmp_path), "PYTHON": sys.executable},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr
