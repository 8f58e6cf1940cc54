"""The order: which picture is which row of which step.

Shards are shuffled as a whole when they are packed, so pictures that lie side by side are as good
as any drawn at random, and far quicker to read. They are taken by the *chunk*: neighbours of one
shard, 4 MiB together (`Split.chunks`). Every epoch

1. lays all chunks end to end, in an order of its own;
2. cuts this line into as many *lanes* of one length as a batch has rows;
3. shuffles each lane's part of each chunk: a *run*.

Row r of a step is the next picture of lane r. So a batch is drawn from as many parts of the data as
it has rows; a rank, whose rows are a slice of the batch, reads the runs of these rows and no
others, each once and in one piece; and the order knows nothing of ranks or workers. What it costs
is memory: a run a row, thus at most 4 MiB times the batch, over all ranks together.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Whole = npt.NDArray[np.int64]


class Run(NamedTuple):
    """Neighbours in a shard, which one row takes step by step."""

    epoch: int
    begin: int
    """The step of the epoch that takes the first of them."""
    places: Whole
    """In the order in which they are taken."""

    def left(self, turn: int) -> Whole:
        """Return what is taken in step *turn* of the epoch and after it."""
        return self.places[turn - self.begin :]


class Order:
    """Each picture once an epoch, in another order every epoch."""

    def __init__(self, chunks: Whole, *, batch_size: int, seed: int) -> None:
        """Make one of *chunks*: where each begins, and last the number of pictures."""
        self.count, self.batch_size, self.seed = int(chunks[-1]), batch_size, seed
        self.steps = -(-self.count // batch_size)
        """Steps of an epoch; the last may be a small one."""
        self._begins, self._sizes = chunks[:-1], np.diff(chunks)
        self._last = self.count - (self.steps - 1) * batch_size
        self._line = (-1, self._begins, self._sizes)
        self._runs: dict[int, Run] = {}

    def rows(self, step: int) -> int:
        """Return how many pictures global step *step* has, counted from the start of training."""
        return self.batch_size if (step + 1) % self.steps else self._last

    def places(self, step: int) -> Whole:
        """Return the pictures of global step *step*."""
        return np.array([self.left(step, row)[0] for row in range(self.rows(step))])

    def left(self, step: int, row: int) -> Whole:
        """Return what *row* takes in *step* and after it, as far as these are neighbours."""
        epoch, turn = divmod(step, self.steps)
        run = self._runs.get(row)
        if run is None or run.epoch != epoch or not 0 <= turn - run.begin < len(run.places):
            run = self._runs[row] = self._run(epoch, turn, row)
        return run.left(turn)

    def _run(self, epoch: int, turn: int, row: int) -> Run:
        """Return the part of a chunk that *row* is at in step *turn* of *epoch*."""
        begins, ends = self._lay(epoch)
        lane = self._lane(row)
        at = lane + turn
        chunk = np.searchsorted(ends, at, side="right")
        begin = ends[chunk - 1] if chunk else 0
        first, stop = max(begin, lane), min(ends[chunk], self._lane(row + 1))
        places = begins[chunk] + np.arange(first - begin, stop - begin)
        if len(places) > 1:
            np.random.default_rng([self.seed, epoch, places[0]]).shuffle(places)
        return Run(epoch, int(first - lane), places)

    def _lane(self, row: int) -> int:
        """Return where the lane of *row* begins; the first lanes have a picture more."""
        return row * (self.steps - 1) + min(row, self._last)

    def _lay(self, epoch: int) -> tuple[Whole, Whole]:
        """Return the first picture of each chunk in the order of *epoch*, and where it ends."""
        if self._line[0] != epoch:
            order = np.random.default_rng([self.seed, epoch]).permutation(len(self._sizes))
            self._line = (epoch, self._begins[order], np.cumsum(self._sizes[order]))
        return self._line[1:]
