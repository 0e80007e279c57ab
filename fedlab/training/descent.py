"""Steps of one model's parameters down their gradients, as torch's optimisers and its clipping take them.

The functions behind torch's optimisers are called, not its classes: those import torch's compiler, which takes seconds
and 70 MB in every process.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.optim.adamw import adamw
from torch.optim.sgd import sgd

from fedlab.training.local import LocalTraining
from fedlab.training.stacked import BETAS, CLIP_EPSILON, EPSILON

# A step moves parameters by their gradients at a learning rate. The gradients are used up.
DescentStep = Callable[[Sequence[Tensor], float], None]


def descent(parameters: Sequence[Tensor], settings: LocalTraining, *, proximal_mu: float) -> DescentStep:
    """Return the step of the optimiser that is set; `proximal_mu` pulls back to where the parameters are now."""
    move = _adamw(parameters, settings) if settings.optimizer == "adamw" else _sgd(parameters, settings)
    starts = [parameter.detach().clone() for parameter in parameters] if proximal_mu else []
    # A plain step is proportional to its gradient: to scale the rate instead saves a pass over the gradients.
    plain = settings.optimizer == "sgd" and not settings.momentum and not settings.weight_decay

    @torch.no_grad()
    def step(gradients: Sequence[Tensor], rate: float) -> None:
        for gradient, parameter, start in zip(gradients, parameters, starts, strict=False):
            gradient.add_(parameter - start, alpha=proximal_mu)
        share = _clipped_share(gradients, settings.clip_norm)
        if plain:
            move(gradients, rate * share)
        else:
            move([gradient.mul_(share) for gradient in gradients], rate)

    return step


def _clipped_share(gradients: Sequence[Tensor], limit: float | None) -> float:
    """Return by what to multiply gradients for their norm over all to be at most `limit`."""
    if limit is None:
        return 1.0
    norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(gradient) for gradient in gradients]))
    return min(1.0, limit / (float(norm) + CLIP_EPSILON))


def _sgd(parameters: Sequence[Tensor], settings: LocalTraining) -> DescentStep:
    velocities: list[Tensor | None] = [None] * len(parameters)

    def move(gradients: Sequence[Tensor], rate: float) -> None:
        sgd(
            list(parameters),
            list(gradients),
            velocities,
            lr=rate,
            momentum=settings.momentum,
            weight_decay=settings.weight_decay,
            dampening=0.0,
            nesterov=False,
            maximize=False,
            fused=True,
        )

    return move


def _adamw(parameters: Sequence[Tensor], settings: LocalTraining) -> DescentStep:
    means, squares = ([torch.zeros_like(parameter) for parameter in parameters] for _ in range(2))
    numbers = [torch.zeros((), device=parameter.device) for parameter in parameters]

    def move(gradients: Sequence[Tensor], rate: float) -> None:
        adamw(
            list(parameters),
            list(gradients),
            means,
            squares,
            [],
            numbers,
            lr=rate,
            beta1=BETAS[0],
            beta2=BETAS[1],
            eps=EPSILON,
            weight_decay=settings.weight_decay,
            amsgrad=False,
            maximize=False,
            fused=True,
        )

    return move
