"""The pictures of one split, by their place in it: their labels, and their bytes."""

import os
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flora.errors import ContractError
from train.order import Order, Whole

_CHUNK_BYTES = 4 << 20
"""Of neighbours that are read together: one request to Lustre at its usual settings, and far more
than a disk reads while it seeks."""
_CHUNKS_A_LANE = 16
"""At least so many chunks pass a row of the batches in an epoch. Where the data is small, so are
the chunks, down to single pictures: those are shuffled best, and memory holds them all."""
_OPEN_FILES = 512


class Split:
    """What the index says of the pictures of a split."""

    def __init__(self, folder: Path, rows: pa.Table) -> None:
        self.folder = folder
        self.keys: Any = np.array(rows["key"].to_pylist(), np.dtypes.StringDType())
        """The key of each: an array of words, 70 bytes a picture and not 120."""
        self.labels: Whole = rows["label"].to_numpy().astype(np.int64)
        shards = rows["shard"].combine_chunks().dictionary_encode()
        self._shards: list[str] = shards.dictionary.to_pylist()
        self._shard: npt.NDArray[np.int32] = shards.indices.to_numpy()
        self._offsets: Whole = rows["offset"].to_numpy()
        self._ends: Whole = self._offsets + rows["length"].to_numpy()
        self._files: dict[int, int] = {}
        weakref.finalize(self, _close, self._files)

    def __len__(self) -> int:
        return len(self.keys)

    def tars(self) -> list[Path]:
        """Return the shards that the pictures lie in."""
        return [self.folder / shard for shard in self._shards]

    def order(self, batch_size: int, seed: int) -> Order:
        """Return an order of the pictures that reads them in large pieces."""
        return Order(self.chunks(batch_size), batch_size=batch_size, seed=seed)

    def chunks(self, lanes: int) -> Whole:
        """Return the place where each chunk begins, and last the number of pictures.

        A chunk lies between two multiples of its size in one shard.
        """
        data = int((self._ends - self._offsets).sum())
        size = min(_CHUNK_BYTES, max(1, data // (lanes * _CHUNKS_A_LANE)))
        cell = self._offsets // size
        begins = np.flatnonzero((np.diff(cell) != 0) | (np.diff(self._shard) != 0)) + 1
        return np.concatenate([[0], begins, [len(self)]])

    def read(self, first: int, stop: int) -> Iterator[bytes]:
        """Yield the pictures from *first* to before *stop*: one read for those of a shard.

        Raises ContractError where a shard ends too early.
        """
        while first < stop:
            shard = int(self._shard[first])
            end = first + int(np.searchsorted(self._shard[first:stop], shard, side="right"))
            begin = int(self._offsets[first])
            data = _pread(self._open(shard), int(self._ends[end - 1]) - begin, begin)
            bounds = (self._offsets[first:end] - begin, self._ends[first:end] - begin)
            for at, to in zip(*(bound.tolist() for bound in bounds), strict=True):
                if to > len(data):
                    raise self._short(shard)
                yield data[at:to]
            first = end

    def check(self) -> None:
        """Raise ContractError for a shard that is absent or too short, or rows out of order."""
        step = np.diff(self._shard)
        if not ((step > 0) | (step == 0) & (self._offsets[1:] >= self._ends[:-1])).all():
            raise ContractError(
                f"{self.folder / 'index.parquet'}: is not in the order of the tars. "
                "Run the shards stage again."
            )
        lasts = np.flatnonzero(np.append(step, 1)[: len(self)])
        for shard, end in enumerate(self._ends[lasts]):
            path = self.folder / self._shards[shard]
            if not path.is_file() or path.stat().st_size < end:
                raise self._short(shard)

    def _short(self, shard: int) -> ContractError:
        return ContractError(
            f"{self.folder / self._shards[shard]}: is not there, or is shorter than the index "
            "says. Delete its receipt and run the shards stage again."
        )

    def _open(self, shard: int) -> int:
        """Return a file to read *shard* from: it stays open, which saves Lustre a question."""
        if shard not in self._files:
            if len(self._files) == _OPEN_FILES:
                os.close(self._files.pop(next(iter(self._files))))
            try:
                self._files[shard] = os.open(self.folder / self._shards[shard], os.O_RDONLY)
            except FileNotFoundError as error:
                raise self._short(shard) from error
        return self._files[shard]


def _pread(file: int, length: int, offset: int) -> bytes:
    """Return *length* bytes at *offset*, or as many as there are."""
    data = os.pread(file, length, offset)
    while len(data) < length:  # the kernel may give less, and never gives more than 2 GiB
        more = os.pread(file, length - len(data), offset + len(data))
        if not more:
            break
        data += more
    return data


def _close(files: dict[int, int]) -> None:
    for file in files.values():
        os.close(file)
