"""Training: the steps of a recipe, from wherever the run stands.

All ranks walk in step. Each holds the whole model but for the last layer, of which it holds its
classes. A step's gradient is that of the mean loss over the pictures of all ranks, so uneven
shares and bad pictures bend nothing; what a step is made of, and what chance has a part in,
depends on its number alone, so a run goes on the same on another number of ranks.
"""

import contextlib
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch

from flora.errors import StageError
from train import model, phases
from train.checkpoint import Checkpoints
from train.data import Shards
from train.head import log_prior
from train.job import Job, Stopped, is_asked_to_stop
from train.journal import Journal, Watch
from train.learner import Learner
from train.recipes import recipe
from train.update import AdamW
from train.world import Clock, World

_LINE_STEPS = 20
"""Steps that one line of metrics.jsonl is about; fewer at the end of an epoch."""
_TOP = (1, 5, 30)
"""Guesses among which the true species of a picture of val is looked for."""
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
        self.order = shards.splits["train"].order(self.settings.batch_size, self.settings.seed)
        self.recipe = recipe(self.settings, self.order.count)
        self.update = AdamW(lr=0.0, weight_decay=self.settings.weight_decay)
        counts, prior = torch.from_numpy(shards.train_counts), self.recipe.prior
        self.model = model.create(
            self.settings,
            len(shards.classes),
            world,
            update=self.update,
            offsets=log_prior(counts, prior) if prior else None,
        ).to(world.device)
        self.checkpoints = Checkpoints(job.folder / "checkpoints", job.recipe, world)
        self.journal = Journal(job.folder) if world.rank == 0 else None
        self.place = Place()
        self.memory: dict[str, Any] | None = None
        """State of the optimiser that a checkpoint brought."""
        self.start: dict[str, torch.Tensor] = {}
        """Parameters that this phase began from, where it ends between them and what it came to."""

    def run(self) -> dict[str, Any]:
        """Train to the end, from wherever the run stands; return what the receipt should tell."""
        self._resume()
        for number, step in enumerate(self.recipe.steps):
            if number < self.place.phase or not step.epochs:
                continue
            began = time.monotonic()
            phase = phases.phase(
                step, self.model, self.shards, self.order, self.world, self.settings
            )
            self.place.seconds += time.monotonic() - began
            self._walk(phase)
            self.place.phase, self.place.step = number + 1, 0
            self._begin_checkpoint(None)
        self.checkpoints.finish()
        self._publish()
        return {
            "images": self.order.count,
            "undecodable": self.place.bad,
            "seconds": round(self.place.seconds, 3),
        }

    def _walk(self, phase: phases.Phase) -> None:
        """Take the steps of *phase* that are left."""
        place, step = self.place, phase.step
        total = step.epochs * self.order.steps
        learner = Learner(self.model, self.update, phase, self.world, self.settings)
        if self.memory is not None:
            learner.optimizer.load_state_dict(self.memory)
            self.memory = None
        elif not place.step:
            learner.forget()
            if step.blend < 1:
                parameters = self.model.named_parameters()
                self.start = {name: each.detach().clone() for name, each in parameters}
        saved = self._begin_line()
        watch = Watch(step.name, step.epochs, total, place.step)
        with watch if self.journal else contextlib.nullcontext():
            self.model.train()
            for rows in self._wait_for(phase.rows(range(place.step, total))):
                late = time.monotonic() - saved >= self.settings.checkpoint_seconds
                stop, save, written = self._step(learner, rows, total, late=late)
                watch.images += self.images
                epoch, in_epoch = divmod(place.step, self.order.steps)
                if in_epoch % _LINE_STEPS == 0:  # and so at the end of an epoch
                    watch.figures = self._line(phase, epoch + (in_epoch > 0), in_epoch == 0)
                if self.journal:
                    watch.step = place.step
                    if watch.due():
                        watch.tick()
                if written:
                    self.checkpoints.finish()
                if (save or stop) and place.step < total:
                    self._begin_checkpoint(learner)
                    saved = time.monotonic()
                    if stop:
                        self.checkpoints.finish()
                        raise Stopped(f"stopped as asked, at step {place.step} of {total}")
        learner.gradients.close()

    def _step(
        self, learner: Learner, rows: phases.Rows, total: int, *, late: bool
    ) -> tuple[bool, bool, bool]:
        """Take one step. Return what all ranks know to be due after it.

        That is: to stop, to begin a checkpoint, and to finish the one that was begun.
        """
        place, written = self.place, self.checkpoints.is_written
        flags = [is_asked_to_stop(), late and self.world.rank == 0, written]
        told, finite = learner.take(
            rows, place.step, self.order.rows(place.step), _pace(place.step, total),
            [float(flag) for flag in flags],
        )  # fmt: skip
        if not finite:
            train = self.shards.splits["train"]
            keys = [train.keys[at] for at in self.order.places(place.step)]
            raise StageError(
                f"the loss or a gradient is not finite at step {place.step}, made of "
                f"{', '.join(keys)}. Lower the learning rates, or look at these pictures."
            )
        *due, loss, hits, self.images = told
        place.step += 1
        place.loss += loss
        place.hits += hits
        place.images += self.images
        place.epoch_images += self.images
        return due[0] > 0, due[1] > 0, due[2] == self.world.size

    def _line(self, phase: phases.Phase, epoch: int, epoch_ended: bool) -> dict[str, Any]:
        """Close a line of metrics.jsonl, with the figures of val if an epoch has ended."""
        place = self.place
        seconds = time.monotonic() - self.line_began
        waited = {
            "data_wait": self.data.seconds,
            "exchange": self.world.clock.seconds - self.before,
        }
        images = max(place.images, 1.0)
        line: dict[str, Any] = {
            "phase": phase.step.name,
            "epoch": epoch,
            "step": place.step,
            "lr": phase.step.head_lr * _pace(place.step - 1, phase.step.epochs * self.order.steps),
            "loss": round(place.loss / images, 6),
            "train_top1": round(place.hits / images, 6),
        }
        if epoch_ended:
            place.bad, place.epoch_images = self.order.count - round(place.epoch_images), 0.0
            ended = self.start and epoch == phase.step.epochs
            figures = self._blend(phase) if ended else self._validate(phase)
            line |= {"undecodable": place.bad, **figures}
        place.seconds += time.monotonic() - self.line_began
        line |= {
            "images_per_second": round(place.images / seconds, 2),
            **{name: round(each / seconds, 3) for name, each in waited.items()},
            "seconds": round(place.seconds, 3),
        }
        place.loss = place.hits = place.images = 0.0
        self._begin_line()
        if self.journal:
            self.journal.add(line)
        return line

    def _begin_line(self) -> float:
        """Set the clocks that a line is about; return the time."""
        self.data, self.before = Clock(), self.world.clock.seconds
        self.line_began = time.monotonic()
        return self.line_began

    def _wait_for(self, rows: Iterator[phases.Rows]) -> Iterator[phases.Rows]:
        """Yield *rows*, and take the time that they take."""
        while True:
            with self.data:
                found = next(rows, None)
            if found is None:
                return
            yield found

    def _validate(self, phase: phases.Phase) -> dict[str, float]:
        self.model.eval()
        ranks = phase.ranks()
        self.model.train()
        found = [torch.tensor(len(ranks)), *((ranks <= k).sum() for k in _TOP)]
        counts = self.world.total(torch.stack([each.to(self.world.device) for each in found]))
        images, *hits = counts.tolist()
        if not images:
            return {}
        return {f"val_top{k}": round(n / images, 6) for k, n in zip(_TOP, hits, strict=True)}

    @torch.no_grad()
    def _blend(self, phase: phases.Phase) -> dict[str, float]:
        """Go back part of the way to where *phase* began, unless val says that this is worse.

        Return the figures of val.
        """
        parameters, share = dict(self.model.named_parameters()), phase.step.blend
        whole = self._validate(phase)
        for name, start in self.start.items():  # in place: there may be no room for a third copy
            between = start.lerp(parameters[name], share)
            start.copy_(parameters[name])
            parameters[name].copy_(between)
        ends, self.start = self.start, {}
        part = self._validate(phase)
        if part and part["val_top1"] < whole["val_top1"]:
            for name, end in ends.items():
                parameters[name].copy_(end)
            return whole
        return part

    def _begin_checkpoint(self, learner: Learner | None) -> None:
        """Have a checkpoint written; without a *learner*, of the end of a phase."""
        before = self.recipe.steps[: self.place.phase]
        done = sum(step.epochs for step in before) * self.order.steps + self.place.step
        head = self.model.head.state_dict()
        shared = {
            "model": self.model.shared(),
            "head": {name: tensor for name, tensor in head.items() if not tensor.ndim},
            "optimizer": learner.optimizer.state_dict() if learner else None,
            "start": {k: v for k, v in self.start.items() if not k.startswith("head.")},
            "place": asdict(self.place),
            "lines": self.journal.lines if self.journal else [],
        }
        rows = {name: tensor for name, tensor in head.items() if tensor.ndim}
        rows |= {f"start.{k}": v for k, v in self.start.items() if k.startswith("head.")}
        self.checkpoints.begin(done, shared, rows, self.model.head.classes)

    def _resume(self) -> None:
        """Take up the newest checkpoint, if there is one."""
        found = self.checkpoints.newest()
        if found:
            rows = self.checkpoints.rows(self.model.head.classes)
            theirs = {name: rows.pop(name) for name in list(rows) if name.startswith("start.")}
            start = found["start"] | {k.removeprefix("start."): v for k, v in theirs.items()}
            self.start = {name: tensor.to(self.world.device) for name, tensor in start.items()}
            self.model.head.load_state_dict({**rows, **found["head"]})
            self.model.load_state_dict(found["model"], strict=False)  # the rest is the head
            self.memory, self.place = found["optimizer"], Place(**found["place"])
        if self.journal:
            self.journal.begin(found["lines"] if found else [])
        self.world.wait()  # until all have read what the first of us may remove

    def _publish(self) -> None:
        """Write model.pt from the last checkpoint, where all classes are."""
        if self.world.rank == 0:
            found = self.checkpoints.rows(range(len(self.shards.classes)))
            named = [name for name, _ in self.model.head.named_parameters()]
            head = {f"head.{name}": found[name] for name in named}
            state = {**{k: v.cpu() for k, v in self.model.shared().items()}, **head}
            species = self.shards.classes["species_id"].to_pylist()
            model.save(self.job.folder / "model.pt", state, self.settings, species)


def _pace(step: int, total: int) -> float:
    """Return the share of the highest learning rate that *step* of *total* takes."""
    warm = max(1, round(total * _WARM_UP))
    return min(1.0, (step + 1) / warm) * 0.5 * (1 + math.cos(math.pi * step / total))
