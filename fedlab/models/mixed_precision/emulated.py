"""Mixed-precision training in float32: each product computes with numbers as their formats would keep them.

One engine emulates all algorithms but NITI's integers. Forward, activations A and weights W are quantised. Backward,
the error E is, and it meets the quantised A and W of the way there; the weight's gradient G is quantised last:

    y = A(x) W(w),    dx = E(dy) W(w),    dw = G(E(dy) A(x))

Sums are float32's, or of the algorithm's `sums`, chunk by chunk. Layers and weights are as torch has them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from fedlab.errors import UserError
from fedlab.models.cnn.compute import LayerPass
from fedlab.models.cnn.layers import (
    BatchNorm,
    Branches,
    Conv,
    Layer,
    Linear,
    Residual,
    placed,
    shape_after,
    weight_shapes,
)
from fedlab.models.mixed_precision.algorithm import Algorithm, ChunkedSums
from fedlab.models.quantised.fake_quantised import FormatState, fake_quantised, float_rounded
from fedlab.models.quantised.number_format import NumberFormat

COMPENSATION = ("alpha", "mu", "offset")  # names of what a compensated layer has beside its weight
Leaves = Mapping[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class EmulatedNetwork:
    """A network whose products an algorithm quantises."""

    layers: tuple[Layer, ...]
    algorithm: Algorithm
    state: FormatState
    training: bool = True

    def logits(self, arrays: Leaves, images: Tensor) -> Tensor:
        """Return the logits [N, L] of images [N, C, H, W]."""
        for place, layer in placed(self.layers):
            if isinstance(layer, BatchNorm):
                raise UserError(f"layer {place}: emulated training has no BatchNorm")
        product = partial(self._product, arrays)
        states = LayerPass(arrays=arrays, training=self.training, draws=self.state.draws, product=product)
        return states.through(self.layers, images)

    def gradients(self, arrays: Leaves, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Return the gradients of the mean cross entropy of a batch, by name, as the algorithm's format keeps them."""
        return self.gradients_and_loss(arrays, images, labels)[0]

    def gradients_and_loss(self, arrays: Leaves, images: Tensor, labels: Tensor) -> tuple[dict[str, Tensor], float]:
        """Return what `gradients` does, and the loss."""
        leaves = {name: array.detach().requires_grad_() for name, array in arrays.items()}
        scale = self.algorithm.loss_scale
        loss = F.cross_entropy(self.logits(leaves, images), labels)
        found = torch.autograd.grad(loss * scale, list(leaves.values()))
        return {name: each / scale for name, each in zip(leaves, found, strict=True)}, float(loss.detach())

    def _product(self, arrays: Leaves, layer: Conv | Linear, states: Tensor, place: str) -> Tensor:
        call = _Call(layer=layer, network=self, place=place)
        found: Tensor = _QuantisedProduct.apply(states, arrays[f"{place}.weight"], call)  # type: ignore[no-untyped-call]
        if f"{place}.alpha" in arrays:
            alpha, mu, offset = (arrays[f"{place}.{name}"] for name in COMPENSATION)
            found = found + alpha * mu + offset
        return found

    def is_quantised(self, layer: Conv | Linear) -> bool:
        """Tell whether the algorithm quantises a layer."""
        return self.algorithm.layers == "all" or isinstance(layer, Conv)

    def format_of(self, role: str, place: str) -> NumberFormat:
        """Return the format of `weights`, `activations` or `errors` at a place."""
        ends = list(weight_shapes(self.layers))
        if self.algorithm.ends is not None and f"{place}.weight" in (ends[0], ends[-1]):
            return self.algorithm.ends
        form: NumberFormat = getattr(self.algorithm, role)
        return form


@dataclass(frozen=True, kw_only=True)
class _Call:
    """One product: of which layer, and how its numbers are quantised."""

    layer: Conv | Linear
    network: EmulatedNetwork
    place: str

    def quantised(self, role: str, numbers: Tensor) -> Tensor:
        if not self.network.is_quantised(self.layer):
            return numbers
        form = self.network.algorithm.gradients if role == "gradients" else self.network.format_of(role, self.place)
        channel = 0 if role in ("weights", "gradients") else 1
        return fake_quantised(numbers, form, self.network.state, f"{self.place}.{role}", channel=channel)

    @property
    def sums(self) -> ChunkedSums | None:
        return self.network.algorithm.sums if self.network.is_quantised(self.layer) else None

    def forward(self, states: Tensor, weight: Tensor) -> Tensor:
        if isinstance(self.layer, Linear):
            return self._matrix(states, weight.t())
        if self.sums is None:
            return F.conv2d(states, weight, stride=self.layer.stride, padding=self.layer.padding)
        windows = self._windows(states)  # [N, K, L]
        rows = self._matrix(windows.transpose(1, 2).flatten(0, 1), weight.flatten(1).t())
        height = (states.shape[2] + 2 * self.layer.padding[0] - self.layer.kernel[0]) // self.layer.stride[0] + 1
        flat = rows.view(len(states), -1, len(weight)).transpose(1, 2)
        return flat.reshape(len(states), len(weight), height, -1)

    def backward(self, errors: Tensor, states: Tensor, weight: Tensor, *, below: bool) -> tuple[Tensor | None, Tensor]:
        """Return the gradients of the states, where they are asked for, and of the weight."""
        if isinstance(self.layer, Linear):
            return self._matrix(errors, weight) if below else None, self._matrix(errors.t(), states)
        if self.sums is None:
            return self._by_torch(errors, states, weight, below=below)
        rows = errors.flatten(2).transpose(1, 2).flatten(0, 1)  # [N L, O]
        windows = self._windows(states).transpose(1, 2).flatten(0, 1)  # [N L, K]
        gradient = self._matrix(rows.t(), windows).view(weight.shape)
        return self._folded(self._matrix(rows, weight.flatten(1)), states) if below else None, gradient

    def _folded(self, windows: Tensor, states: Tensor) -> Tensor:
        """Add windows [N L, K] where they overlap: return what has the shape of the states."""
        layer = self.layer
        assert isinstance(layer, Conv)
        columns = windows.view(len(states), -1, windows.shape[1]).transpose(1, 2)
        size = (states.shape[2], states.shape[3])
        return self._rounded_sums(F.fold(columns, size, layer.kernel, padding=layer.padding, stride=layer.stride))

    def _by_torch(self, errors: Tensor, states: Tensor, weight: Tensor, *, below: bool) -> tuple[Tensor | None, Tensor]:
        assert isinstance(self.layer, Conv)
        found = torch.ops.aten.convolution_backward(
            errors, states, weight, None, self.layer.stride, self.layer.padding, (1, 1), False, (0, 0), 1,
            (below, True, False),
        )  # fmt: skip
        return found[0], found[1]

    def _windows(self, states: Tensor) -> Tensor:
        assert isinstance(self.layer, Conv)
        return F.unfold(states, self.layer.kernel, padding=self.layer.padding, stride=self.layer.stride)

    def _matrix(self, left: Tensor, right: Tensor) -> Tensor:
        if self.sums is None:
            return left @ right
        total = None
        for one, other in zip(torch.split(left, self.sums.chunk, 1), torch.split(right, self.sums.chunk), strict=True):
            part = self._rounded_sums(one @ other)
            total = part if total is None else self._rounded_sums(total + part)
        assert total is not None
        return total

    def _rounded_sums(self, numbers: Tensor) -> Tensor:
        assert self.sums is not None
        draws = self.network.state.draws
        return float_rounded(numbers, self.sums.exponent_bits, self.sums.mantissa_bits, "nearest", draws)


class _QuantisedProduct(torch.autograd.Function):
    """A product forward and back, each side of it quantised once."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, weight: Tensor, call: _Call) -> Tensor:
        ctx.call = call
        states, weight = call.quantised("activations", states), call.quantised("weights", weight)
        ctx.save_for_backward(states, weight)
        return call.forward(states, weight)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, Tensor, None]:
        states, weight = ctx.saved_tensors
        call: _Call = ctx.call
        errors = call.quantised("errors", upstream[0])
        below, gradient = call.backward(errors, states, weight, below=ctx.needs_input_grad[0])
        return below, call.quantised("gradients", gradient), None


def initial_arrays(
    layers: Sequence[Layer],
    algorithm: Algorithm,
    output_shapes: Mapping[str, tuple[int, ...]],
    generator: np.random.Generator,
) -> dict[str, Tensor]:
    """Draw the stored weights by Xavier's rule, and what compensation adds.

    `output_shapes` are the shapes of an example behind each convolution, by its weight's name.
    """
    arrays: dict[str, Tensor] = {}
    for name, shape in weight_shapes(layers).items():
        fans = (shape[0] + shape[1]) * int(np.prod(shape[2:]))
        spread = (2 / fans) ** 0.5
        normal = algorithm.initial == "xavier-normal"
        drawn = generator.standard_normal(shape) if normal else generator.uniform(-(3**0.5), 3**0.5, shape)
        arrays[name] = torch.from_numpy(drawn * spread).float()
        if algorithm.compensation is not None and len(shape) == 4:
            arrays |= _compensation(name.removesuffix(".weight"), output_shapes[name], algorithm, generator)
    return arrays


def compensation_arrays(
    layers: Sequence[Layer], algorithm: Algorithm, input_shape: tuple[int, ...], generator: np.random.Generator
) -> dict[str, Tensor]:
    """Draw what compensation adds to a network for examples of a shape: nothing where the algorithm has none."""
    arrays: dict[str, Tensor] = {}
    if algorithm.compensation is not None:
        for name, output in convolved_shapes(layers, input_shape).items():
            arrays |= _compensation(name.removesuffix(".weight"), output, algorithm, generator)
    return arrays


def convolved_shapes(layers: Sequence[Layer], shape: tuple[int, ...], before: str = "") -> dict[str, tuple[int, ...]]:
    """Return the shapes of an example behind each convolution, by its weight's name."""
    found: dict[str, tuple[int, ...]] = {}
    for index, layer in enumerate(layers):
        place = f"{before}{index}"
        if isinstance(layer, Residual):
            found |= convolved_shapes(layer.body, shape, f"{place}.body.")
            found |= convolved_shapes(layer.shortcut, shape, f"{place}.shortcut.")
        elif isinstance(layer, Branches):
            for number, way in enumerate(layer.ways):
                found |= convolved_shapes(way, shape, f"{place}.ways.{number}.")
        shape = shape_after((layer,), shape)
        if isinstance(layer, Conv):
            found[f"{place}.weight"] = shape
    return found


def _compensation(
    place: str, output: tuple[int, ...], algorithm: Algorithm, generator: np.random.Generator
) -> dict[str, Tensor]:
    assert algorithm.compensation is not None
    arrays = {f"{place}.alpha": torch.full(output, algorithm.compensation.alpha)}
    for each in COMPENSATION[1:]:
        noise = generator.standard_normal(output) * algorithm.compensation.spread
        arrays[f"{place}.{each}"] = torch.from_numpy(noise).float()
    return arrays
