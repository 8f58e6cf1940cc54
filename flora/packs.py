"""Any picture out of the image packs, by pack, offset and length, without unpacking."""

import os
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from flora.errors import ContractError

_OPEN_FILES = 64
_STRETCH = 16 << 20
"""Bytes that are read at a time where pictures are wanted in the order in which they lie."""
_GAP = 1 << 20
"""Bytes that nobody wants are read along up to here: it is cheaper than to jump."""


class Place(NamedTuple):
    """Where a picture lies."""

    pack: str
    offset: int
    length: int


class Packs:
    """The image packs below an images folder."""

    def __init__(self, images: Path) -> None:
        self._folder = images / "packs"
        self._files: OrderedDict[str, int] = OrderedDict()

    def __enter__(self) -> "Packs":
        return self

    def __exit__(self, *_error: object) -> None:
        for descriptor in self._files.values():
            os.close(descriptor)
        self._files.clear()

    def read(self, pack: str, offset: int, length: int) -> bytes:
        """Return *length* bytes at *offset* of *pack*. Raises ContractError if they are absent."""
        data = os.pread(self._descriptor(pack), length, offset)
        self._check(len(data), pack, offset, length)
        return data

    def fill(self, target: memoryview, pack: str, offset: int) -> None:
        """Read into *target* what lies at *offset* of *pack*. Raises as `read` does."""
        found = os.preadv(self._descriptor(pack), [target], offset)
        self._check(found, pack, offset, len(target))

    def each(self, places: Iterable[Place]) -> Iterator[bytes]:
        """Yield the picture at each of *places*, which are sorted. Raises as `read` does.

        The packs are read from front to end in long stretches, as disks like it.
        """
        for stretch in _stretches(places):
            pack, start, _ = stretch[0]
            data = self.read(pack, start, stretch[-1].offset + stretch[-1].length - start)
            for _, offset, length in stretch:
                yield data[offset - start : offset - start + length]

    def _check(self, found: int, pack: str, offset: int, length: int) -> None:
        if found != length:
            raise ContractError(
                f"{self._folder / pack}: ends before byte {offset + length:,}, where the images "
                "table says a picture lies. Restore it, or delete its unit's receipt and crawl."
            )

    def _descriptor(self, pack: str) -> int:
        if pack not in self._files:
            try:
                self._files[pack] = os.open(self._folder / pack, os.O_RDONLY)
            except OSError as error:
                raise ContractError(
                    f"{self._folder / pack}: cannot be read ({error.strerror}), but the images "
                    "table says it holds pictures."
                ) from error
            if len(self._files) > _OPEN_FILES:
                os.close(self._files.popitem(last=False)[1])
        self._files.move_to_end(pack)
        return self._files[pack]


def _stretches(places: Iterable[Place]) -> Iterator[list[Place]]:
    """Cut *places* into runs that one read brings."""
    run: list[Place] = []
    for place in places:
        if run and (
            place.pack != run[0].pack
            or place.offset - run[-1].offset - run[-1].length > _GAP
            or place.offset + place.length - run[0].offset > _STRETCH
        ):
            yield run
            run = []
        run.append(place)
    if run:
        yield run
