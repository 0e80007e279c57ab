"""Several models trained side by side: their parameters as one tensor, and the optimisers that step them together."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fedlab.common.arrays import Arrays

# The gradients lie where the optimisers want them, model by model, and not where autograd would put them.
warnings.filterwarnings("ignore", message="grad and param do not obey the gradient layout contract")

EPSILON = 1e-8  # AdamW's, as in torch
CLIP_EPSILON = 1e-6  # of torch.nn.utils.clip_grad_norm_
BETAS = (0.9, 0.999)


@dataclass(frozen=True, kw_only=True)
class Stack:
    """K models of P parameters each, which begin alike.

    `values` and `gradients` are [K, P]. `parameters` are leaf tensors [K, ...] by name that share their memory:
    autograd adds to `gradients`, and a step on `values` moves the parameters. One step is then a few operations,
    however many arrays a model has.
    """

    values: Tensor
    gradients: Tensor
    parameters: Mapping[str, Tensor]

    def arrays(self, model: int) -> Arrays:
        """Return a copy of one model's arrays."""
        return {name: tensor.detach()[model].cpu().numpy().copy() for name, tensor in self.parameters.items()}


def stack(arrays: Mapping[str, np.ndarray], models: int, *, device: torch.device | None = None) -> Stack:
    """Return a stack of `models` models that all begin with these arrays, in float32."""
    flat = np.concatenate([np.ravel(array) for array in arrays.values()]).astype(np.float32, copy=False)
    values = torch.tensor(flat, device=device).repeat(models, 1)
    gradients = torch.zeros_like(values)
    parameters, start = {}, 0
    for name, array in arrays.items():
        columns, shape = slice(start, start + array.size), (models, *array.shape)
        parameter = values[:, columns].view(shape).requires_grad_()
        parameter.grad = gradients[:, columns].view(shape)
        parameters[name] = parameter
        start += array.size
    return Stack(values=values, gradients=gradients, parameters=parameters)


# A step changes values [A, P] by their gradients [A, P] at learning rates [A, 1]; `number` counts steps from 1.
StackedStep = Callable[[Tensor, Tensor, Tensor, int], None]


def sgd(values: Tensor, *, momentum: float, weight_decay: float) -> StackedStep:
    """Return stochastic gradient descent, as torch.optim.SGD does it."""
    velocity = torch.zeros_like(values) if momentum else None

    def step(values: Tensor, gradients: Tensor, rates: Tensor, number: int) -> None:
        if weight_decay:
            gradients.add_(values, alpha=weight_decay)
        moved = gradients
        if velocity is not None:
            moved = velocity[: len(values)].mul_(momentum).add_(gradients)
        values.sub_(rates * moved)

    return step


def adamw(values: Tensor, *, weight_decay: float) -> StackedStep:
    """Return Adam with decoupled weight decay, as torch.optim.AdamW does it."""
    means, squares = torch.zeros_like(values), torch.zeros_like(values)

    def step(values: Tensor, gradients: Tensor, rates: Tensor, number: int) -> None:
        mean, square = means[: len(values)], squares[: len(values)]
        values.mul_(1 - rates * weight_decay)
        mean.lerp_(gradients, 1 - BETAS[0])
        square.mul_(BETAS[1]).addcmul_(gradients, gradients, value=1 - BETAS[1])
        scale = (square / (1 - BETAS[1] ** number)).sqrt_().add_(EPSILON)
        values.sub_(rates / (1 - BETAS[0] ** number) * mean / scale)

    return step


def clip_norms(gradients: Tensor, limit: float) -> None:
    """Scale each model's gradients [A, P] down to a norm of at most `limit`."""
    norms = torch.linalg.vector_norm(gradients, dim=1, keepdim=True)
    gradients.mul_((limit / (norms + CLIP_EPSILON)).clamp_(max=1.0))
