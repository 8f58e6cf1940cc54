"""A batch whose rows lie on several ranks, each with a number of its own; some may have none.

All ranks call each of these together. With P ranks of b rows of s bytes, `gather`, `deal` and
`total_of_mine` each make a rank send (P-1)bs.

Gloo passes what is gathered from rank to rank, P-1 hops one after the other. There a rank sends
to each of the others instead, all at once, which takes a half to a third of the time.
"""

from dataclasses import dataclass

import torch
import torch.distributed as dist

from train.world import World

_DEALING = {"gloo"}
"""Backends that are quicker, as said above, and whose reduce-scatter is a whole all-reduce."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """How many rows of the batch each rank has; rows of lower ranks come first."""

    world: World
    counts: tuple[int, ...]

    @classmethod
    def of(cls, world: World, rows: int, device: torch.device) -> "Rows":
        """Return where the rows lie, if this rank has *rows* of them."""
        if world.size == 1:
            return cls(world=world, counts=(rows,))
        counts = torch.empty(world.size, dtype=torch.int64, device=device)
        with world.clock:
            dist.all_gather_single(counts, torch.tensor([rows], device=device))
        return cls(world=world, counts=tuple(counts.tolist()))

    @property
    def mine(self) -> slice:
        """Where this rank's rows are among all."""
        start = sum(self.counts[: self.world.rank])
        return slice(start, start + self.counts[self.world.rank])

    def gather(self, *tensors: torch.Tensor) -> list[torch.Tensor]:
        """Return the rows of all ranks of each of *tensors* (b x any), in one exchange.

        They go as bytes, so that numbers of all kinds fit into one message.
        """
        if self.world.size == 1:
            return list(tensors)
        packed = torch.cat([tensor.contiguous().view(torch.uint8) for tensor in tensors], dim=1)
        whole = self._gather(packed)
        widths = [tensor.shape[1] * tensor.element_size() for tensor in tensors]
        return [
            part.clone(memory_format=torch.contiguous_format).view(tensor.dtype)
            for part, tensor in zip(torch.split(whole, widths, dim=1), tensors, strict=True)
        ]

    def _gather(self, packed: torch.Tensor) -> torch.Tensor:
        """Return the rows of all ranks; *packed* are this rank's."""
        own, size, width = len(packed), self.world.size, packed.shape[1]
        if dist.get_backend() in _DEALING:
            whole = packed.new_empty(sum(self.counts), width)
            with self.world.clock:
                dist.all_to_all_single(
                    whole, packed.repeat(size, 1), list(self.counts), [own] * size
                )
            return whole
        longest = max(self.counts)
        padded = packed.new_zeros(longest, width)
        padded[:own] = packed
        found = packed.new_empty(size * longest, width)
        with self.world.clock:
            dist.all_gather_single(found, padded)
        return torch.cat([part[:n] for part, n in self._parts(found)])

    def total_of_mine(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return the sum over ranks of this rank's rows; *tensor* has a row for each of all."""
        if self.world.size == 1:
            return tensor
        if dist.get_backend() in _DEALING:
            return self.deal(tensor).sum(0)
        longest = max(self.counts)
        padded = tensor.new_zeros(self.world.size * longest, *tensor.shape[1:])
        split = torch.split(tensor, list(self.counts))
        for (part, n), rows in zip(self._parts(padded), split, strict=True):
            part[:n] = rows
        total = tensor.new_empty(longest, *tensor.shape[1:])
        with self.world.clock:
            dist.reduce_scatter_single(total, padded)
        return total[: self.counts[self.world.rank]]

    def deal(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return what each rank has for this rank's rows: ranks x rows x ...

        *tensor* has a row for each of all.
        """
        if self.world.size == 1:
            return tensor[None]
        own = self.counts[self.world.rank]
        dealt = tensor.new_empty(self.world.size * own, *tensor.shape[1:])
        with self.world.clock:
            dist.all_to_all_single(
                dealt, tensor.contiguous(), [own] * self.world.size, list(self.counts)
            )
        return dealt.view(self.world.size, own, *tensor.shape[1:])

    def total(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return *tensor* summed over the ranks, in place."""
        return self.world.total(tensor)

    def _parts(self, padded: torch.Tensor) -> list[tuple[torch.Tensor, int]]:
        return list(zip(padded.chunk(self.world.size), self.counts, strict=True))
