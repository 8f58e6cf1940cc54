"""Batch norm that learns its statistics, under a backbone that starts from nothing.

Pictures are normalised by the statistics of those that go through the backbone together, on one
rank (ghost batch norm; Hoffer and others, arXiv:1705.08741). The running statistics, which
evaluation takes, follow the mean over all such parts of a step's batch, on all ranks: so these are
alike on all ranks, and where the parts are (`train.deterministic`), the same on any number of them.
A picture that could not be decoded weighs nothing in that mean, but its part is normalised with it.
"""

import torch
from torch import nn

from train.world import World

Norm = nn.modules.batchnorm._BatchNorm
_MOMENTUM = 0.1
"""Share of a whole batch's statistics in the running ones after it; torch's default."""


def norms(module: nn.Module) -> list[Norm]:
    """Return the batch norms of *module* that keep running statistics."""
    found = (layer for layer in module.modules() if isinstance(layer, Norm))
    return [layer for layer in found if layer.running_mean is not None]


class Statistics:
    """The running statistics of *layers*, which are to be in training mode.

    A step of less than *batch_size* pictures moves them by less.
    """

    def __init__(self, layers: list[Norm], world: World, batch_size: int) -> None:
        self.layers, self.world, self.batch_size = layers, world, batch_size
        for layer in layers:
            layer.momentum = 1.0  # so that what is there after a pass is that pass's own
        if layers:
            self._running = self._read()
            self._sums = torch.zeros_like(self._running, dtype=torch.float64)

    def add(self, weights: torch.Tensor) -> None:
        """Take down those of the part that has just gone through, of pictures with *weights*."""
        if self.layers:
            self._sums += self._read() * weights.sum(dtype=torch.float64)

    @torch.no_grad()
    def follow(self, images: float) -> None:
        """Bring the running ones up to date after a step of *images* pictures over all ranks.

        That is the sum of their weights. All ranks call it together.
        """
        if not self.layers:
            return
        total = self.world.total(self._sums)
        if images:
            share = _MOMENTUM * min(1.0, images / self.batch_size)
            self._running.lerp_((total / images).to(self._running.dtype), share)
        parts = torch.split(self._running, [buffer.numel() for buffer in self._buffers()])
        for buffer, part in zip(self._buffers(), parts, strict=True):
            buffer.copy_(part)
        for layer in self.layers:
            if layer.num_batches_tracked is not None:
                layer.num_batches_tracked.zero_()  # of passes, of which ranks take as they come
        self._sums.zero_()

    def _read(self) -> torch.Tensor:
        return torch.cat(self._buffers())

    def _buffers(self) -> list[torch.Tensor]:
        pairs = ((layer.running_mean, layer.running_var) for layer in self.layers)
        return [buffer for pair in pairs for buffer in pair if buffer is not None]
