"""Rows of scores, a score a class: what is kept of them.

The classes may be spread over ranks (`Piece`): each gives the same rows' scores of its own
classes, and all learn the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.distributed as dist
from torch.nn.functional import pad

from flora.errors import ContractError
from train.best import best
from train.world import World

TOP = 100
"""Guesses that are kept of each row."""
_NEAR = 2**19
"""Scores that a processor works on at a time: they stay in its cache from step to step."""


class Lineage(NamedTuple):
    """The genus of every class, and the family of every genus: whole numbers from 0."""

    genera: torch.Tensor
    families: torch.Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Which classes the scores of this rank are of: all of them, by default."""

    world: World
    first: int = 0


def lineage(genera: Sequence[str], families: Sequence[str], device: torch.device) -> Lineage:
    """Return the lineage of classes by the names of their genus and their family, by label."""
    pairs = [f"{family}\n{genus}" for family, genus in zip(families, genera, strict=True)]
    names, of_class = np.unique(pairs, return_inverse=True)
    _, of_genus = np.unique([name.partition("\n")[0] for name in names], return_inverse=True)
    return Lineage(torch.from_numpy(of_class).to(device), torch.from_numpy(of_genus).to(device))


class Found(NamedTuple):
    """What is kept of b rows."""

    ranks: torch.Tensor
    truths: torch.Tensor
    genus_ranks: torch.Tensor
    family_ranks: torch.Tensor
    top_labels: torch.Tensor
    """b x TOP (or fewer classes), -1 for classes that are not allowed."""
    top: torch.Tensor
    """Their log-probabilities."""


def take(
    scores: torch.Tensor,
    labels: torch.Tensor,
    lineage: Lineage | None,
    piece: Piece,
    top: int = TOP,
) -> Found:
    """Return what is kept of *scores* (b x classes of this piece; -inf where not allowed).

    Without a *lineage* nothing is known of genus and family: their places are -1. Among equals
    the lower class comes first, so a model that knows nothing gains nothing.
    """
    world, first = piece.world, piece.first
    if not scores.shape[1]:  # more ranks than classes: this one has a class that is not allowed
        scores, first = scores.new_full((len(scores), 1), -torch.inf), 0
    width = scores.shape[1]
    guesses, kept = best(scores, min(top, width))
    peaks = largest(kept[:, 0].clone(), world)
    own = labels - first
    truths = scores.gather(1, own.clamp(0, width - 1)[:, None])[:, 0]
    truths = largest(truths.masked_fill((own < 0) | (own >= width), -torch.inf), world)
    genera = lineage and lineage.genera[first : first + width]
    count = len(lineage.families) if lineage else 0
    step = len(scores) if scores.is_cuda else max(1, _NEAR // width)
    parts = [
        _add_up(scores[at], peaks[at], truths[at], genera, count)
        for at in (slice(start, start + step) for start in range(0, len(scores), step))
    ]
    mass, genus, better, equal = (world.total(torch.cat(each)) for each in zip(*parts, strict=True))
    if not bool(torch.isfinite(mass).all()):
        raise ContractError("the scores are not all numbers: the model diverged. Train anew.")
    if bool((equal > 1).any()):
        better += world.total(_equals_before(scores, truths, own))
    logs = peaks + mass.log()
    named = truths > -torch.inf
    genus_ranks, family_ranks = _higher(genus, labels, lineage)
    guesses, kept = _gather(guesses + first, kept, top, world)
    return Found(
        torch.where(named, better.long() + 1, 0),
        truths - logs,
        torch.where(named, genus_ranks, genus_ranks.clamp(max=0)),
        torch.where(named, family_ranks, family_ranks.clamp(max=0)),
        torch.where(kept > -torch.inf, guesses, -1),
        kept - logs[:, None],
    )


def _add_up(
    scores: torch.Tensor,
    peaks: torch.Tensor,
    truths: torch.Tensor,
    genera: torch.Tensor | None,
    count: int,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return what whole rows come to, for rows few enough to stay in the processor's cache.

    That is: the sum of all exp(score - peak), the same by genus, and how many scores are above
    the truth's, and equal to it. Counts are in the scores' own type: adding up truth values takes
    many times as long, and up to 16 million a float32 is exact.
    """
    work = torch.gt(scores, truths[:, None], out=torch.empty_like(scores))
    better = work.sum(1)
    equal = torch.eq(scores, truths[:, None], out=work).sum(1)
    powers = torch.sub(scores, peaks[:, None], out=work).exp_()
    genus = powers.new_zeros(len(scores), count)
    if genera is None:
        return powers.sum(1), genus, better, equal
    genus.index_add_(1, genera, powers)
    return genus.sum(1), genus, better, equal


def _higher(
    genus: torch.Tensor, labels: torch.Tensor, lineage: Lineage | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the places of the true genus and family, from the sums by *genus*."""
    if lineage is None:
        return torch.full_like(labels, -1), torch.full_like(labels, -1)
    own = lineage.genera[labels.clamp(min=0)]
    families = int(lineage.families.max()) + 1
    family = genus.new_zeros(len(genus), families).index_add_(1, lineage.families, genus)
    return _place(genus, own), _place(family, lineage.families[own])


def _equals_before(scores: torch.Tensor, truths: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
    """Return how many scores at a lower place than *own* equal the truth's."""
    before = torch.arange(scores.shape[1], device=scores.device) < own[:, None]
    return ((scores == truths[:, None]) & before).sum(1).to(scores.dtype)


def _place(sums: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
    """Return the place of *own* among *sums*, 1 being the largest."""
    truths = sums.gather(1, own[:, None])
    return 1 + (sums > truths).sum(1) + _equals_before(sums, truths[:, 0], own).long()


def _gather(
    labels: torch.Tensor, scores: torch.Tensor, top: int, world: World
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the best of all pieces, from the best of each."""
    if world.size > 1:
        short = (0, top - scores.shape[1])
        mine = torch.stack(
            [pad(labels.double(), short), pad(scores.double(), short, value=-torch.inf)]
        )
        pieces = [torch.zeros_like(mine) for _ in range(world.size)]
        dist.all_gather(pieces, mine)
        labels = torch.cat([each[0] for each in pieces], 1).long()
        scores = torch.cat([each[1] for each in pieces], 1).to(scores.dtype)
    order = scores.argsort(dim=1, descending=True, stable=True)[:, :top]  # pieces are in order
    return labels.gather(1, order), scores.gather(1, order)


def largest(values: torch.Tensor, world: World) -> torch.Tensor:
    """Return the largest of *values* over all ranks, in place; each must call it."""
    if world.size > 1:
        dist.all_reduce(values, op=dist.ReduceOp.MAX)
    return values
