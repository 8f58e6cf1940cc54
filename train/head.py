"""The last layer, its classes dealt out over the ranks: each holds, and pays for, its part.

    head = ShardedHead(512, 294_000, world, update=SGD(lr=0.1))
    loss = head(features, labels, weights)  # each rank gives its own rows
    loss.mean.backward()  # features.grad is there, and the classes are updated

The loss and its gradients are those of one dense layer on the whole batch. What grows with the
number of classes stays where it is: over the net go the features, their gradient, and a few
numbers a row.
"""

import math
from functools import partial
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional

from train.exchange import Rows
from train.rows import Piece, take
from train.softmax import Batch, Loss, Part, ShardedLoss, Take
from train.update import Update
from train.world import World

_BLOCK = 1024
"""Classes whose first weights are drawn together."""


class Guesses(NamedTuple):
    """What a head says of this rank's rows."""

    scores: torch.Tensor
    """Logarithms of the k largest probabilities, best first: b x k."""
    classes: torch.Tensor
    """The classes of these: b x k. Of equals the lower comes first."""
    places: torch.Tensor
    """The place of the label among all classes, 1 being the best; of equals the lower is first."""


class ShardedHead(nn.Module):
    """A linear layer and its softmax cross-entropy, over *classes* that the ranks share out.

    `weight` (classes here x features), `bias` and the optimiser's moments have a row for each of
    `self.classes`. To have the same state on another number of ranks, cut the rows otherwise.

    label_smoothing: probability spread over all classes.
    offsets: added to the scores of all classes while training; see `log_prior`.
    scale: scores are cosines times this, instead of products; then without bias.
    negatives: share of the classes without a row in the batch that a step scores, drawn anew by
        torch's generator. Each stands for one by its chance, in the sum of exponentials as in
        the smoothing (the log-Q correction of sampled softmax, Bengio and Senecal 2008).
    update: done in backward, so that a whole gradient never exists. Without it, weight and bias
        get a `.grad` as any parameter does.
    double_sums: all between features and gradients is of float64, so that what a step gives is, but
        for the last bit of a few numbers, the same on any number of ranks.
    """

    bias: nn.Parameter | None
    offsets: torch.Tensor | None

    def __init__(
        self,
        features: int,
        classes: int,
        world: World | None = None,
        *,
        bias: bool = True,
        label_smoothing: float = 0.0,
        offsets: torch.Tensor | None = None,
        scale: float | None = None,
        negatives: float = 1.0,
        update: Update | None = None,
        double_sums: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.world = world or World()
        self.count, self.classes = classes, classes_of(self.world.rank, self.world.size, classes)
        self.label_smoothing, self.scale, self.negatives = label_smoothing, scale, negatives
        self.double_sums = double_sums
        self.weight = nn.Parameter(draw(self.classes, features, seed))
        biased = bias and scale is None
        self.bias = nn.Parameter(torch.zeros(len(self.classes))) if biased else None
        mine = None if offsets is None else offsets[self.classes.start : self.classes.stop].clone()
        self.register_buffer("offsets", mine, persistent=False)
        self.update = update
        if update:
            update.attach({name: p for name, p in self.named_parameters() if p is not None})

    def forward(
        self,
        features: torch.Tensor,
        labels: torch.Tensor,
        weights: torch.Tensor,
        counts: tuple[int, ...] | None = None,
    ) -> Loss:
        """Return the loss of the rows of all ranks, of which these are this rank's.

        *features* are b x D, *labels* b classes of all, *weights* b numbers of 0 or more; b may
        differ from rank to rank, and *counts* tells that of each, or it is asked for. All ranks
        call this together, and backward too.

        The gradient of *features* is of the mean over all ranks: what lies below must add up
        its gradients over the ranks. Where it takes their mean, as DistributedDataParallel
        does, multiply by the number of ranks: `features.register_hook(lambda g: g * size)`.
        """
        low = self._low(features)
        with torch.autocast(features.device.type, enabled=False):
            features = self._scaled(features, low)
            batch = self._batch(features, labels, weights, counts)
            part = self._part(low, batch)
            begin = partial(self._updates, self.update) if self.update else None
            mean, losses, hits = ShardedLoss.apply(  # type: ignore[no-untyped-call]
                features, self.weight, self.bias, batch, part, begin
            )
            return Loss(mean, losses, hits, batch.weights)

    @torch.no_grad()
    def scores(self, features: torch.Tensor) -> torch.Tensor:
        """Return the scores (logits) of rows of *features* for the classes here: b x classes here.

        Offsets, smoothing and sampling are of the training, and left out. No rank hears of another.
        """
        low = self._low(features)
        with torch.autocast(features.device.type, enabled=False):
            part = Part(first=self.classes.start, weight=self.weight.detach(), shift=self.bias,
                        cosine=self.scale is not None, low=low, full=self._full())  # fmt: skip
            return part.scores(self._scaled(features, low)).T.contiguous()

    @torch.no_grad()
    def topk(self, features: torch.Tensor, labels: torch.Tensor, k: int) -> Guesses:
        """Return the *k* best classes of each row, and the place of its label.

        No rank ever holds scores of more than its own classes. All ranks call this together.
        """
        rows = Rows.of(self.world, len(features), features.device)
        everyone, answers = rows.gather(features, labels[:, None])
        piece = Piece(world=self.world, first=self.classes.start)
        found = take(self.scores(everyone), answers[:, 0], None, piece, min(k, self.count))
        return Guesses(found.top[rows.mine], found.top_labels[rows.mine], found.ranks[rows.mine])

    def _scaled(self, features: torch.Tensor, low: torch.dtype) -> torch.Tensor:
        """Return *features* as they are scored: for cosines, all of one length."""
        if self.scale is not None:
            features = functional.normalize(features.to(self.weight.dtype), dim=1) * self.scale
        return features.to(low)

    def _low(self, features: torch.Tensor) -> torch.dtype:
        """Return what factors are rounded to. Half precision has no room for sums of exp."""
        kind = features.device.type
        if torch.is_autocast_enabled(kind) and torch.get_autocast_dtype(kind) == torch.bfloat16:
            return torch.float64 if self.double_sums else torch.bfloat16
        return self._full()

    def _full(self) -> torch.dtype:
        """Return what sums are made in."""
        least = torch.float64 if self.double_sums else torch.float32
        return torch.promote_types(self.weight.dtype, least)

    def _batch(
        self,
        features: torch.Tensor,
        labels: torch.Tensor,
        weights: torch.Tensor,
        counts: tuple[int, ...] | None,
    ) -> Batch:
        if counts is None:
            rows = Rows.of(self.world, len(features), features.device)
        else:
            rows = Rows(world=self.world, counts=counts)
        everyone, classes, weight = rows.gather(
            features.detach(), labels[:, None], weights[:, None].double()
        )
        return Batch(
            rows=rows,
            features=everyone,
            labels=classes[:, 0],
            weights=weight[:, 0],
            classes=self.count,
            smoothing=self.label_smoothing,
        )

    def _part(self, low: torch.dtype, batch: Batch) -> Part:
        """Return the classes to score in a step, with all that is added to their scores."""
        shifts = [shift for shift in (self.bias, self.offsets) if shift is not None]
        shift = torch.stack([s.detach() for s in shifts]).sum(0) if shifts else None
        picked = each = None
        if self.negatives < 1:
            picked, each = pick(batch.labels, self.classes, self.negatives)
            shift = each.log() if shift is None else shift[picked] + each.log()
        return Part(
            first=self.classes.start,
            weight=self.weight.detach(),
            shift=shift,
            picked=picked,
            each=each,
            cosine=self.scale is not None,
            low=low,
            full=self._full(),
        )

    def _updates(self, update: Update) -> Take:
        """Begin a step of *update*; return what does a piece of it."""
        update.steps += 1

        def take(
            rows: slice | torch.Tensor, of_weight: torch.Tensor, of_bias: torch.Tensor
        ) -> None:
            update.piece("weight", self.weight, rows, of_weight.to(self.weight.dtype))
            if self.bias is not None:
                update.piece("bias", self.bias, rows, of_bias.to(self.bias.dtype))

        return take


def classes_of(rank: int, size: int, count: int) -> range:
    """Return which of *count* classes *rank* of *size* holds: contiguous, within one of equal."""
    each, more = divmod(count, size)
    start = rank * each + min(rank, more)
    return range(start, start + each + (rank < more))


def log_prior(counts: torch.Tensor, strength: float = 1.0) -> torch.Tensor:
    """Return what logit adjustment adds to the scores of classes with *counts* pictures.

    Menon and others, arXiv:2007.07314, equation 10. A class without pictures counts as with one.
    """
    counts = counts.double().clamp_min(1)
    return (strength * (counts / counts.sum()).log()).float()


def draw(classes: range, features: int, seed: int) -> torch.Tensor:
    """Return first weights for *classes*, the same whichever rank holds them: normal, 0.01 wide."""
    weight = torch.empty(len(classes), features)
    for block in range(classes.start // _BLOCK, math.ceil(classes.stop / _BLOCK)):
        drawn = torch.Generator().manual_seed(seed * 1_000_003 + block)
        values = torch.randn(_BLOCK, features, generator=drawn) * 0.01
        start, stop = max(classes.start, block * _BLOCK), min(classes.stop, (block + 1) * _BLOCK)
        weight[start - classes.start : stop - classes.start] = values[
            start - block * _BLOCK : stop - block * _BLOCK
        ]
    return weight


def pick(labels: torch.Tensor, classes: range, share: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Return places in *classes*: of all with one of *labels*, and of a *share* of the others.

    The second tensor tells how many classes each stands for.
    """
    rows = labels - classes.start
    labelled = torch.zeros(len(classes), dtype=torch.bool, device=labels.device)
    labelled[rows[(rows >= 0) & (rows < len(classes))]] = True
    others = (~labelled).nonzero()[:, 0]
    some = math.ceil(share * len(others))
    order = torch.randperm(len(others), device=labels.device)
    picked = torch.cat([labelled.nonzero()[:, 0], others[order[:some]]]).sort().values
    return picked, torch.where(labelled[picked], 1.0, len(others) / max(1, some))
