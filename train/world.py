"""The ranks of a run, and the little they say to one another."""

import datetime
import os
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist

_PATIENCE = datetime.timedelta(minutes=30)
"""How long a rank waits for another; decoding and evaluation never take that long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Which rank this process is, of how many, and where it computes. Alone by default."""

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def total(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return the sum of *tensor* over all ranks, in place; each must call it."""
        if self.size > 1:
            dist.all_reduce(tensor)
        return tensor

    def wait(self) -> None:
        """Return when all ranks have come here."""
        self.total(torch.zeros(1, device=self.device)).item()

    def share(self, positions: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return this rank's part of *positions*: contiguous, within one of equal."""
        return np.array_split(positions, self.size)[self.rank]


def join() -> World:
    """Join the ranks that the environment tells of, as torchrun and our launcher set it."""
    cuda = torch.cuda.is_available()
    world = World(
        rank=int(os.environ["RANK"]),
        size=int(os.environ["WORLD_SIZE"]),
        device=torch.device("cuda", int(os.environ["LOCAL_RANK"])) if cuda else torch.device("cpu"),
    )
    if cuda:
        torch.cuda.set_device(world.device)
    dist.init_process_group("nccl" if cuda else "gloo", timeout=_PATIENCE)
    return world


def leave() -> None:
    """Leave together: a rank that goes first makes the others abort."""
    dist.barrier()
    dist.destroy_process_group()
