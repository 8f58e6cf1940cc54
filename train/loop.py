"""Training in two steps: the last layer alone, then all layers.

All ranks hold the same model and walk in step. A step's gradient is summed over the pictures
of all ranks and divided by their number, so uneven shares and bad pictures bend nothing.
"""

import contextlib
import hashlib
import math
import time
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch.nn import functional

from flora.errors import StageError
from train import model, phases
from train.checkpoint import Checkpoints
from train.data import Batch, Shards
from train.job import Job, Stopped, is_asked_to_stop
from train.journal import Journal, Watch
from train.phases import Phase
from train.world import World

_LINE_STEPS = 20
"""Steps that one line of metrics.jsonl is about; fewer at the end of an epoch."""
_CHUNK = 4
"""Pictures that go through a CPU at once: more take more memory, and no less time."""
_WARM_UP = 0.1
"""Share of a phase in which the learning rate rises; then it falls along a cosine."""


@dataclass(slots=True, kw_only=True)
class Place:
    """Where a run stands, beside its model and optimiser."""

    phase: int = 0
    step: int = 0
    """Steps done in this phase."""
    seconds: float = 0.0
    """Time that the lines of metrics.jsonl took."""
    loss: float = 0.0
    """Summed, like the next two, over all pictures of all ranks since the last line."""
    hits: float = 0.0
    images: float = 0.0
    epoch_images: float = 0.0
    """Pictures of this epoch, less those that could not be decoded."""
    bad: int = 0
    """Training pictures that could not be decoded, by the last whole epoch."""


class Trainer:
    """One rank's part in a run."""

    def __init__(self, job: Job, shards: Shards, world: World) -> None:
        self.job, self.shards, self.world, self.settings = job, shards, world, job.settings
        self.epochs = (self.settings.head.epochs, self.settings.full.epochs)
        self.order = shards.splits["train"].order(self.settings.batch_size, self.settings.seed)
        self.model = model.create(self.settings, len(shards.classes)).to(world.device)
        self.checkpoints = Checkpoints(job.folder / "checkpoints", job.recipe)
        self.journal = Journal(job.folder / "metrics.jsonl") if world.rank == 0 else None
        self.place = Place()
        self.memory: dict[str, Any] | None = None
        """State of the optimiser that a checkpoint brought."""
        self.stopping = False
        """Some rank was asked to stop, and all know it."""

    def run(self) -> dict[str, Any]:
        """Train to the end, from wherever the run stands; return what the receipt should tell."""
        self._resume()
        for number, make in enumerate(phases.PHASES):
            if number < self.place.phase:
                continue
            if self.epochs[number]:
                began = time.monotonic()
                phase = make(self.model, self.shards, self.order, self.world, self.settings)
                self.place.seconds += time.monotonic() - began
                self._walk(phase)
            self.place.phase, self.place.step = number + 1, 0
            self._save(None)
        if self.world.rank == 0:
            species = self.shards.classes["species_id"].to_pylist()
            model.save(self.job.folder / "model.pt", self.model, self.settings, species)
        return {
            "images": self.order.count,
            "undecodable": self.place.bad,
            "seconds": round(self.place.seconds, 3),
        }

    def _walk(self, phase: Phase) -> None:
        """Take the steps of *phase* that are left."""
        place, total = self.place, phase.epochs * self.order.steps
        optimizer = self._optimizer(phase)
        saved = self.line_began = time.monotonic()
        watch = Watch(phase.name, phase.epochs, total, place.step)
        with watch if self.journal else contextlib.nullcontext():
            phase.module.train()
            for batch in phase.batches(range(place.step, total)):
                watch.images += self._step(phase, optimizer, batch, _pace(place.step, total))
                place.step += 1
                epoch, in_epoch = divmod(place.step, self.order.steps)
                if in_epoch % _LINE_STEPS == 0:  # and so at the end of an epoch
                    watch.figures = self._line(phase, epoch + (in_epoch > 0), in_epoch == 0)
                if self.journal:
                    watch.step = place.step
                    if watch.due():
                        watch.tick()
                late = time.monotonic() - saved >= self.settings.checkpoint_seconds
                if (late or self.stopping) and place.step < total:
                    self._save(optimizer)
                    saved = time.monotonic()
                    if self.stopping:
                        raise Stopped(f"stopped as asked, at step {place.step} of {total}")

    def _step(self, phase: Phase, optimizer: torch.optim.AdamW, batch: Batch, pace: float) -> float:
        """Take one step; return how many pictures, of all ranks, it was made of."""
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * pace
        torch.manual_seed(_seed(self.settings.seed, phase.name, self.place.step, self.world.rank))
        optimizer.zero_grad()
        sums = torch.zeros(4, device=self.world.device)
        sums[0] = is_asked_to_stop()  # summed with the rest, so that all stop at the same step
        size = _CHUNK if self.world.device.type == "cpu" else len(batch.labels)
        rows = (batch.pixels, batch.labels, batch.weights)
        chunks = (torch.split(tensor, size) for tensor in rows)
        for pixels, labels, weights in zip(*chunks, strict=True):
            logits = phase.module(pixels)
            losses = functional.cross_entropy(
                logits, labels, reduction="none", label_smoothing=self.settings.label_smoothing
            )
            loss = (losses * weights).sum()
            loss.backward()  # adds to what the chunks before gave
            hits = (logits.argmax(1) == labels) * weights
            sums[1:] += torch.stack([loss.detach(), hits.sum(), weights.sum()])
        wishes, loss_sum, hit_sum, images = self._together(sums, optimizer)
        self.stopping = wishes > 0
        optimizer.step()
        self.place.loss += loss_sum
        self.place.hits += hit_sum
        self.place.images += images
        self.place.epoch_images += images
        return images

    def _together(self, sums: torch.Tensor, optimizer: torch.optim.AdamW) -> list[float]:
        """Return *sums* over all ranks; every gradient becomes the mean over all pictures.

        Raises StageError, on all ranks, for numbers that are none.
        """
        groups = optimizer.param_groups
        gradients = [p.grad for group in groups for p in group["params"] if p.grad is not None]
        flat = self.world.total(torch.cat([sums, *(g.flatten() for g in gradients)]))
        if not torch.isfinite(flat).all():
            train = self.shards.splits["train"]
            keys = [train.keys[place] for place in self.order.places(self.place.step)]
            raise StageError(
                f"the loss or a gradient is not finite at step {self.place.step}, made of "
                f"{', '.join(keys)}. Lower the learning rates, or look at these pictures."
            )
        parts = torch.split(flat, [len(sums), *(g.numel() for g in gradients)])
        totals: list[float] = parts[0].tolist()
        for gradient, part in zip(gradients, parts[1:], strict=True):
            gradient.copy_(part.view(gradient.shape)).div_(max(totals[-1], 1.0))
        return totals

    def _line(self, phase: Phase, epoch: int, epoch_ended: bool) -> dict[str, Any]:
        """Close a line of metrics.jsonl, with the figures of val if an epoch has ended."""
        place = self.place
        seconds = time.monotonic() - self.line_began
        images = max(place.images, 1.0)
        line: dict[str, Any] = {
            "phase": phase.name,
            "epoch": epoch,
            "step": place.step,
            "lr": phase.rates[-1][1] * _pace(place.step - 1, phase.epochs * self.order.steps),
            "loss": round(place.loss / images, 6),
            "train_top1": round(place.hits / images, 6),
        }
        if epoch_ended:
            place.bad, place.epoch_images = self.order.count - round(place.epoch_images), 0.0
            line |= {"undecodable": place.bad, **self._validate(phase)}
        place.seconds += time.monotonic() - self.line_began
        line |= {
            "images_per_second": round(place.images / seconds, 2),
            "seconds": round(place.seconds, 3),
        }
        place.loss = place.hits = place.images = 0.0
        self.line_began = time.monotonic()
        if self.journal:
            self.journal.add(line)
        return line

    def _validate(self, phase: Phase) -> dict[str, float]:
        phase.module.eval()
        with torch.no_grad():
            ranks = phase.ranks()
        phase.module.train()
        if not len(ranks):
            return {}
        top1, top5 = ((ranks <= k).double().mean().item() for k in (1, 5))
        return {"val_top1": round(top1, 6), "val_top5": round(top5, 6)}

    def _optimizer(self, phase: Phase) -> torch.optim.AdamW:
        groups = [
            {
                "params": [p for p in part.parameters() if (p.ndim > 1) == decays],
                "peak": rate,
                "weight_decay": self.settings.weight_decay * decays,
            }
            for part, rate in phase.rates
            for decays in (True, False)
        ]
        optimizer = torch.optim.AdamW(groups)
        if self.memory is not None:
            optimizer.load_state_dict(self.memory)
            self.memory = None
        return optimizer

    def _save(self, optimizer: torch.optim.AdamW | None) -> None:
        """Write a checkpoint. One rank is enough: all hold the same."""
        if self.journal is None:
            return
        done = sum(self.epochs[: self.place.phase]) * self.order.steps + self.place.step
        state = {
            "model": self.model.state_dict(),
            "optimizer": optimizer.state_dict() if optimizer else None,
            "place": asdict(self.place),
            "lines": self.journal.lines,
        }
        self.checkpoints.save(done, state)

    def _resume(self) -> None:
        """Take up the newest checkpoint, if there is one."""
        state = self.checkpoints.newest()
        if state is not None:
            self.model.load_state_dict(state["model"])
            self.memory, self.place = state["optimizer"], Place(**state["place"])
        if self.journal:
            self.journal.begin(state["lines"] if state else [])
        self.world.wait()  # until all have read what the first of us may remove


def _pace(step: int, total: int) -> float:
    """Return the share of the highest learning rate that *step* of *total* takes."""
    warm = max(1, round(total * _WARM_UP))
    return min(1.0, (step + 1) / warm) * 0.5 * (1 + math.cos(math.pi * step / total))


def _seed(*parts: object) -> int:
    text = "/".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest()) >> 1
