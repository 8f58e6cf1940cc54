"""The ranks of a run, and the little they say to one another."""

import contextlib
import datetime
import fcntl
import os
import socket
import struct
import time
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist

_PATIENCE = datetime.timedelta(minutes=30)
"""How long a rank waits for another; decoding and evaluation never take that long."""


class Clock:
    """A clock that runs in its `with` blocks."""

    def __init__(self) -> None:
        self.seconds, self._began = 0.0, 0.0

    def __enter__(self) -> None:
        self._began = time.monotonic()

    def __exit__(self, *_: object) -> None:
        self.seconds += time.monotonic() - self._began


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Which rank this process is, of how many, and where it computes. Alone by default."""

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    clock: Clock = field(default_factory=Clock, compare=False)
    """How long this rank waited for others (for a GPU's own waiting it is no measure)."""

    def total(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return the sum of *tensor* over all ranks, in place; each must call it."""
        if self.size > 1:
            with self.clock:
                dist.all_reduce(tensor)
        return tensor

    def wait(self) -> None:
        """Return when all ranks have come here."""
        self.total(torch.zeros(1, device=self.device)).item()

    def cuts(self, count: int, unit: int = 1) -> npt.NDArray[np.int64]:
        """Return where each rank's part of *count* begins, and last *count*.

        The parts are of whole *unit*s but for the last, and within one of equal.
        """
        each, more = divmod(-(-count // unit), self.size)
        ranks = np.arange(self.size + 1)
        return np.minimum((ranks * each + np.minimum(ranks, more)) * unit, count)

    def share(self, positions: npt.NDArray[np.int64], unit: int = 1) -> npt.NDArray[np.int64]:
        """Return this rank's part of *positions*, contiguous."""
        first, stop = self.cuts(len(positions), unit)[self.rank : self.rank + 2]
        return positions[first:stop]


def join() -> World:
    """Join the ranks that the environment tells of, as torchrun and our launcher set it."""
    cuda = torch.cuda.is_available()
    device = torch.device("cpu")
    if cuda:  # a scheduler may show each rank the one that is its own
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
        torch.cuda.set_device(device)
    world = World(rank=int(os.environ["RANK"]), size=int(os.environ["WORLD_SIZE"]), device=device)
    name = _interface(os.environ["MASTER_ADDR"])
    if name:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", name)
    dist.init_process_group("nccl" if cuda else "gloo", timeout=_PATIENCE)
    return world


def leave() -> None:
    """Leave together: a rank that goes first makes the others abort."""
    dist.barrier()
    dist.destroy_process_group()


def _interface(host: str) -> str | None:
    """Return the network interface that reaches *host* (IPv4, Linux).

    Gloo would take the one that this machine's own name stands for, which on many is loopback.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
        probe.connect((host, 9))  # chooses a way, and sends nothing
        mine = probe.getsockname()[0]
        for _, name in socket.if_nameindex():
            with contextlib.suppress(OSError):  # an interface without an address
                answer = fcntl.ioctl(probe, _SIOCGIFADDR, struct.pack("256s", name.encode()))
                if socket.inet_ntoa(answer[20:24]) == mine:
                    return name
    return None


_SIOCGIFADDR = 0x8915  # netdevice(7)
