"""Forward, backward and update of a convolutional network in integers alone, after NITI.

Every tensor is int8 mantissas with one exponent. Sums are exact int32, and one shift for the whole batch makes 7 bits
of them. So a batch can be computed in parts, on any number of threads and on any machine, with the same bits.
Activations are [N, H, W, C] here, and weights as torch has them. Source: NITI (Wang et al. 2020,
https://arxiv.org/abs/2009.13108) and the two versions of its code, whose rules are `FIRST` and `CURRENT`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from fedlab.config.schema import Initial
from fedlab.errors import UserError
from fedlab.models.cnn.layers import Conv, DropoutLayer, Flatten, Layer, Linear, MaxPool, Relu, Residual, placed
from fedlab.models.integer import pooling
from fedlab.models.integer.loss import DRAWS, softmax_gradient
from fedlab.models.integer.products import (
    conv_input_product,
    conv_product,
    conv_weight_product,
    joined,
    matrix_product,
    summed_product,
)
from fedlab.models.integer.rescaling import Rescaling, every_batch_shift
from fedlab.models.integer.rounding import (
    LARGEST,
    ShiftRounding,
    largest_magnitude,
    mantissas,
    shifted,
)
from fedlab.models.integer.tensor import IntegerTensor, nearest, stretched
from fedlab.models.integer.update import narrow, updated, updated_wide

Weights = Mapping[str, IntegerTensor]  # by `weight_shapes`'s names
_SUM_SHIFT = 2  # of a sum of two tensors that is above 127


@dataclass(frozen=True, kw_only=True)
class IntegerRules:
    """What differs between versions of NITI."""

    activations: ShiftRounding
    errors: ShiftRounding
    gradients: ShiftRounding
    least_shift: int  # a shift of 1 becomes this: pseudo-stochastic rounding needs 2 bits
    stretched_inputs: bool
    initial: Initial
    decay: bool = False
    wide_weights: bool = False  # 16 bits are kept of a weight, and the upper 8 computed with


FIRST = IntegerRules(
    activations="pseudo-stochastic",
    errors="pseudo-stochastic",
    gradients="pseudo-stochastic",
    least_shift=2,
    stretched_inputs=True,
    initial="xavier-normal",
)
CURRENT = IntegerRules(
    activations="nearest",
    errors="nearest",
    gradients="pseudo-stochastic",
    least_shift=1,
    stretched_inputs=False,
    initial="xavier-uniform",
)


@dataclass(frozen=True, kw_only=True)
class IntegerPass:
    """How one batch is computed."""

    rules: IntegerRules
    rescaling: Rescaling = field(default_factory=Rescaling)
    parts: int = 1  # into which the batch is cut for the products
    dropout: np.random.Generator | None = None  # without one no dropout is computed


Gradients = dict[str, Tensor]
Backward = Callable[[IntegerTensor, Gradients], IntegerTensor]


def check_integer_layers(layers: Sequence[Layer]) -> None:
    """Raise a UserError for the first layer that integers cannot compute."""
    for place, layer in placed(layers):
        if not isinstance(layer, Conv | Linear | Relu | MaxPool | Flatten | DropoutLayer | Residual):
            raise UserError(f"layer {place}: integer training has no {type(layer).__name__}")
        if isinstance(layer, DropoutLayer) and layer.probability != 0.5:
            raise UserError(f"layer {place}: dropout {layer.probability}, integer training accepts 0.5 alone")


def quantised_inputs(images: Tensor, rules: IntegerRules) -> IntegerTensor:
    """Return a batch of normalised floats [N, C, H, W] as mantissas [N, H, W, C]; features [N, I] stay in place."""
    numbers = stretched(images) if rules.stretched_inputs else nearest(images)
    if images.dim() != 4:
        return numbers
    return replace(numbers, mantissa=numbers.mantissa.permute(0, 2, 3, 1).contiguous())


def initial_weights(
    shapes: Mapping[str, tuple[int, ...]], rules: IntegerRules, generator: np.random.Generator
) -> dict[str, IntegerTensor]:
    """Draw weights by Xavier's rule and stretch each to 127 levels, in the order of the shapes."""
    weights = {}
    for name, shape in shapes.items():
        window = int(np.prod(shape[2:]))
        fans = (shape[0] + shape[1]) * window
        if rules.initial == "xavier-normal":
            drawn = generator.standard_normal(shape) * (2 / fans) ** 0.5
        else:
            bound = (6 / fans) ** 0.5
            drawn = generator.uniform(-bound, bound, shape)
        weights[name] = stretched(torch.from_numpy(drawn))
    return weights


def logits_of(layers: Sequence[Layer], weights: Weights, inputs: IntegerTensor, rules: IntegerRules) -> IntegerTensor:
    """Return the logits of a batch, whose shifts are of the whole batch, without dropout."""
    return _Network(weights=weights, computed=IntegerPass(rules=rules)).forward(layers, inputs, "", first=True)[0]


def loss_gradients(
    layers: Sequence[Layer], weights: Weights, inputs: IntegerTensor, labels: Tensor, draws: Tensor, run: IntegerPass
) -> Gradients:
    """Return the gradients of all weights, exact sums over a batch, by name; `draws` is of `loss_draws`."""
    return gradients_and_logits(layers, weights, inputs, labels, draws, run)[0]


def gradients_and_logits(
    layers: Sequence[Layer], weights: Weights, inputs: IntegerTensor, labels: Tensor, draws: Tensor, run: IntegerPass
) -> tuple[Gradients, IntegerTensor]:
    """Return what `loss_gradients` does, and the logits of the batch."""
    network = _Network(weights=weights, computed=run)
    logits, way_back = network.forward(layers, inputs, "", first=True)
    gradients: Gradients = {}
    _backward(way_back, softmax_gradient(logits, labels, draws), gradients)
    return gradients, logits


def loss_draws(generator: np.random.Generator, examples: int, labels: int) -> Tensor:
    """Draw the numbers that the rounding of a loss's gradient takes, [examples, labels], for the whole batch."""
    return torch.from_numpy(generator.integers(0, DRAWS, (examples, labels), dtype=np.int64))


def stepped(weights: Weights, gradients: Gradients, mu: int, rules: IntegerRules) -> dict[str, IntegerTensor]:
    """Return the weights behind one update; a weight's exponent never changes."""
    return {
        name: replace(
            weight,
            mantissa=updated(weight.mantissa, gradients[name], mu, rules.gradients, decay=rules.decay),
        )
        for name, weight in weights.items()
    }


def stepped_wide(
    wide: Mapping[str, Tensor], weights: Weights, gradients: Gradients, mu: int, rules: IntegerRules
) -> tuple[dict[str, Tensor], dict[str, IntegerTensor]]:
    """Return the 16-bit weights behind one update, and the weights that are computed with."""
    moved = {
        name: updated_wide(wide[name], gradient, mu, rules.gradients, decay=rules.decay)
        for name, gradient in gradients.items()
    }
    return moved, {name: replace(weight, mantissa=narrow(moved[name])) for name, weight in weights.items()}


def _backward(way_back: Sequence[Backward], error: IntegerTensor, gradients: Gradients) -> IntegerTensor:
    for step in reversed(way_back):
        error = step(error, gradients)
    return error


@dataclass(frozen=True, kw_only=True)
class _Network:
    """The layers of one pass: each returns what it computes, and how an error goes back through it."""

    weights: Weights
    computed: IntegerPass

    def forward(
        self, layers: Sequence[Layer], numbers: IntegerTensor, before: str, *, first: bool
    ) -> tuple[IntegerTensor, list[Backward]]:
        """Compute layers; `first` says that no weight is in front of them, so that no error is needed there."""
        way_back = []
        for index, layer in enumerate(layers):
            place = f"{before}{index}"
            positive = index + 1 < len(layers) and isinstance(layers[index + 1], Relu)
            numbers, back = self._layer(layer, numbers, place, first=first, positive=positive)
            weighted = isinstance(layer, Conv | Linear | Residual)
            way_back.append(_unchanged if first and not weighted else back)  # no error goes below the first weight
            first = first and not weighted
        return numbers, way_back

    def _layer(
        self, layer: Layer, numbers: IntegerTensor, place: str, *, first: bool, positive: bool
    ) -> tuple[IntegerTensor, Backward]:
        match layer:
            case Conv() | Linear():
                return self._product(layer, numbers, place, first=first, positive=positive)
            case Relu():
                return _relu(numbers)
            case MaxPool():
                return self._max_pool(layer, numbers)
            case Flatten():
                return _flatten(numbers)
            case DropoutLayer():
                return self._dropout(numbers)
            case Residual():
                return self._residual(layer, numbers, place, first=first)
        raise UserError(f"layer {place}: integer training has no {type(layer).__name__}")

    def _product(
        self, layer: Conv | Linear, inputs: IntegerTensor, place: str, *, first: bool, positive: bool
    ) -> tuple[IntegerTensor, Backward]:
        weight = self.weights[f"{place}.weight"]
        rules = self.computed.rules
        sums = joined([_forward_sums(layer, part, weight.mantissa) for part in self._parts(inputs.mantissa)])
        mantissa, shift = self._rescaled(f"{place}.activation", sums, rules.activations, positive=positive)
        output = IntegerTensor(mantissa=mantissa, exponent=inputs.exponent + weight.exponent + shift)

        def back(error: IntegerTensor, gradients: Gradients) -> IntegerTensor:
            pairs = list(zip(self._parts(inputs.mantissa), self._parts(error.mantissa), strict=True))
            gradients[f"{place}.weight"] = sum(
                (_gradient_sums(layer, one, other) for one, other in pairs[1:]), _gradient_sums(layer, *pairs[0])
            )
            if first:
                return error
            sums = joined([_error_sums(layer, one, other, weight.mantissa) for one, other in pairs])
            mantissa, shift = self._rescaled(f"{place}.error", sums, rules.errors)
            return IntegerTensor(mantissa=mantissa, exponent=error.exponent + weight.exponent + shift)

        return output, back

    def _parts(self, numbers: Tensor) -> tuple[Tensor, ...]:
        return numbers.tensor_split(min(self.computed.parts, len(numbers)))

    def _rescaled(
        self, name: str, sums: Tensor, rounding: ShiftRounding, *, positive: bool = False
    ) -> tuple[Tensor, int]:
        """Return the mantissas of sums and their shift; negative sums become 0 with `positive`, but count for it."""
        rescaling = self.computed.rescaling
        known = rescaling.known(name)
        if known is not None:
            saturated = int((sums.abs() >> known > LARGEST).sum()) if sums.numel() else 0
            rescaling.record_reused(name, saturated, sums.numel())
            return mantissas(sums, known, rounding, positive=positive), known
        shift = every_batch_shift(largest_magnitude(sums))
        shift = max(shift, self.computed.rules.least_shift) if shift else 0
        found = mantissas(sums, shift, rounding, positive=positive)
        magnitude = kept = 0
        if rescaling.adaptive:
            magnitude = int((sums.clamp(min=0) if positive else sums.abs()).sum(dtype=torch.int64))
            kept = int(found.abs().sum(dtype=torch.int64)) << shift
        rescaling.record_found(name, shift, magnitude, kept)
        return found, shift

    def _max_pool(self, layer: MaxPool, inputs: IntegerTensor) -> tuple[IntegerTensor, Backward]:
        largest, places = pooling.largest_of_windows(inputs.mantissa, layer)
        size = inputs.mantissa.shape

        def back(error: IntegerTensor, gradients: Gradients) -> IntegerTensor:
            sums = pooling.to_largest(error.mantissa, places, layer, size)
            if sums.dtype == torch.int8:
                return replace(error, mantissa=sums)
            shift = every_batch_shift(largest_magnitude(sums))
            return IntegerTensor(
                mantissa=mantissas(sums, shift, self.computed.rules.errors), exponent=error.exponent + shift
            )

        return replace(inputs, mantissa=largest), back

    def _dropout(self, inputs: IntegerTensor) -> tuple[IntegerTensor, Backward]:
        if self.computed.dropout is None:
            return inputs, _unchanged
        drawn = self.computed.dropout.integers(0, 2, tuple(inputs.mantissa.shape[1:]), dtype=np.int8)
        mask = torch.from_numpy(drawn).to(inputs.mantissa.device)

        def masked(numbers: IntegerTensor) -> IntegerTensor:
            return IntegerTensor(mantissa=numbers.mantissa * mask, exponent=numbers.exponent + 1)

        return masked(inputs), lambda error, gradients: masked(error)

    def _residual(
        self, layer: Residual, inputs: IntegerTensor, place: str, *, first: bool
    ) -> tuple[IntegerTensor, Backward]:
        rules = self.computed.rules
        body, body_back = self.forward(layer.body, inputs, f"{place}.body.", first=first)
        shortcut, shortcut_back = self.forward(layer.shortcut, inputs, f"{place}.shortcut.", first=first)

        def back(error: IntegerTensor, gradients: Gradients) -> IntegerTensor:
            one = _backward(body_back, error, gradients)
            other = _backward(shortcut_back, error, gradients)
            return error if first else summed(one, other, rules.errors)

        return summed(body, shortcut, rules.activations), back


def summed(one: IntegerTensor, other: IntegerTensor, rounding: ShiftRounding) -> IntegerTensor:
    """Return the sum of two tensors: the one of the smaller exponent is shifted, by 1 the other one is doubled."""
    small, large = sorted((one, other), key=lambda each: each.exponent)
    difference = large.exponent - small.exponent
    lower, upper = small.mantissa.to(torch.int32), large.mantissa.to(torch.int32)
    exponent = large.exponent
    if difference == 1:
        upper, exponent = upper * 2, small.exponent
    elif difference:
        lower = shifted(lower, difference, rounding)
    total = lower + upper
    shift = _SUM_SHIFT if largest_magnitude(total) > LARGEST else 0
    return IntegerTensor(mantissa=mantissas(total, shift, rounding), exponent=exponent + shift)


def _unchanged(error: IntegerTensor, gradients: Gradients) -> IntegerTensor:
    return error


def _relu(inputs: IntegerTensor) -> tuple[IntegerTensor, Backward]:
    output = replace(inputs, mantissa=inputs.mantissa.clamp(min=0))
    return output, lambda error, gradients: replace(error, mantissa=error.mantissa * (output.mantissa > 0))


def _flatten(inputs: IntegerTensor) -> tuple[IntegerTensor, Backward]:
    if inputs.mantissa.dim() != 4:
        return inputs, _unchanged
    count, height, width, channels = inputs.mantissa.shape
    flat = inputs.mantissa.permute(0, 3, 1, 2).reshape(count, -1)

    def back(error: IntegerTensor, gradients: Gradients) -> IntegerTensor:
        shaped = error.mantissa.view(count, channels, height, width)
        return replace(error, mantissa=shaped.permute(0, 2, 3, 1).contiguous())

    return replace(inputs, mantissa=flat), back


def _forward_sums(layer: Conv | Linear, inputs: Tensor, weight: Tensor) -> Tensor:
    if isinstance(layer, Linear):
        return matrix_product(inputs, weight.t())
    return conv_product(inputs, weight, layer)


def _gradient_sums(layer: Conv | Linear, inputs: Tensor, errors: Tensor) -> Tensor:
    if isinstance(layer, Linear):
        return summed_product(errors, inputs)
    return conv_weight_product(inputs, errors, layer)


def _error_sums(layer: Conv | Linear, inputs: Tensor, errors: Tensor, weight: Tensor) -> Tensor:
    if isinstance(layer, Linear):
        return matrix_product(errors, weight)
    return conv_input_product(errors, weight, layer, (inputs.shape[1], inputs.shape[2]))
