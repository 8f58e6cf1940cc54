"""Members of a tar file as bytes, so that it is known where each lies.

Plain ustar (POSIX.1-1988) with everything about the writer left out: the same names and data
give the same bytes, anywhere and at any time.
"""

import tarfile
import zlib

BLOCK = 512
END = bytes(2 * BLOCK)
"""What a tar ends with."""

_NAME = 100
_TEMPLATE = tarfile.TarInfo("").tobuf(tarfile.USTAR_FORMAT)
_OWNER, _TIME, _REST = _TEMPLATE[100:124], _TEMPLATE[135:148], _TEMPLATE[156:]
_SUM = sum(_OWNER) + sum(_TIME) + sum(_REST) + 8 * ord(" ")  # its own field counts as spaces


def header(name: str, size: int) -> bytes:
    """Return the header of a member of *size* bytes: BLOCK bytes, its data and padding follow.

    *name* is plain ASCII of at most 100 characters, else ValueError is raised. tarfile makes the
    same bytes, many times slower: most of a header, and of its checksum, is always the same.
    """
    plain, digits = name.encode("ascii"), b"%011o" % size
    if len(plain) > _NAME or len(digits) > 11:
        raise ValueError(f"{name!r} of {size:,} bytes does not fit into a tar's header")
    checksum = b"%06o\0 " % (_SUM + _sum(plain + digits))
    return b"".join((plain.ljust(_NAME, b"\0"), _OWNER, digits, _TIME, checksum, _REST))


def _sum(plain: bytes) -> int:
    """Return the sum of some ASCII: Adler-32's lower half (RFC 1950) is that plus one."""
    return (zlib.adler32(plain) & 0xFFFF) - 1


def member(name: str, data: bytes) -> bytes:
    """Return the header, *data* and padding of one member; the data begins at byte BLOCK."""
    return b"".join((header(name, len(data)), data, bytes(-len(data) % BLOCK)))


def size(header: bytes) -> int:
    """Return the bytes of data that *header* announces."""
    return int(header[124:135], 8)


def padded(length: int) -> int:
    """Return the room that *length* bytes of data take, padding included."""
    return length + -length % BLOCK
