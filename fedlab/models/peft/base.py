"""What is trained of a model: the protocol of trainable sets, and the point where a set splits a model.

A set is named by its configuration, a flat mapping of the set's name and its axes, which every order carries:
`{"set": "bottleneck", "depth": 2, "width": 8}`. What the arrays are called says nothing about the set.
"""

import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, cast, runtime_checkable

import numpy as np

from fedlab.common.arrays import Arrays, Shape
from fedlab.common.short_text import short
from fedlab.config.builtins import TRAINABLE_SETS
from fedlab.config.guard import guarded
from fedlab.config.plugins import nearest, resolve
from fedlab.errors import UserError
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
    * `block_input`: it starts from the state that enters the block; with block L, from the last block's output;
    * `inputs`: all is trained; it starts from the inputs themselves, which are token ids (block 0).
    """

    kind: Literal["features", "adapter", "block_input", "inputs"]
    block: int

    def __str__(self) -> str:
        """Return a name for files, which is the same in every version."""
        return self.kind if self.kind in ("features", "inputs") else f"{self.kind}-{self.block}"

    def passed(self) -> list["SplitPoint"]:
        """Return the points of deeper adapters, the nearest first: a pass up to this point computes their states too.

        A search that deepens adapters asks for them later. No search deepens whole blocks.
        """
        if self.kind not in ("features", "adapter"):
            return []
        return [SplitPoint(kind="adapter", block=block) for block in reversed(range(self.block))]


@dataclass(frozen=True, kw_only=True)
class ModelSizes:
    """What the shapes of trained arrays depend on; `pooler` says whether the head reads BERT's pooler."""

    encoder: EncoderSizes
    labels: int
    pooler: bool = False

    @property
    def blocks(self) -> int:
        """Return the number of blocks."""
        return self.encoder.shape.blocks

    @property
    def hidden(self) -> int:
        """Return the hidden size."""
        return self.encoder.shape.hidden


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


def from_configuration(
    configuration: Configuration, *, base: Path = Path(), trusted: Collection[str] = ()
) -> TrainableSet:
    """Make the set that a configuration names: a built-in name, `module:Name` or `path/to/file.py:Name`.

    Files are found from `base`. Sets that are not built in are code, so an order may name only `trusted` ones.

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
    if told != dict(configuration):
        raise UserError(f"the set '{name}': its `configuration` is {short(told, 120)}, not what made it")
    return found


def depth_and_width(trained: TrainableSet, blocks: int) -> tuple[int, int]:
    """Return how many top blocks of a model have trained parameters, and how wide their adapters are; 1 without any."""
    depth = blocks - trained.split_point(blocks).block
    return depth, int(trained.configuration.get("width", 1)) if depth else 1


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
