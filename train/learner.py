"""One step of training: the batch's loss, its gradients over all ranks, and the update."""

import hashlib
import math
from typing import Any

import torch

from train.backbones import library
from train.config import TrainSettings
from train.gradients import Gradients
from train.model import Classifier
from train.phases import Phase, Rows, precision
from train.update import Update
from train.world import World


class Learner:
    """What trains a phase: the optimisers of the last layer and of all below it."""

    def __init__(
        self, model: Classifier, update: Update, phase: Phase, world: World, settings: TrainSettings
    ) -> None:
        self.model, self.update, self.phase, self.world = model, update, phase, world
        self.settings = settings
        self.optimizer = _optimizer(phase, settings.weight_decay)
        parameters = [p for part, _ in phase.trained for p in part.parameters()]
        self.gradients = Gradients(parameters, world)

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
        numbers were finite, without which nothing below the last layer was changed.
        """
        torch.manual_seed(_seed(self.settings.seed, self.phase.step.name, number, self.world.rank))
        self.update.lr = self.phase.step.head_lr * pace
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * pace
        self.gradients.clear()
        batch = rows.batch
        with precision(self.world):
            inputs = self.phase.look(batch)
            loss = self.model.head(
                self._drop(inputs, rows, number, size), batch.labels, batch.weights
            )
        weights = batch.weights.double()
        counts = [(loss.losses * weights).sum(), (loss.hits * weights).sum(), weights.sum()]
        sums = self.world.total(
            torch.cat([weights.new_tensor(flags), torch.stack([c.double() for c in counts])])
        )
        loss.mean.backward()
        norm = self.gradients.finish()
        *told, mean, length = torch.cat([sums, loss.mean.detach()[None], norm[None]]).tolist()
        finite = math.isfinite(mean) and math.isfinite(length)
        if finite:
            self.optimizer.step()
        return told, finite

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
