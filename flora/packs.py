"""Any picture out of the image packs, by pack, offset and length, without unpacking."""

import os
from collections import OrderedDict
from pathlib import Path

from flora.errors import ContractError

_OPEN_FILES = 64


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
        if len(data) != length:
            raise ContractError(
                f"{self._folder / pack}: ends before byte {offset + length:,}, where the images "
                "table says a picture lies. Restore it, or delete its unit's receipt and crawl."
            )
        return data

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
