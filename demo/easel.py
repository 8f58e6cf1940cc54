"""Drawing on all cores: each easel is a small process that draws what it is sent.

`python -m demo.easel` reads lists of jobs and answers with their bytes until its input ends; so
it ends with the process that started it, however that ends.
"""

import contextlib
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from demo import mishaps
from demo.listings import Body
from demo.mishaps import Kind
from demo.originals import Source
from flora.errors import StageError

Job = tuple[Source, list[Body]]

FEW = 100
"""Pictures that one process draws before others could have started."""
MOST = 8
"""Easels at most, however many cores there are."""


def render(job: Job) -> list[bytes]:
    """Return the bytes of an original, and of all that is made from it."""
    source, bodies = job
    data = source.read()
    return [
        data if body.kind is Kind.CLEAN else mishaps.alter(data, body.kind, body.seed)
        for body in bodies
    ]


def share_out(jobs: Sequence[Job]) -> Iterator[list[bytes]]:
    """Do *jobs*, on all cores if there is much to draw, and yield what they give in order.

    Raises StageError if an easel breaks down.
    """
    cores = min(MOST, len(os.sched_getaffinity(0)))
    if cores == 1 or len(jobs) < FEW or jobs[0][0].drawn is None:
        yield from map(render, jobs)
        return
    # The jobs of a species stay together: its flowers and leaves are painted once.
    shelves = [list(shelf) for _, shelf in groupby(jobs, key=lambda job: _species(job[0]))]
    with contextlib.ExitStack() as stack:
        free: SimpleQueue[subprocess.Popen[bytes]] = SimpleQueue()
        for _ in range(cores):
            free.put(stack.enter_context(_easel()))

        def draw(shelf: Sequence[Job]) -> list[list[bytes]]:
            easel = free.get()
            try:
                return _ask(easel, shelf)
            finally:
                free.put(easel)

        pool = ThreadPoolExecutor(cores)
        stack.callback(pool.shutdown, cancel_futures=True)
        for drawn in pool.map(draw, shelves):
            yield from drawn


def _species(source: Source) -> str:
    return source.drawn[0] if source.drawn else ""


@contextlib.contextmanager
def _easel() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        [sys.executable, "-m", "demo.easel"],
        cwd=Path(__file__).parents[1],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is for the one who waits for us
    ) as process:
        yield process


def _ask(easel: subprocess.Popen[bytes], shelf: Sequence[Job]) -> list[list[bytes]]:
    assert easel.stdin is not None and easel.stdout is not None
    try:
        pickle.dump(shelf, easel.stdin)
        easel.stdin.flush()
        answer: list[list[bytes]] = pickle.load(easel.stdout)
    except (OSError, EOFError, pickle.UnpicklingError) as error:
        raise StageError(
            f"A process that draws plants ended early (exit code {easel.poll()}). "
            "Run the same command again; if it was killed for memory, free some first."
        ) from error
    return answer


def _work() -> None:
    """Be an easel."""
    jobs: Any
    with contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            jobs = pickle.load(sys.stdin.buffer)
            pickle.dump([render(job) for job in jobs], sys.stdout.buffer)
            sys.stdout.buffer.flush()


if __name__ == "__main__":
    _work()
