"""The sizes of a convolutional network: what its arrays and its costs depend on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path

import numpy as np

from fedlab.common.arrays import Arrays, Shape
from fedlab.common.short_text import short
from fedlab.config.builtins import CONVOLUTIONAL
from fedlab.config.guard import guarded
from fedlab.config.plugins import resolve
from fedlab.config.schema import BackboneTable, Initial
from fedlab.errors import UserError
from fedlab.models.cnn.layer_costs import layer_costs
from fedlab.models.cnn.layers import BatchNorm, Layer, placed, shape_after, weight_shapes
from fedlab.workload.conv_shape import ConvShape

# Returns the layers of a network for images of a shape (channels, height, width) and a number of labels.
LayersOf = Callable[[Shape, int], Sequence[Layer]]
MEAN, VARIANCE = "running_mean", "running_var"  # of a batch norm, as torch calls them


@dataclass(frozen=True, kw_only=True)
class ConvSizes:
    """A network of `layers`, for images of `input_shape` (channels, height, width) and a number of labels.

    All of its arrays are trained and travel. They are named by the places of their layers
    (`fedlab.models.cnn.layers.weight_shapes`); those of a batch norm also have the mean and variance of its channels.
    """

    name: str
    layers: tuple[Layer, ...]
    input_shape: tuple[int, int, int]
    labels: int
    drawn_from: Initial = "xavier-normal"

    @cached_property
    def shape(self) -> ConvShape:
        """Return the sizes that costs depend on."""
        costs = layer_costs(self.layers, self.input_shape)
        return ConvShape(name=self.name, input_shape=self.input_shape, labels=self.labels, layers=costs)

    @property
    def is_decoder(self) -> bool:
        """Tell that it says no tokens."""
        return False

    @cached_property
    def statistics(self) -> frozenset[str]:
        """Return the names of the arrays that are measured and not trained: means and variances of batch norms."""
        return frozenset(statistic_shapes(self.layers))

    def shapes(self) -> dict[str, Shape]:
        """Return the shape of every array, in the order they travel: weights, then means and variances."""
        return weight_shapes(self.layers) | statistic_shapes(self.layers)

    def initial(self, generator: np.random.Generator) -> Arrays:
        """Draw a new network.

        Matrices and kernels have variance 2 / (inputs + outputs) (Glorot and Bengio 2010), and are normal ("Xavier
        normal", the initialiser of Mandheling's Table 2) or uniform (that of NITI's current code). A batch norm starts
        with scale 1, offset 0, mean 0 and variance 1.
        """
        return {name: _initial(name, shape, generator, self.drawn_from) for name, shape in self.shapes().items()}


def conv_sizes(table: BackboneTable, input_shape: tuple[int, int, int], labels: int, *, base: Path) -> ConvSizes:
    """Return the sizes of the network an experiment names; a user's own is found from `base`.

    Raises:
        UserError: there is no such network, or it does not accept images of this shape.
    """
    layers_of: LayersOf = resolve(table.name, CONVOLUTIONAL, base)
    said = f"backbone.name = '{table.name}'"
    layers = _layers(said, layers_of, input_shape, labels)
    try:
        ends = shape_after(layers, input_shape)
    except ValueError as error:
        raise UserError(_refusal(said, input_shape, error)) from error
    if ends != (labels,):
        raise UserError(f"{said}: the network ends in the shape {ends}, expected a number for each of {labels} labels")
    return ConvSizes(name=table.name, layers=layers, input_shape=input_shape, labels=labels, drawn_from=table.initial)


def statistic_shapes(layers: Sequence[Layer]) -> dict[str, Shape]:
    """Return the shapes of the means and variances of batch norms by name, in the order of the layers."""
    return {
        f"{place}.{name}": (layer.channels,)
        for place, layer in placed(layers)
        if isinstance(layer, BatchNorm)
        for name in (MEAN, VARIANCE)
    }


def _layers(said: str, layers_of: LayersOf, input_shape: tuple[int, int, int], labels: int) -> tuple[Layer, ...]:
    try:
        found = guarded(said, "it", lambda: layers_of(input_shape, labels), passes=(ValueError,))
    except ValueError as error:
        raise UserError(_refusal(said, input_shape, error)) from error
    if not isinstance(found, tuple | list) or not all(isinstance(layer, Layer) for layer in found):
        raise UserError(f"{said}: returned {short(found)}, expected layers of fedlab.models.cnn.layers")
    return tuple(found)


def _refusal(said: str, input_shape: tuple[int, int, int], error: ValueError) -> str:
    channels, height, width = input_shape
    sizes = f"{channels} x {height} x {width} (channels, height, width)"
    return f"{said}: does not accept images of {sizes}: {short(str(error), 160)}"


def _initial(name: str, shape: Shape, generator: np.random.Generator, drawn_from: Initial) -> np.ndarray:
    if len(shape) == 1:
        ones = name.endswith((".weight", VARIANCE))
        return np.ones(shape, np.float32) if ones else np.zeros(shape, np.float32)
    outputs, inputs, *kernel = shape
    std = (2 / ((inputs + outputs) * prod(kernel))) ** 0.5
    if drawn_from == "xavier-uniform":
        bound = 3**0.5 * std
        return generator.uniform(-bound, bound, shape).astype(np.float32)
    return generator.normal(0.0, std, shape).astype(np.float32)
