"""Members of a tar file as bytes, so that it is known where each lies.

Plain ustar (POSIX.1-1988) with everything about the writer left out: the same names and data
give the same bytes, anywhere and at any time.
"""

import tarfile

BLOCK = 512
END = bytes(2 * BLOCK)
"""What a tar ends with."""


def member(name: str, data: bytes) -> bytes:
    """Return the header, *data* and padding of one member; the data begins at byte BLOCK."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    return info.tobuf(tarfile.USTAR_FORMAT) + data + bytes(-len(data) % BLOCK)


def padded(length: int) -> int:
    """Return the room that *length* bytes of data take, padding included."""
    return length + -length % BLOCK
