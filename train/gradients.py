"""Gradients of what all ranks hold alike, summed over the ranks while backward goes on."""

from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from train.world import World

_BUCKET = 6 << 20
"""Numbers that are summed in one message: 24 MiB, as DistributedDataParallel takes."""


class Gradients:
    """The gradients of *parameters*: after a backward, the sums over all ranks.

    They lie one after the other in a few buffers, the last layers' first, since backward comes
    to these first. A buffer is on its way to the other ranks as soon as all before it are and
    its last gradient is there. (As Li and others do, arXiv:2006.15704, but the buffers never
    change: a run that goes on adds up in the same order as one that was not disturbed.)
    """

    def __init__(self, parameters: list[nn.Parameter], world: World) -> None:
        self.world = world
        self._buckets: list[_Bucket] = []
        self._works: list[Any] = []
        """Of the sums that are on their way: those of the first buckets."""
        waiting: list[nn.Parameter] = []
        for parameter in reversed(parameters):
            waiting.append(parameter)
            if sum(p.numel() for p in waiting) >= _BUCKET:
                self._add(waiting)
                waiting = []
        if waiting:
            self._add(waiting)

    def clear(self) -> None:
        """Forget them, before a backward."""
        self._works.clear()
        for bucket in self._buckets:
            bucket.flat.zero_()
            bucket.missing = bucket.size

    def finish(self) -> torch.Tensor:
        """Wait until the sums are there; return their norm, which is no number if one is none."""
        if self.world.size > 1:
            for bucket in self._buckets[len(self._works) :]:  # a parameter had no gradient
                self._works.append(dist.all_reduce(bucket.flat, async_op=True))
            with self.world.clock:
                for work in self._works:
                    work.wait()
        norms = [torch.linalg.vector_norm(bucket.flat) for bucket in self._buckets]
        return torch.stack(norms).norm() if norms else torch.zeros((), device=self.world.device)

    def close(self) -> None:
        """Leave the parameters as they were."""
        for bucket in self._buckets:
            bucket.close()

    def _add(self, parameters: list[nn.Parameter]) -> None:
        self._buckets.append(_Bucket(parameters, self._go_on if self.world.size > 1 else None))

    def _go_on(self) -> None:
        """Send what is ready, in the same order on all ranks."""
        while len(self._works) < len(self._buckets) and not self._buckets[len(self._works)].missing:
            flat = self._buckets[len(self._works)].flat
            self._works.append(dist.all_reduce(flat, async_op=True))


class _Bucket:
    """Gradients that travel together."""

    def __init__(self, parameters: list[nn.Parameter], ready: Any) -> None:
        self.parameters, self.size = parameters, len(parameters)
        self.flat = parameters[0].new_zeros(sum(p.numel() for p in parameters))
        self.missing = self.size
        self._ready, self._hooks = ready, []
        for parameter, part in zip(
            parameters, torch.split(self.flat, [p.numel() for p in parameters]), strict=True
        ):
            # In the parameter's own memory order, as the optimiser's kernels want it.
            parameter.grad = part.as_strided(parameter.shape, parameter.stride())
            if ready:
                tell: Any = parameter.register_post_accumulate_grad_hook
                self._hooks.append(tell(self._count))

    def close(self) -> None:
        for hook in self._hooks:
            hook.remove()
        for parameter in self.parameters:
            parameter.grad = None

    def _count(self, _: torch.Tensor) -> None:
        self.missing -= 1
        if not self.missing:
            self._ready()
