"""The updates of emulated training, on stored weights that are rounded to their format."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from fedlab.models.mixed_precision.algorithm import Algorithm
from fedlab.models.quantised.fake_quantised import FormatState, fake_quantised
from fedlab.models.quantised.number_format import NumberFormat

_ADAM_BETAS, _ADAM_EPSILON = (0.9, 0.999), 1e-8  # of Kingma and Ba 2015, as everywhere
_NORMALISED_SHIFT = 7  # a normalised gradient of 1 moves a weight by the rate over 2^7 (WAGEUBN's code)


@dataclass(kw_only=True)
class UpdateState:
    """What an update remembers between steps, by the names of the weights."""

    steps: int = 0
    momenta: dict[str, Tensor] = field(default_factory=dict)
    squares: dict[str, Tensor] = field(default_factory=dict)


def updated_arrays(
    arrays: Mapping[str, Tensor],
    gradients: Mapping[str, Tensor],
    algorithm: Algorithm,
    *,
    epoch: int,
    update: UpdateState,
    formats: FormatState,
) -> dict[str, Tensor]:
    """Return the stored weights behind one step; each product and sum of SGD is rounded to their format, too."""
    rate = algorithm.update.learning_rate_at(epoch)
    update.steps += 1
    found = {}
    for name, array in arrays.items():
        gradient = gradients[name]
        if algorithm.compensation is not None and name.endswith((".mu", ".offset")):
            gradient = gradient + algorithm.compensation.decay * array
        rounding = _Rounding(form=algorithm.stored_weights, formats=formats, name=name)
        match algorithm.update.rule:
            case "adam":
                step = _adam_step(name, gradient, rate, update)
            case "normalised":
                step = _normalised_step(gradient, rate, algorithm.update.step_bits)
            case _:
                step = _sgd_step(name, array, gradient, rate, algorithm, update, rounding)
        found[name] = rounding(array - step)
    return found


@dataclass(frozen=True, kw_only=True)
class _Rounding:
    form: NumberFormat
    formats: FormatState
    name: str

    def __call__(self, numbers: Tensor) -> Tensor:
        return fake_quantised(numbers, self.form, self.formats, f"{self.name}.stored")


def _sgd_step(
    name: str,
    array: Tensor,
    gradient: Tensor,
    rate: float,
    algorithm: Algorithm,
    update: UpdateState,
    rounding: _Rounding,
) -> Tensor:
    decay, momentum = algorithm.update.weight_decay, algorithm.update.momentum
    if decay:
        gradient = rounding(gradient + rounding(decay * array))
    if momentum:
        before = update.momenta.get(name)
        gradient = gradient if before is None else rounding(rounding(momentum * before) + gradient)
        update.momenta[name] = gradient
    return rounding(rate * gradient)


def _adam_step(name: str, gradient: Tensor, rate: float, update: UpdateState) -> Tensor:
    first, second = _ADAM_BETAS
    zeros = torch.zeros_like(gradient)
    momentum = first * update.momenta.get(name, zeros) + (1 - first) * gradient
    square = second * update.squares.get(name, zeros) + (1 - second) * gradient * gradient
    update.momenta[name], update.squares[name] = momentum, square
    root = (square / (1 - second**update.steps)).sqrt() + _ADAM_EPSILON
    return rate * (momentum / (1 - first**update.steps)) / root


def _normalised_step(gradient: Tensor, rate: float, bits: int) -> Tensor:
    largest = gradient.abs().max()
    if not bool(largest > 0):
        return torch.zeros_like(gradient)
    scale = torch.exp2(torch.round(torch.log2(largest)))
    levels = 2.0 ** (bits - 1)
    return torch.round(rate * (gradient / scale) / 2**_NORMALISED_SHIFT * levels) / levels
