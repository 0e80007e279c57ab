"""What is trained of a model: the protocol of trainable sets, and the point where a set splits a model.

A set is named by its configuration, a flat mapping of the set's name and its axes, which every order carries:
`{"set": "bottleneck", "depth": 2, "width": 8}`. What the arrays are called says nothing about the set.
"""

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol, cast, runtime_checkable

import numpy as np

from fedlab.common.arrays import Arrays, Shape
from fedlab.common.short_text import short
from fedlab.config.builtins import TRAINABLE_SETS
from fedlab.config.guard import guarded
from fedlab.config.plugins import nearest, resolve
from fedlab.errors import UserError
from fedlab.models.cnn.sizes import ConvSizes
from fedlab.models.families import EncoderSizes
from fedlab.workload.passes import TrainedSpec
from fedlab.workload.workload import Configuration

SET = "set"  # the key of a set's name in its configuration

# Returns those of the named arrays that are weights of the backbone, in float32.
BackboneWeights = Callable[[Collection[str]], Arrays]


@dataclass(frozen=True, kw_only=True)
class SplitPoint:
    """Where a model is split into a frozen part, computed once a sample, and a part that runs in every pass.

    `block` is the lowest block with trained parameters; in a model of L blocks it is L where none has any.

    * `features`: the trained part is the head; it starts from what the head reads (block L);
    * `adapter`: it starts from the sum before the last norm of the block, where the block's adapter sits;
    * `partial_block`: it starts from the state that enters the block, whose matrices stay frozen: what is trained are
      biases, or pairs of low rank beside the matrices, which add `scale` times their product;
    * `block_input`: it starts from the state that enters the block; with block L, from the last block's output;
    * `inputs`: all is trained; it starts from the inputs themselves, which are token ids (block 0).
    """

    kind: Literal["features", "adapter", "partial_block", "block_input", "inputs"]
    block: int
    scale: float = 1.0

    def __str__(self) -> str:
        """Return a name for files, which is the same in every version."""
        if self.kind in ("features", "inputs"):
            return self.kind
        kind = "block_input" if self.kind == "partial_block" else self.kind  # these states are the same
        return f"{kind}-{self.block}"

    @property
    def state(self) -> "SplitPoint":
        """Return the point by which states are kept: they are the same whatever is computed above them."""
        return self if self.scale == 1.0 else replace(self, scale=1.0)

    def passed(self) -> list["SplitPoint"]:
        """Return the points of deeper sets, the nearest first: a pass up to this point computes their states too.

        A search that deepens adapters or pairs asks for them later. No search deepens whole blocks.
        """
        if self.kind not in ("features", "adapter", "partial_block"):
            return []
        kind: Literal["adapter", "partial_block"] = "partial_block" if self.kind == "partial_block" else "adapter"
        return [SplitPoint(kind=kind, block=block) for block in reversed(range(self.block))]


@dataclass(frozen=True, kw_only=True)
class ModelSizes:
    """What the shapes of trained arrays depend on: the backbone's sizes, and those of the head.

    `pooler` says whether the head reads BERT's pooler, `head_bias` whether it has a bias.
    """

    encoder: EncoderSizes | ConvSizes
    labels: int
    pooler: bool = False
    head_bias: bool = True

    @classmethod
    def of_task(cls, encoder: EncoderSizes | ConvSizes, *, kind: str, pooling: str, labels: int) -> "ModelSizes":
        """Return the sizes of a backbone with the head for a kind of task that reads it by a pooling.

        Transformers' classifiers of texts have no bias where they read the last token of a decoder.
        """
        classifies = kind == "classification"
        return cls(
            encoder=encoder,
            labels=labels,
            pooler=pooling == "pooler" and classifies,
            head_bias=not (encoder.is_decoder and classifies),
        )

    @property
    def blocks(self) -> int:
        """Return the number of blocks."""
        return self.encoder.shape.blocks

    @property
    def transformer(self) -> EncoderSizes:
        """Return the sizes of a transformer; raises UserError for another backbone, which is trained whole."""
        if isinstance(self.encoder, ConvSizes):
            raise UserError(f"client.trains: '{self.encoder.name}' is trained whole; accepted: everything")
        return self.encoder

    @property
    def hidden(self) -> int:
        """Return the hidden size of a transformer."""
        return self.transformer.shape.hidden


@runtime_checkable
class TrainableSet(Protocol):
    """What is trained of a model: a frozen value whose constructor takes the axes of its configuration by keyword.

    A constructor raises ValueError for an axis value that cannot be.
    """

    @property
    def configuration(self) -> Configuration:
        """Return the set's name, as an experiment file has it, and its axes."""

    @property
    def spec(self) -> TrainedSpec:
        """Return what a backward pass leaves gradients for: by this a cost model prices the work, or refuses it."""

    def shapes(self, sizes: ModelSizes) -> dict[str, Shape]:
        """Return the name and shape of every trained array, in the order they travel."""

    def initial(self, sizes: ModelSizes, generator: np.random.Generator, weights: BackboneWeights) -> Arrays:
        """Return the arrays of a new model: pretrained `weights`, and what the generator draws."""

    def split_point(self, blocks: int) -> SplitPoint:
        """Return where the set splits a model, by its number of blocks; raises UserError where it has too few."""


@runtime_checkable
class GrowingSet(TrainableSet, Protocol):
    """A trainable set that can be enlarged while the model computes the same: a search over configurations needs one.

    It has an axis `depth`, the number of top blocks, and another one of size in each block, such as a width or a rank.
    """

    @property
    def depth(self) -> int:
        """Return the number of top blocks that it is in."""

    @property
    def size_axis(self) -> str:
        """Return the name of the axis of size."""

    def most_size(self, sizes: ModelSizes) -> int:
        """Return the largest value that the axis of size can have in a model."""

    def grow(
        self, arrays: Mapping[str, np.ndarray], to: Any, *, sizes: ModelSizes, generator: np.random.Generator
    ) -> Arrays:
        """Return the arrays of a larger set of this kind, with which the model computes the same as with its own."""

    def merge(
        self,
        arrays: Mapping[str, np.ndarray],
        weight: float,
        others: Sequence[tuple[TrainableSet, Mapping[str, np.ndarray], float]],
    ) -> Arrays:
        """Average its arrays with those of sets that have grown from the same one; each has a weight."""


def with_axes(trained: TrainableSet, **axes: int | str) -> Any:
    """Return a set of the same kind with other values of some axes."""
    own = {axis: value for axis, value in trained.configuration.items() if axis != SET}
    return type(trained)(**(own | axes))


def size_of(configuration: Configuration) -> int:
    """Return the width or rank that a configuration of a built-in set has; 1 where it has none."""
    return int(configuration.get("width", configuration.get("rank", 1)))


def from_configuration(
    configuration: Configuration, *, base: Path = Path(), trusted: Collection[str] = ()
) -> TrainableSet:
    """Make the set that a configuration names: a built-in name, `module:Name` or `path/to/file.py:Name`.

    Axes that it leaves out have the set's own defaults. Files are found from `base`. Sets that are not built in are
    code, so an order may name only `trusted` ones.

    Raises:
        UserError: there is no such set, or it does not take the axes or their values.
    """
    if not configuration.get(SET):
        raise UserError("the order names no trainable set: pass `configuration` to order_content")
    name = str(configuration[SET])
    if ":" in name and name not in trusted:
        raise UserError(f"the set '{name}' is not built in, and the experiment does not name it as client.trains")
    axes = {axis: value for axis, value in configuration.items() if axis != SET}
    found = _made(name, resolve(name, TRAINABLE_SETS, base), axes)
    told = guarded(f"the set '{name}'", "configuration", lambda: dict(found.configuration))
    if not isinstance(told, dict) or any(told.get(axis) != value for axis, value in configuration.items()):
        raise UserError(f"the set '{name}': its `configuration` is {short(told, 120)}, not what made it")
    return found


def depth_and_width(trained: TrainableSet, blocks: int) -> tuple[int, int]:
    """Return how many top blocks of a model have trained parameters, and the width or rank there; 1 without any."""
    depth = blocks - trained.split_point(blocks).block
    return depth, size_of(trained.configuration) if depth else 1


def check_depth(name: str, depth: int, blocks: int) -> None:
    """Raise a UserError if a model has fewer blocks than a set trains."""
    if depth > blocks:
        raise UserError(
            f"the set '{name}': depth {depth}, but the encoder has {blocks} blocks; accepted: 0 to {blocks}"
        )


def check_axis(axis: str, value: object, *, least: int) -> None:
    """Raise a ValueError if the value of an axis is not a whole number from `least` up."""
    if type(value) is not int or value < least:
        raise ValueError(f"{axis} {value!r}, expected a whole number from {least} up")


def _made(name: str, found: Callable[..., Any], axes: Configuration) -> TrainableSet:
    parameters = _parameters(name, found)
    accepted = list(parameters)
    for axis in axes:
        if axis not in accepted:
            raise UserError(f"the set '{name}' has no axis '{axis}': {nearest(axis, accepted)}")
    for axis, parameter in parameters.items():
        if parameter.default is parameter.empty and axis not in axes:
            raise UserError(f"the set '{name}' lacks the axis '{axis}': accepted: {', '.join(accepted)}")
    place = f"the set '{name}'"
    try:
        made = guarded(place, "its constructor", lambda: found(**axes), passes=(TypeError, ValueError))
    except (TypeError, ValueError) as error:
        raise UserError(f"{place}: {error}") from error
    if not guarded(place, "a property", lambda: isinstance(made, TrainableSet)):
        raise UserError(f"{place} lacks configuration, spec, shapes, initial or split_point")
    return cast("TrainableSet", made)


def _parameters(name: str, found: object) -> Mapping[str, inspect.Parameter]:
    if not callable(found):
        raise UserError(f"the set '{name}' is {short(found)}, expected a class or a function that makes a set")
    try:
        return inspect.signature(found).parameters
    except ValueError as error:
        raise UserError(f"the set '{name}': {error}") from error
