"""What tests share: one small Dask cluster of real processes, and pictures worth hashing."""

import io
from collections.abc import Iterator

import numpy as np
import pytest
from distributed import LocalCluster
from PIL import Image


@pytest.fixture(scope="session")
def cluster() -> Iterator[str]:
    """The address of a running scheduler with two worker processes."""
    with LocalCluster(
        n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0"
    ) as running:
        yield running.scheduler_address


def picture(seed: int, size: tuple[int, int] = (160, 120), quality: int = 90) -> bytes:
    """Return a JPEG with smooth blobs that differ from seed to seed."""
    return encode(pixels(seed, size), "JPEG", quality=quality)


def pixels(seed: int, size: tuple[int, int] = (160, 120)) -> Image.Image:
    """Return such a picture before it is encoded."""
    noise = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)


def encode(image: Image.Image, kind: str, **how: object) -> bytes:
    """Return *image* as the bytes of a file."""
    out = io.BytesIO()
    image.save(out, kind, **how)
    return out.getvalue()
