"""One step of training: the batch's loss, its gradients over all ranks, and the update."""

import hashlib
import math
from typing import Any, NamedTuple

import torch

from train.backbones import library
from train.config import TrainSettings
from train.gradients import Gradients
from train.model import Classifier
from train.norms import Statistics, norms
from train.phases import Phase, Rows, precision
from train.update import Update
from train.world import World

_FLAGS = 3
"""Numbers that a step sums over the ranks on the way."""


class _Part(NamedTuple):
    """Pictures that are looked at together."""

    pixels: torch.Tensor
    """Or features."""
    weights: torch.Tensor
    seed: int
    """Of chance in the look."""


class Learner:
    """What trains a phase: the optimisers of the last layer and of all below it."""

    def __init__(
        self, model: Classifier, update: Update, phase: Phase, world: World, settings: TrainSettings
    ) -> None:
        self.model, self.update, self.phase, self.world = model, update, phase, world
        self.settings = settings
        self.optimizer = _optimizer(phase, settings.weight_decay)
        parameters = [p for part, _ in phase.trained for p in part.parameters()]
        self.gradients = Gradients(
            parameters, world, flags=_FLAGS, double_sums=settings.deterministic
        )
        layers = norms(model.backbone) if model.learns_norms else []
        self.statistics = Statistics(layers, world, settings.batch_size)

    def forget(self) -> None:
        """Begin with moments of zero."""
        for moment in self.update.buffers():
            moment.zero_()

    def take(
        self, rows: Rows, number: int, size: int, pace: float, flags: list[float]
    ) -> tuple[list[float], bool]:
        """Take step *number* of the phase, of *size* pictures over all ranks.

        *pace* is the share of the highest learning rates to take. Returns the sums over all
        ranks of *flags*, the loss, the hits and the weights of the pictures; and whether all
        numbers were finite, without which no parameter below the last layer was changed.

        What goes through the backbone in several parts is seen, learned from at the last layer
        all together, and then, but for the last part, seen again with a backward for each (Gao
        and others, arXiv:2101.06983).
        """
        self.update.lr = self.phase.step.head_lr * pace
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * pace
        self.gradients.clear(flags)
        batch, below, name = rows.batch, not self.gradients.empty, self.phase.step.name
        first, last = self._parts(rows, number)
        seen = self._meet(last, below)
        parts = [*(self._meet(part, False) for part in first), seen.detach()]
        inputs = torch.cat(parts).requires_grad_(below)
        with precision(self.world):
            given = self._drop(inputs, rows, number, size)
            first_class = self.model.head.classes.start
            torch.manual_seed(_seed(self.settings.seed, name, number, "negatives", first_class))
            loss = self.model.head(given, batch.labels, batch.weights, rows.counts)
        loss.mean.backward()
        if below:
            self._descend(first, seen, inputs)
        norm, told = self.gradients.finish()
        figures = [(each * loss.weights).sum() for each in (loss.losses, loss.hits)]
        known = [*told, *figures, loss.weights.sum(), loss.mean.detach(), norm]
        *sums, mean, length = torch.stack([each.double() for each in known]).tolist()
        finite = math.isfinite(mean) and math.isfinite(length)
        if finite:
            self.optimizer.step()
            self.statistics.follow(sums[-1])
        return sums, finite

    def _parts(self, rows: Rows, number: int) -> tuple[list[_Part], _Part]:
        """Return the first parts of this rank's rows, and the last; each with a seed of its own."""
        size = self.phase.at_once
        name, places = self.phase.step.name, rows.places[::size].tolist() or [0]
        pixels, weights = (torch.split(t, size) for t in (rows.batch.pixels, rows.batch.weights))
        *first, last = [
            _Part(seen, weight, _seed(self.settings.seed, name, number, place))
            for seen, weight, place in zip(pixels, weights, places, strict=True)
        ]
        return first, last

    def _meet(self, part: _Part, learn: bool) -> torch.Tensor:
        """Return what `_look` does; the first look at *part* in this step counts for the norms."""
        seen = self._look(part, learn)
        self.statistics.add(part.weights)
        return seen

    def _look(self, part: _Part, learn: bool) -> torch.Tensor:
        """Return what the last layer gets of *part*; each time the same."""
        torch.manual_seed(part.seed)
        with precision(self.world), torch.set_grad_enabled(learn):
            return self.phase.look(part.pixels)

    def _descend(self, first: list[_Part], seen: torch.Tensor, inputs: torch.Tensor) -> None:
        """Pass the gradient of *inputs* on to what lies below."""
        assert inputs.grad is not None
        *pulls, pull = torch.split(inputs.grad, self.phase.at_once)
        if not first:
            self.gradients.leave()
        torch.autograd.backward(seen, pull)
        for part, pull in zip(first, pulls, strict=True):
            self.gradients.keep()
            if part is first[-1]:
                self.gradients.leave()
            torch.autograd.backward(self._look(part, True), pull)

    def _drop(self, inputs: torch.Tensor, rows: Rows, number: int, size: int) -> torch.Tensor:
        """Return *inputs* less what the last layer must do without.

        Drawn for the whole batch, so that ranks have no part in it.
        """
        share = self.settings.dropout
        if not share:
            return inputs
        chance = torch.Generator(inputs.device)
        chance.manual_seed(_seed(self.settings.seed, self.phase.step.name, number, "dropout"))
        drawn = torch.rand(size, inputs.shape[1], generator=chance, device=inputs.device)
        kept = drawn[torch.from_numpy(rows.places).to(inputs.device)] >= share
        return inputs * (kept / (1 - share))


def _optimizer(phase: Phase, weight_decay: float) -> torch.optim.Optimizer:
    """Return the optimiser of what lies below the last layer; matrices alone decay."""
    groups: list[dict[str, Any]] = [
        {
            "params": [p for p in part.parameters() if (p.ndim > 1) == decays],
            "peak": rate,
            "weight_decay": weight_decay * decays,
        }
        for part, rate in phase.trained
        for decays in (True, False)
    ]
    if phase.step.optimizer == "lamb":
        library()
        from timm.optim import Lamb

        lamb: torch.optim.Optimizer = Lamb(groups)
        return lamb
    return torch.optim.AdamW(groups, fused=True)


def _seed(*parts: object) -> int:
    text = "/".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest()) >> 1
