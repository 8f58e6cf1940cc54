"""The softmax over classes that lie on several ranks: its loss, and the gradient of that.

A rank scores all rows of the batch for its own classes alone. What these come to for a row, its
largest score and the sum of exponentials, goes to the rank whose row it is, which makes of all
ranks' the loss of the whole softmax (that of Megatron-LM, arXiv:1909.08053, section 3, in half as
many hops as its all-reduces take) and tells everyone. Classes are worked through in chunks that
fit a cache, and the gradient of a chunk is handed on as soon as it is known.
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
    """Of each row of all ranks; no gradient."""
    hits: torch.Tensor
    """Whether no class scores higher than the label, for each row of all ranks."""
    weights: torch.Tensor
    """Of each row of all ranks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """The rows of all ranks, as every rank knows them."""

    rows: Rows
    features: torch.Tensor
    """B x D."""
    labels: torch.Tensor
    """B classes, of all."""
    weights: torch.Tensor
    classes: int
    """Of all ranks."""
    smoothing: float

    @property
    def shares(self) -> torch.Tensor:
        """What each row counts for: its weight by the sum of all."""
        total = self.weights.sum()
        return self.weights / total.where(total > 0, 1)


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
    """What factors of products are rounded to."""
    full: torch.dtype = torch.float32
    """What sums are made in."""

    def __len__(self) -> int:
        return len(self.weight if self.picked is None else self.picked)

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


def powers(scores: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the largest of each column of *scores* (classes x B), and the sum of exp(less it).

    *scores* become these exponentials, in place.
    """
    size = max(1, _CACHE // (scores.shape[1] * scores.element_size()))
    chunks = torch.split(scores, size) if len(scores) else ()
    largest = scores.new_full((scores.shape[1],), -torch.inf)
    for chunk in chunks:
        torch.maximum(largest, chunk.amax(0), out=largest)
    total = torch.zeros_like(largest, dtype=torch.float64)
    for chunk in chunks:
        total += chunk.sub_(largest).exp_().sum(0)
    return largest, total


def normaliser(largest: torch.Tensor, total: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the largest score of all, and the logarithm of the sum of exp(score) over all.

    Given is what `powers` found on each rank: ranks x rows.
    """
    most = largest.amax(0)
    return most, ((largest - most).exp() * total).sum(0).log() + most


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
        mine = torch.zeros(4, len(batch.labels), dtype=torch.float64, device=scores.device)
        places, here = part.places(batch.labels)
        if len(part):
            mine[0] = scores.gather(0, places[None])[0].where(here, 0)
        if batch.smoothing:
            for chunk, _ in part.chunks():
                mine[1] += part.counted(scores, chunk).sum(0)
        largest, mine[3] = powers(scores)
        mine[2] = largest
        truth, everything, peaks, totals = batch.rows.deal(mine.T).unbind(2)
        truth, everything = truth.sum(0), everything.sum(0)
        most, normal = normaliser(peaks, totals)
        own = normal - (1 - batch.smoothing) * truth
        own -= batch.smoothing / batch.classes * everything
        told = torch.stack([normal, own, (truth >= most).double()], dim=1)
        normals, losses, hits = batch.rows.gather(told)[0].unbind(1)
        mean = (losses * batch.shares).sum().to(part.full)
        ctx.mark_non_differentiable(losses, hits)
        ctx.known = batch, part, begin, scores, (largest - normals).exp().to(part.full)
        ctx.inputs = features.dtype, weight, bias
        return mean, losses, hits

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, pull: torch.Tensor, *_: None) -> tuple[torch.Tensor | None, ...]:
        """Return the gradient of the features, and of weight and bias unless they were taken."""
        batch, part, begin, scores, ratio = ctx.known
        del ctx.known  # the scores are used up here
        dtype, weight, bias = ctx.inputs
        gradients = [None if begin or p is None else torch.zeros_like(p) for p in (weight, bias)]

        def keep(rows: slice | torch.Tensor, *found: torch.Tensor) -> None:
            for gradient, values in zip(gradients, found, strict=True):
                if gradient is not None:
                    gradient[rows] = values

        with torch.autocast(scores.device.type, enabled=False):
            scale = (pull * batch.shares).to(part.full)
            take = begin() if begin else keep
            found = descend(batch, part, scores, ratio, scale, take, ctx.needs_input_grad[0])
            if found is not None:
                found = batch.rows.total_of_mine(found).to(dtype)
        return found, *gradients, None, None, None


def descend(
    batch: Batch,
    part: Part,
    scores: torch.Tensor,
    ratio: torch.Tensor,
    scale: torch.Tensor,
    take: Take,
    further: bool,
) -> torch.Tensor | None:
    """Hand the gradient of all classes of *part* to *take*, a chunk at a time.

    *scores* (used up) are exponentials, which *ratio* makes the probabilities of each row, and
    *scale* what the loss changes by with each row's. Returns what these classes add to the
    gradient of the features, B x D, if it has to go *further* down.
    """
    places, here = part.places(batch.labels)
    columns = torch.arange(len(places), device=places.device)
    spread = batch.smoothing / batch.classes
    scaled = batch.features * scale[:, None]
    found, product = torch.zeros_like(scaled), torch.empty_like(scaled)
    memory = part.empty(0)
    for chunk, rows in part.chunks():
        errors = scores[chunk].mul_(ratio)
        inside = here & (places >= chunk.start) & (places < chunk.stop)
        answers = inside.to(errors.dtype) * (1 - batch.smoothing)
        errors[(places - chunk.start).where(inside, 0), columns] -= answers
        if batch.smoothing:
            errors -= spread if part.each is None else part.each[chunk, None].to(part.full) * spread
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
