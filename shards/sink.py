"""A file of gigabytes, written past the system's page cache, while more of it is made.

To copy what is written into the page cache takes a processor about as long as to read it did, and
pushes out what is still to be read. So the disk takes it from our buffers (O_DIRECT), in pieces
of whole pages; where a file system knows no such writes, the usual ones do the same.
"""

import errno
import fcntl
import mmap
import os
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

_NEW = os.O_CREAT | os.O_EXCL | os.O_WRONLY
_OURS = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS


class Sink:
    """The new file *path*, whose pieces have at most *size* bytes each: `room`, then `write`."""

    def __init__(self, path: Path, size: int) -> None:
        self._file = _create(path)
        self._front, self._back = (_buffer(size + mmap.PAGESIZE) for _ in range(2))
        self._kept = 0
        """Bytes at the beginning of the front buffer that do not fill a page yet."""
        self._beside = ThreadPoolExecutor(1)
        self._writing: Future[None] = self._beside.submit(_write, self._file, self._back[:0])

    def __enter__(self) -> "Sink":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_error: object) -> None:
        try:
            self._beside.shutdown()
            if kind is None:
                self._writing.result()
                fcntl.fcntl(self._file, fcntl.F_SETFL, 0)  # the last bytes fill no page
                _write(self._file, self._front[: self._kept])
        finally:
            os.close(self._file)

    def room(self, size: int) -> memoryview:
        """Return where the next *size* bytes are to be laid."""
        return self._front[self._kept : self._kept + size]

    def write(self, size: int) -> None:
        """Begin to write what was laid in the room of *size* bytes, which is not to change now.

        Raises OSError, of this piece or the one before.
        """
        end = self._kept + size
        whole = end - end % mmap.PAGESIZE
        self._writing.result()
        self._back[: end - whole] = self._front[whole:end]
        self._writing = self._beside.submit(_write, self._file, self._front[:whole])
        self._front, self._back, self._kept = self._back, self._front, end - whole


def _create(path: Path) -> int:
    try:
        return os.open(path, _NEW | os.O_DIRECT, 0o666)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        path.unlink(missing_ok=True)  # it is there for some that refuse to open it so
        return os.open(path, _NEW, 0o666)


def _buffer(size: int) -> memoryview:
    """Return memory that begins with a page, in huge pages where the system has them."""
    memory = mmap.mmap(-1, size, flags=_OURS)
    memory.madvise(mmap.MADV_HUGEPAGE)
    return memoryview(memory)


def _write(file: int, data: memoryview) -> None:
    while data:
        data = data[os.write(file, data) :]
