"""The softmax over classes that lie on several ranks: its loss, and the gradient of that.

A rank scores all rows of the batch for its own classes alone. The largest score and the sum of
exponentials of each row are reduced over the ranks, which makes the loss that of the whole
softmax (as in Megatron-LM, arXiv:1909.08053, section 3). Classes are worked through in chunks
that fit a cache, and the gradient of a chunk is handed on as soon as it is known.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch.autograd.function import once_differentiable

from train.exchange import Rows

_CACHE = 1 << 20
"""Bytes of weights that a chunk has on a CPU: its share of a core's cache."""
_DEVICE = 64 << 20
"""The same on a GPU, which wants few and large pieces."""


class Loss(NamedTuple):
    """The loss of a batch."""

    mean: torch.Tensor
    """Over the rows of all ranks by their weights; the same on every rank. Backward starts here."""
    losses: torch.Tensor
    """Of this rank's rows, each; no gradient."""
    hits: torch.Tensor
    """Whether no class scores higher than the label, for each of this rank's rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """The rows of all ranks, as every rank knows them."""

    rows: Rows
    features: torch.Tensor
    """B x D."""
    labels: torch.Tensor
    """B classes, of all."""
    shares: torch.Tensor
    """What each row counts for: its weight by the sum of all."""
    classes: int
    """Of all ranks."""
    smoothing: float


Take = Callable[[slice | torch.Tensor, torch.Tensor, torch.Tensor], None]
"""What is done with rows of the gradient: which rows, those of the weight, those of the bias."""
Begin = Callable[[], Take]
"""Called once in a backward, before its pieces."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The classes that a rank scores in one step: all of its own, or some of them."""

    first: int
    """The class that row 0 of `weight` stands for."""
    weight: torch.Tensor
    """classes here x D."""
    shift: torch.Tensor | None = None
    """What is added to the score of each class of the part."""
    picked: torch.Tensor | None = None
    """The rows of `weight` that take part, ascending; None for all."""
    each: torch.Tensor | None = None
    """How many classes each of them stands for: one by the chance that it had to be picked."""
    cosine: bool = False
    """Scores are of weights at length 1."""
    low: torch.dtype = torch.float32
    """What factors of products are rounded to; sums are never of less than float32."""

    def __len__(self) -> int:
        return len(self.weight if self.picked is None else self.picked)

    @property
    def full(self) -> torch.dtype:
        """What sums are made in."""
        return torch.promote_types(self.weight.dtype, torch.float32)

    def empty(self, *shape: int) -> torch.Tensor:
        """Return memory for sums."""
        return torch.empty(*shape, dtype=self.full, device=self.weight.device)

    def chunks(self) -> Iterator[tuple[slice, slice | torch.Tensor]]:
        """Yield the classes of each chunk: places in the part, and rows of the weight."""
        room = _DEVICE if self.weight.is_cuda else _CACHE
        size = max(1, room // (self.weight.shape[1] * self.weight.element_size()))
        for start in range(0, len(self), size):
            places = slice(start, min(start + size, len(self)))
            yield places, places if self.picked is None else self.picked[places]

    def vectors(self, rows: slice | torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return what scores *rows*, and how long their weights are if that is divided away."""
        vectors = self.weight[rows].to(self.full)
        if not self.cosine:
            return vectors, None
        lengths = vectors.norm(dim=1, keepdim=True).clamp_min(1e-12)
        return vectors / lengths, lengths

    def multiply(self, a: torch.Tensor, b: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
        """Return a @ b in *out*."""
        if self.low == self.full:
            return torch.mm(a, b, out=out)
        a, b = a.to(self.low), b.to(self.low)
        if out.is_cuda:
            return out.copy_(torch.mm(a, b, out_dtype=out.dtype))
        return torch.mm(a.to(out.dtype), b.to(out.dtype), out=out)

    def scores(self, features: torch.Tensor) -> torch.Tensor:
        """Return the scores of B rows of *features*: classes of the part x B."""
        found = self.empty(len(self), len(features))
        for places, rows in self.chunks():
            chunk = self.multiply(self.vectors(rows)[0], features.T, out=found[places])
            if self.shift is not None:
                chunk += self.shift[places, None]
        return found

    def counted(self, scores: torch.Tensor, chunk: slice) -> torch.Tensor:
        """Return the scores of a chunk, each for the number of classes it stands for."""
        if self.each is None:
            return scores[chunk]
        each = self.each[chunk, None]
        return (scores[chunk] - each.log()) * each  # that logarithm is a part of `shift`

    def places(self, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the place of each of *labels*, and whether it is here (if not: any place)."""
        rows = labels - self.first
        here = (rows >= 0) & (rows < len(self.weight))
        if self.picked is not None:
            rows = torch.searchsorted(self.picked, rows)
        return rows.where(here, 0), here


def normaliser(scores: torch.Tensor, rows: Rows) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the largest score of each row and the sum of exp(score - largest) over all classes.

    *scores* become these exponentials, in place.
    """
    size = max(1, _CACHE // (scores.shape[1] * scores.element_size()))
    chunks = torch.split(scores, size) if len(scores) else ()
    largest = scores.new_full((scores.shape[1],), -torch.inf)
    for chunk in chunks:
        torch.maximum(largest, chunk.amax(0), out=largest)
    rows.largest(largest)
    total = torch.zeros_like(largest, dtype=torch.float64)
    for chunk in chunks:
        total += chunk.sub_(largest).exp_().sum(0)
    return largest, total


class ShardedLoss(torch.autograd.Function):
    """Cross-entropy of the rows of all ranks over the classes of all ranks."""

    @staticmethod
    def forward(
        ctx: Any,
        features: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        batch: Batch,
        part: Part,
        begin: Begin | None,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return what `Loss` has. The first three arguments tell autograd what it is made of."""
        ctx.set_materialize_grads(False)
        scores = part.scores(batch.features)
        sums = torch.zeros(3, len(batch.labels), dtype=torch.float64, device=scores.device)
        places, here = part.places(batch.labels)
        if len(part):
            sums[0] = scores.gather(0, places[None])[0].where(here, 0)
        if batch.smoothing:
            for chunk, _ in part.chunks():
                sums[1] += part.counted(scores, chunk).sum(0)
        largest, sums[2] = normaliser(scores, batch.rows)
        truth, everything, total = batch.rows.total(sums)
        losses = total.log() + largest - (1 - batch.smoothing) * truth
        losses -= batch.smoothing / batch.classes * everything
        mean = (losses * batch.shares).sum()
        mine = batch.rows.mine
        found = mean.to(part.full), losses[mine].to(part.full), (truth >= largest)[mine]
        ctx.mark_non_differentiable(*found[1:])
        ctx.known = batch, part, begin, scores, total.to(part.full)
        ctx.inputs = features.dtype, weight, bias
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, pull: torch.Tensor, *_: None) -> tuple[torch.Tensor | None, ...]:
        """Return the gradient of the features, and of weight and bias unless they were taken."""
        batch, part, begin, scores, total = ctx.known
        del ctx.known  # the scores are used up here
        dtype, weight, bias = ctx.inputs
        gradients = [None if begin or p is None else torch.zeros_like(p) for p in (weight, bias)]

        def keep(rows: slice | torch.Tensor, *found: torch.Tensor) -> None:
            for gradient, values in zip(gradients, found, strict=True):
                if gradient is not None:
                    gradient[rows] = values

        with torch.autocast(scores.device.type, enabled=False):
            scale = pull * batch.shares.to(part.full) / total
            take = begin() if begin else keep
            found = descend(batch, part, scores, total, scale, take, ctx.needs_input_grad[0])
            if found is not None:
                found = batch.rows.total_of_mine(found).to(dtype)
        return found, *gradients, None, None, None


def descend(
    batch: Batch,
    part: Part,
    scores: torch.Tensor,
    total: torch.Tensor,
    scale: torch.Tensor,
    take: Take,
    further: bool,
) -> torch.Tensor | None:
    """Hand the gradient of all classes of *part* to *take*, a chunk at a time.

    *scores* (used up) are exponentials, *total* their sums over all classes, *scale* what the
    loss changes by with each row's, times its `total`. Returns what these classes add to the
    gradient of the features, B x D, if it has to go *further* down.
    """
    places, here = part.places(batch.labels)
    if len(part):
        columns = torch.arange(len(places), device=places.device)
        scores[places, columns] -= ((1 - batch.smoothing) * total).where(here, 0)
    scaled = batch.features * scale[:, None]
    found, product = torch.zeros_like(scaled), torch.empty_like(scaled)
    memory = part.empty(0)
    for chunk, rows in part.chunks():
        errors = scores[chunk]
        if batch.smoothing:
            spread = batch.smoothing / batch.classes * total
            errors -= spread if part.each is None else part.each[chunk, None] * spread
        vectors, lengths = part.vectors(rows)
        if further:
            found += part.multiply(errors.T, vectors, product)
        memory = memory.resize_(len(errors), scaled.shape[1])
        gradient = part.multiply(errors, scaled, memory)
        if lengths is not None:  # only what is across a weight turns it
            gradient -= vectors * (vectors * gradient).sum(1, keepdim=True)
            gradient /= lengths
        take(rows, gradient, errors @ scale)
    return found * scale[:, None] if further else None
