"""Files that lie, burst or are two things at once, and honest ones that look odd."""

import io
import struct
import zipfile
import zlib

import numpy as np
from PIL import Image

from tests.conftest import encode, pixels

SIZE = (480, 360)


def photograph(seed: int = 1, size: tuple[int, int] = SIZE) -> Image.Image:
    """Return blobs with grain, here more and there less: as a camera gives them."""
    smooth = np.asarray(pixels(seed, size), dtype=np.float32)
    strength = np.asarray(pixels(seed + 1000, size).convert("L"), dtype=np.float32) / 8
    grain = np.random.default_rng(seed).standard_normal((size[1], size[0]), dtype=np.float32)
    grain = (grain * strength)[:, :, None]
    return Image.fromarray((smooth + grain).clip(0, 255).astype(np.uint8))


def jpeg(seed: int = 1, size: tuple[int, int] = SIZE, **how: object) -> bytes:
    return encode(photograph(seed, size), "JPEG", **{"quality": 88, **how})


def cut(data: bytes, share: float = 0.6) -> bytes:
    return data[: int(len(data) * share)]


def zeroed(data: bytes, at: int, length: int = 4096) -> bytes:
    return data[:at] + bytes(length) + data[at + length :]


def spliced(data: bytes, at: int, other: bytes, length: int = 8192) -> bytes:
    middle = len(other) // 2
    return data[:at] + other[middle - length // 2 : middle + length // 2] + data[at + length :]


def segment(marker: int, body: bytes) -> bytes:
    """Return a JPEG segment."""
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def commented(data: bytes, text: bytes) -> bytes:
    """Return the JPEG *data* with a comment in front."""
    return data[:2] + segment(0xFE, text) + data[2:]


def claiming(data: bytes, width: int, height: int) -> bytes:
    """Return the JPEG *data* with another size in its frame header."""
    at = min(found for found in (data.find(b"\xff\xc0"), data.find(b"\xff\xc2")) if found > 0)
    return data[: at + 5] + struct.pack(">HH", height, width) + data[at + 9 :]


def one_scan(data: bytes) -> bytes:
    """Return the progressive JPEG *data* cut neatly before its second scan."""
    second = data.find(b"\xff\xda", data.find(b"\xff\xda") + 2)
    return data[: data.rfind(b"\xff\xc4", 0, second)] + b"\xff\xd9"


def many_scans(size: tuple[int, int], scans: int) -> bytes:
    """Return a progressive JPEG whose last scan comes *scans* times."""
    data = encode(Image.new("RGB", size), "JPEG", progressive=True)
    return data[:-2] + data[data.rfind(b"\xff\xda") : -2] * scans + b"\xff\xd9"


def ycck() -> bytes:
    """Return a JPEG in YCCK, as print shops make them: Adobe's marker says how to read it."""
    inks = Image.fromarray(255 - np.asarray(photograph())).convert("YCbCr")
    four = np.dstack([255 - np.asarray(inks), np.zeros(SIZE[::-1], np.uint8)])  # no black
    data = encode(Image.fromarray(four, "CMYK"), "JPEG", quality=92)
    at = data.find(b"Adobe")
    return data[: at + 11] + b"\2" + data[at + 12 :]


def chunk(kind: bytes, body: bytes) -> bytes:
    """Return a PNG chunk."""
    crc = struct.pack(">I", zlib.crc32(kind + body))
    return struct.pack(">I", len(body)) + kind + body + crc


def png(*extra: bytes, image: Image.Image | None = None) -> bytes:
    """Return a PNG with *extra* chunks after its header."""
    data = encode(image or pixels(1, SIZE), "PNG")
    return data[:33] + b"".join(extra) + data[33:]


def png_claiming(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(10_000)))
    return b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b"")


def text_bomb(kind: bytes = b"zTXt", chunks: int = 1) -> bytes:
    """Return a PNG with compressed text or a profile of 60 MB in each of some chunks."""
    body = b"name\0\0" + zlib.compress(bytes(60_000_000))
    return png(*([chunk(kind, body)] * chunks))


def webp_claiming(width: int, height: int) -> bytes:
    sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + sides
    return b"RIFF" + struct.pack("<I", len(body)) + body


def gif_claiming(width: int, height: int) -> bytes:
    data = encode(pixels(1, SIZE), "GIF")
    return data[:6] + struct.pack("<HH", width, height) + data[10:]


def gif_with_a_big_frame() -> bytes:
    """Return a GIF of 64 x 64 whose first frame claims 65535 x 65535."""
    data = encode(Image.new("P", (64, 64)), "GIF")
    at = data.find(b",\0\0\0\0\x40\0\x40\0")
    return data[: at + 5] + b"\xff" * 4 + data[at + 9 :]


def animated(kind: str) -> bytes:
    first, *rest = (pixels(seed, SIZE) for seed in range(5))
    return encode(first, kind, save_all=True, append_images=rest, duration=100)


def deep(size: tuple[int, int] = SIZE) -> Image.Image:
    """Return a grey picture of 16 bits, most of it darker than its 255th level is not."""
    level = np.asarray(pixels(1, size).convert("L"), dtype=np.uint16)
    return Image.fromarray(level * 257)


def archive() -> bytes:
    """Return a small zip, as a jar is one."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as opened:
        opened.writestr("META-INF/MANIFEST.MF", "Main-Class: Surprise\n")
    return out.getvalue()


def rotated() -> bytes:
    """Return a JPEG whose EXIF says that it lies on its side."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return encode(photograph(), "JPEG", exif=exif)


def box(brand: bytes) -> bytes:
    """Return the beginning of an ISO media file (AVIF, HEIC)."""
    return struct.pack(">I", 24) + b"ftyp" + brand + bytes(4) + b"mif1" + brand + bytes(500)
