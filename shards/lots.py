"""Lots: numbers that look drawn by chance, but are made of an id, or a text, and nothing else.

SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014), each
word mixed into what those before it gave.
"""

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flora.ids import Words

_GOLDEN, _FIRST, _SECOND = (
    np.uint64(number) for number in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
)
_WORD = 8
_MASKS = np.array([2 ** (8 * size) - 1 for size in range(_WORD + 1)], np.uint64)


def draw(ids: Words, seed: int, purpose: int = 0) -> Words:
    """Return the lots of *ids* (n x words): n numbers of 64 bits.

    Lots of another *purpose* tell nothing of these.
    """
    lot = _mix(_mix(np.array([seed % 2**64], np.uint64)) ^ np.uint64(purpose))
    lots = np.repeat(lot, len(ids))
    for word in ids.T:
        lots = _mix(lots ^ word)
    return lots


def keys(column: pa.ChunkedArray) -> Words:
    """Return a lot for each text of *column* (no nulls): the same for the same text.

    That two of 12 million different texts have the same one happens once in 250,000 times.
    """
    texts = column.combine_chunks()
    _, bounds, data = texts.buffers()
    edges = np.frombuffer(bounds, np.int32)[texts.offset :][: len(texts) + 1]
    starts, sizes = edges[:-1], np.diff(edges)
    raw = np.zeros(int(edges[-1]) + _WORD, np.uint8)  # a word may be read beyond the last text
    if data is not None:
        raw[:-_WORD] = np.frombuffer(data, np.uint8)[: edges[-1]]
    words: Words = np.ndarray((len(raw) - _WORD + 1,), "<u8", raw, strides=(1,))
    lots = _mix(sizes.astype(np.uint64))
    for step in range(0, int(sizes.max(initial=0)), _WORD):
        here = np.flatnonzero(sizes > step)
        word = words[starts[here] + step] & _MASKS[np.minimum(sizes[here] - step, _WORD)]
        lots[here] = _mix(lots[here] ^ word)
    return lots


def _mix(numbers: npt.NDArray[np.uint64]) -> Words:
    """Return what SplitMix64 makes of each of *numbers*; different ones stay different."""
    z = numbers + _GOLDEN  # modulo 2**64, as all that follows
    z = (z ^ (z >> np.uint64(30))) * _FIRST
    z = (z ^ (z >> np.uint64(27))) * _SECOND
    return np.asarray(z ^ (z >> np.uint64(31)))
