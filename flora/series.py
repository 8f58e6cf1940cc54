"""Numbers over time in bounded memory: a history of any length, and a rate of the last minute."""

import math
from collections import Counter
from collections.abc import Mapping

_BINS = 180
_SECONDS = 2.0
_MEMORY = 30.0
_EARLIEST = 5.0
"""Seconds that a rate looks back over at least: less would be one message, not a rate."""


class Series:
    """Sums by time, in bins of one width, which doubles whenever their number comes to 180.

    So a minute is shown in bins of 2 s and a week in bins of about 2 h, from the same memory.
    """

    def __init__(self, start: float) -> None:
        """*start*: Unix seconds, where the first bin begins; *width* is in seconds."""
        self.start, self.width = start, _SECONDS
        self.bins: list[Counter[str]] = [Counter()]

    def add(self, at: float, amounts: Mapping[str, int]) -> None:
        """Add *amounts* by name to the bin of time *at*."""
        self.reach(at)
        self.bins[max(int((at - self.start) // self.width), 0)].update(amounts)

    def reach(self, at: float) -> None:
        """Have bins up to time *at*, empty ones where nothing was added."""
        while (at - self.start) // self.width >= _BINS:
            pairs = zip(self.bins[::2], [*self.bins[1::2], Counter[str]()], strict=False)
            self.bins = [one + other for one, other in pairs]
            self.width *= 2
        missing = int((at - self.start) // self.width) + 1 - len(self.bins)
        self.bins += [Counter[str]() for _ in range(missing)]

    def rates(self, name: str, until: float) -> list[float]:
        """Return *name* a second, bin by bin; the last as far as it goes, or left out if short."""
        last = until - self.start - (len(self.bins) - 1) * self.width
        found = [bin[name] / self.width for bin in self.bins]
        if last < self.width / 2 and len(found) > 1:
            return found[:-1]
        return [*found[:-1], found[-1] * self.width / min(max(last, 1.0), self.width)]


class Rate:
    """So much a second of late: what came counts less the longer it is ago (30 s: a third)."""

    __slots__ = ("_at", "_start", "_sum")

    def __init__(self, start: float) -> None:
        self._start = self._at = start
        self._sum = 0.0

    def add(self, at: float, amount: float) -> None:
        """Note that *amount* came at that time (seconds on any clock that goes forward)."""
        self._sum = self._sum * math.exp(-max(at - self._at, 0.0) / _MEMORY) + amount
        self._at = max(at, self._at)

    def value(self, at: float) -> float:
        """Return the rate at that time."""
        weight = 1 - math.exp(-max(at - self._start, _EARLIEST) / _MEMORY)
        return self._sum * math.exp(-max(at - self._at, 0.0) / _MEMORY) / (_MEMORY * weight)
