"""Optimisers that take the gradient of a few classes at a time, and so never need all of it.

The arithmetic is torch's own (its fused kernels), given one piece after another: the result is
that of torch.optim with `fused=True`. Moments start at zero and lie beside the parameters, a
row a class, as buffers of this module.
"""

import torch
from torch import nn


class Update(nn.Module):
    """What SGD and AdamW share: where their moments lie, and how a piece is updated."""

    moments: tuple[str, ...]
    """What is remembered of each parameter."""
    steps: torch.Tensor
    """How many steps were taken."""

    def __init__(self, lr: float, weight_decay: float) -> None:
        super().__init__()
        self.lr, self.weight_decay = lr, weight_decay
        self.register_buffer("steps", torch.zeros(()))

    def attach(self, parameters: dict[str, nn.Parameter]) -> None:
        """Make room for the moments of *parameters*."""
        for name, parameter in parameters.items():
            for moment in self.moments:
                self.register_buffer(f"{name}_{moment}", torch.zeros_like(parameter.data))

    def piece(
        self,
        name: str,
        parameter: torch.Tensor,
        rows: slice | torch.Tensor,
        gradient: torch.Tensor,
    ) -> None:
        """Update *rows* of *parameter*, in place, by their *gradient*; matrices alone decay.

        Rows that a step leaves out keep their moments: they neither decay nor move.
        """
        whole = [parameter.data, *(self.get_buffer(f"{name}_{moment}") for moment in self.moments)]
        held = [tensor[rows] for tensor in whole]
        self._apply_kernel(held, gradient, self.weight_decay if parameter.ndim > 1 else 0.0)
        if isinstance(rows, torch.Tensor):  # those were copies
            for tensor, values in zip(whole, held, strict=True):
                tensor[rows] = values

    def _apply_kernel(
        self, held: list[torch.Tensor], gradient: torch.Tensor, weight_decay: float
    ) -> None:
        raise NotImplementedError


class SGD(Update):
    """Stochastic gradient descent with momentum; weight decay is part of the gradient."""

    moments = ("momentum",)

    def __init__(self, lr: float, momentum: float = 0.9, weight_decay: float = 0.0) -> None:
        super().__init__(lr, weight_decay)
        self.momentum = momentum

    def _apply_kernel(
        self, held: list[torch.Tensor], gradient: torch.Tensor, weight_decay: float
    ) -> None:
        torch._fused_sgd_(
            held[:1],
            [gradient],
            held[1:],
            weight_decay=weight_decay,
            momentum=self.momentum,
            lr=self.lr,
            dampening=0.0,
            nesterov=False,
            maximize=False,
            is_first_step=False,
        )


class AdamW(Update):
    """Adam with decoupled weight decay (Loshchilov and Hutter, arXiv:1711.05101)."""

    moments = ("mean", "square")

    def __init__(
        self,
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        super().__init__(lr, weight_decay)
        self.betas, self.eps = betas, eps

    def _apply_kernel(
        self, held: list[torch.Tensor], gradient: torch.Tensor, weight_decay: float
    ) -> None:
        torch._fused_adamw_(
            held[:1],
            [gradient],
            held[1:2],
            held[2:],
            [],
            [self.steps],
            lr=self.lr,
            beta1=self.betas[0],
            beta2=self.betas[1],
            weight_decay=weight_decay,
            eps=self.eps,
            amsgrad=False,
            maximize=False,
        )
