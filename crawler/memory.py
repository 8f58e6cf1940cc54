"""What a worker's memory can bear: bodies on their way, and one big decode at a time."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable

_BYTES = 64 * 2**20


class Memory:
    """The room that bodies on their way to one worker share.

    Where it is full, all but the oldest wait for others to be done: the oldest can always go
    on, so none wait for ever, and there is never more than the room and one body.
    """

    def __init__(self, size: int = _BYTES) -> None:
        self._left, self._freed = size, asyncio.Event()
        self._held: dict[object, int] = {}
        self.decoding = asyncio.Semaphore(1)
        """To be held while a big picture is decoded."""

    @contextlib.asynccontextmanager
    async def place(self) -> AsyncGenerator[Callable[[int], Awaitable[None]]]:
        """Yield a function that waits for room for so many bytes more; all are given back."""
        key = object()
        self._held[key] = 0

        async def take(size: int) -> None:
            while size > self._left and next(iter(self._held)) is not key:
                self._freed.clear()
                await self._freed.wait()
            self._left -= size
            self._held[key] += size

        try:
            yield take
        finally:
            self._left += self._held.pop(key)
            self._freed.set()
