"""Gradients of what all ranks hold alike, summed over the ranks while backward goes on."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from train.world import World

_BUCKET = 6 << 20
"""Numbers that are summed in one message: 24 MiB, as DistributedDataParallel takes."""


class Gradients:
    """The gradients of *parameters*: after one or more backwards, the sums over all ranks.

    They lie one after the other in a few buffers, the last layers' first, since backward comes
    to these first. In the last backward a buffer is on its way to the other ranks as soon as all
    before it are and its last gradient is there. (As Li and others do, arXiv:2006.15704, but the
    buffers never change: a run that goes on adds up in the same order as an undisturbed one.)
    *flags* numbers more travel with them.

    double_sums: what backwards and ranks give is added up in float64. Then it makes no difference
    which rank took which backward, and twice as many bytes travel.
    """

    def __init__(
        self,
        parameters: list[nn.Parameter],
        world: World,
        *,
        flags: int = 0,
        double_sums: bool = False,
    ) -> None:
        self.world, self.empty = world, not parameters
        self._flags, self._double = flags, double_sums
        self.buckets: list[_Bucket] = []
        self._works: list[Any] = []
        """Of the sums that are on their way: those of the first buckets."""
        self._leaving = False
        waiting: list[nn.Parameter] = []
        for parameter in reversed(parameters):
            if sum(p.numel() for p in waiting) >= _BUCKET:
                self._add(waiting, 0)
                waiting = []
            waiting.append(parameter)
        self._add(waiting, flags)

    def clear(self, flags: Sequence[float] = ()) -> None:
        """Forget them, before the backwards of a step; sum these *flags*."""
        self._works.clear()
        self._leaving = False
        for bucket in self.buckets:
            bucket.flat.zero_()
            bucket.sums.zero_()
            bucket.missing = len(bucket.parameters)
        if flags:
            self.buckets[-1].flat[-len(flags) :] = torch.tensor(flags)

    def keep(self) -> None:
        """Keep what a backward gave, before another."""
        if self._double:
            for bucket in self.buckets:
                bucket.sums += bucket.flat
                bucket.flat.zero_()

    def leave(self) -> None:
        """Let them leave from now on: the next backward is the last."""
        self._leaving = True

    def finish(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Wait until the sums are there; return their norm, which is no number if one is none.

        The second tensor has the sums of the flags.
        """
        for bucket in self.buckets[len(self._works) :]:  # a parameter had no gradient
            self._works.append(self._send(bucket))
        if self.world.size > 1:
            with self.world.clock:
                for work in self._works:
                    work.wait()
        if self._double:
            for bucket in self.buckets:
                bucket.flat.copy_(bucket.sums)
        norms = [torch.linalg.vector_norm(bucket.gradients) for bucket in self.buckets]
        last = self.buckets[-1].flat
        return torch.stack(norms).norm(), last[len(last) - self._flags :]

    def close(self) -> None:
        """Leave the parameters as they were."""
        for bucket in self.buckets:
            bucket.close()

    def _add(self, parameters: list[nn.Parameter], flags: int) -> None:
        device = self.world.device
        self.buckets.append(_Bucket(parameters, flags, device, self._double, self._go_on))

    def _go_on(self) -> None:
        """Send what is ready, in the same order on all ranks."""
        while self._leaving and len(self._works) < len(self.buckets):
            bucket = self.buckets[len(self._works)]
            if bucket.missing:
                return
            self._works.append(self._send(bucket))

    def _send(self, bucket: "_Bucket") -> Any:
        if self._double:
            bucket.sums += bucket.flat
        return dist.all_reduce(bucket.sums, async_op=True) if self.world.size > 1 else None


class _Bucket:
    """Gradients that travel together, and *flags* numbers more after them."""

    def __init__(
        self,
        parameters: list[nn.Parameter],
        flags: int,
        device: torch.device,
        double: bool,
        ready: Any,
    ) -> None:
        self.parameters, self._ready, self._hooks = parameters, ready, []
        self.missing = 0
        sizes = [p.numel() for p in parameters]
        self.flat = torch.zeros(sum(sizes) + flags, device=device)
        self.sums = self.flat.double() if double else self.flat
        """What travels."""
        self.gradients = self.flat[: sum(sizes)]
        for parameter, part in zip(parameters, torch.split(self.gradients, sizes), strict=True):
            # In the parameter's own memory order, as the optimiser's kernels want it.
            parameter.grad = part.as_strided(parameter.shape, parameter.stride())
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
