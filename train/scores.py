"""Scores in, predictions out: rows of scores stream by, and their best guesses and truth stay.

A row has a score for each class, so rows are never kept: 1 million of 294,000 are 1.2 TB. What
is wanted of whole rows is taken as they pass: the place of the truth, the sums of a genus and a
family, and the fusion of the rows that show one plant.
"""

import contextlib
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from flora.errors import ContractError
from flora.predictions import Predictions, words, writing
from train.rows import Lineage, Piece, largest, take
from train.trial import Configuration

_FUSE: Mapping[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "logs": torch.add,
    "mean": torch.logaddexp,
    "max": torch.maximum,
}
"""How log-probabilities of two rows become one: mean of logs, mean and maximum of probabilities.

What is missing (the division by their number) changes no order, but for `logs` the probabilities.
"""


@contextlib.contextmanager
def recording(
    folder: Path,
    split: str,
    configurations: Sequence[Configuration],
    lineage: Lineage,
    piece: Piece,
) -> Generator[Callable[..., None]]:
    """Yield a `Reading.consume` for all *configurations* at once.

    Each is published as `guesses-<split>[-<configuration>].parquet` in *folder* if the block
    succeeds. All ranks must give all pictures, each the scores of its piece of the classes; the
    first of them writes.
    """
    with contextlib.ExitStack() as stack:
        readings = []
        for each in configurations:
            path = folder / f"{'-'.join(filter(None, ('guesses', split, each.name)))}.parquet"
            first = piece.world.rank == 0
            sink = stack.enter_context(writing(path)) if first else _forget
            readings.append(Reading(each, lineage, piece, sink))

        def consume(
            views: Sequence[torch.Tensor],
            labels: torch.Tensor,
            keys: Sequence[str],
            observations: Sequence[str | None],
        ) -> None:
            for reading in readings:
                reading.consume(views, labels, keys, observations)

        yield consume
        for reading in readings:
            reading.finish()


def _forget(_rows: Predictions) -> None:
    """Keep nothing: another rank does."""


class Reading:
    """What one configuration makes of the scores that pass.

    Rows of one observation must come one after the other; its fused row is all that is open.
    """

    def __init__(
        self,
        configuration: Configuration,
        lineage: Lineage,
        piece: Piece,
        sink: Callable[[Predictions], None],
    ) -> None:
        self.configuration, self.lineage = configuration, lineage
        self.piece, self.sink = piece, sink
        allowed = configuration.allowed
        if allowed is None:
            allowed = np.ones(len(lineage.genera), np.bool_)
        self._allowed = torch.from_numpy(allowed).to(lineage.genera.device)
        genera = torch.unique(lineage.genera[self._allowed])
        families = torch.unique(lineage.families[genera])
        self._candidates = (int(self._allowed.sum()), len(genera), len(families))
        self._open: _Fused | None = None
        self._closed: set[str] = set()

    def consume(
        self,
        views: Sequence[torch.Tensor],
        labels: torch.Tensor,
        keys: Sequence[str],
        observations: Sequence[str | None],
    ) -> None:
        """Take the scores (b x classes of this piece, any scale of logits) of b pictures.

        *labels* (b) counts over all classes, -1 for a truth that is none of them. A picture
        without an observation is one of its own. Raises ContractError for scores that are no
        numbers, and where an observation comes again after another.
        """
        if self.configuration.without:  # not None, and some
            kept = [row for row, key in enumerate(keys) if key not in self.configuration.without]
            keys, observations = [keys[row] for row in kept], [observations[row] for row in kept]
            views, labels = [each[kept] for each in views], labels[kept]
            if not kept:
                return
        seen = [at or key for at, key in zip(observations, keys, strict=True)]
        if self.configuration.apart:
            for number, view in enumerate(views):
                names = [f"{key}#{number}" for key in keys]
                self._emit(self._masked(view), labels, names, seen)
            return
        used = views if self.configuration.views else views[:1]
        scores = [self._masked(each) for each in used]
        if len(scores) > 1:
            scores = [self._logs(each) for each in scores]
        rows = scores[0] if len(scores) == 1 else torch.stack(scores).mean(0)
        if self.configuration.fusion is None:
            self._emit(rows, labels, keys, seen)
        else:
            self._fuse(self._logs(rows), labels, seen)

    def finish(self) -> None:
        """Give out what is still open."""
        if self._open is not None:
            self._emit_fused([self._open])
            self._open = None

    def _masked(self, scores: torch.Tensor) -> torch.Tensor:
        scores = scores if scores.dtype == torch.float64 else scores.float()  # to count and add in
        if self.configuration.allowed is None:
            return scores
        here = self._allowed[self.piece.first : self.piece.first + scores.shape[1]]
        return scores.masked_fill(~here, -torch.inf)

    def _logs(self, scores: torch.Tensor) -> torch.Tensor:
        """Return *scores* as log-probabilities."""
        top = largest(scores.amax(1), self.piece.world)[:, None]
        total = self.piece.world.total((scores - top).exp_().sum(1, keepdim=True))
        return scores - (top + total.log())

    def _fuse(self, logs: torch.Tensor, labels: torch.Tensor, seen: Sequence[str]) -> None:
        join = _FUSE[str(self.configuration.fusion)]
        closed = []
        for row, (name, label) in enumerate(zip(seen, labels.tolist(), strict=True)):
            now = self._open
            if now is not None and now.name == name:
                if now.label != label:
                    raise ContractError(f"observation {name}: its pictures have two labels.")
                fused = join(now.row, logs[row])
                self._open = now._replace(row=fused, pictures=now.pictures + 1)
                continue
            if now is not None:
                closed.append(now)
                self._closed.add(now.name)
            if name in self._closed:
                raise ContractError(
                    f"observation {name}: its pictures do not follow one another. "
                    "Sort them by observation."
                )
            self._open = _Fused(name, label, 1, logs[row].clone())
        self._emit_fused(closed)

    def _emit_fused(self, fused: "Sequence[_Fused]") -> None:
        if not fused:
            return
        rows = torch.stack([each.row for each in fused])
        if self.configuration.fusion == "logs":
            rows /= torch.tensor([each.pictures for each in fused], device=rows.device)[:, None]
        labels = torch.tensor([each.label for each in fused], device=rows.device)
        names = [each.name for each in fused]
        self._emit(rows, labels, names, names)

    def _emit(
        self, rows: torch.Tensor, labels: torch.Tensor, keys: Sequence[str], seen: Sequence[str]
    ) -> None:
        found = take(rows, labels, self.lineage, self.piece)
        count = len(rows)
        all_of = [np.full(count, number, np.int64) for number in self._candidates]
        self.sink(
            Predictions(
                keys=words(keys),
                observations=words(seen),
                labels=labels.cpu().numpy().astype(np.int64),
                ranks=found.ranks.cpu().numpy(),
                truths=found.truths.double().cpu().numpy(),
                genus_ranks=found.genus_ranks.cpu().numpy(),
                family_ranks=found.family_ranks.cpu().numpy(),
                candidates=all_of[0],
                genus_candidates=all_of[1],
                family_candidates=all_of[2],
                top_labels=found.top_labels.int().cpu().numpy(),
                top=found.top.float().cpu().numpy(),
            )
        )


class _Fused(NamedTuple):
    """An observation whose pictures are coming."""

    name: str
    label: int
    pictures: int
    row: torch.Tensor
