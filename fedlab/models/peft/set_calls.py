"""Calls of a trainable set of the user's own, whose mistakes are one line that names the set and the method."""

from collections.abc import Callable
from typing import TypeVar

import numpy as np

from fedlab.common.arrays import Arrays, Shape
from fedlab.config.builtins import TRAINABLE_SETS
from fedlab.config.guard import guarded, refuse_returned
from fedlab.models.peft.base import SET, BackboneWeights, ModelSizes, SplitPoint, TrainableSet

_Returned = TypeVar("_Returned")


def split_point_of(trained: TrainableSet, blocks: int) -> SplitPoint:
    """Return where a set splits a model; raises UserError unless that is a point of a model of so many blocks."""
    at = _asked(trained, "split_point", lambda: trained.split_point(blocks))
    if not isinstance(at, SplitPoint) or type(at.block) is not int or not 0 <= at.block <= blocks:
        refuse_returned(_place(trained), "split_point", at, f"a SplitPoint at a block from 0 to {blocks}")
    return at


def shapes_of(trained: TrainableSet, sizes: ModelSizes) -> dict[str, Shape]:
    """Return the shapes of a set's arrays; raises UserError unless they are tuples of whole numbers by name."""
    shapes = _asked(trained, "shapes", lambda: dict(trained.shapes(sizes)))
    for name, shape in shapes.items():
        sound = isinstance(shape, tuple) and all(type(each) is int and each >= 0 for each in shape)
        if not (isinstance(name, str) and sound):
            refuse_returned(_place(trained), "shapes", {name: shape}, "tuples of whole numbers by name")
    return shapes


def initial_of(
    trained: TrainableSet, sizes: ModelSizes, generator: np.random.Generator, weights: BackboneWeights
) -> Arrays:
    """Return a set's first arrays; raises UserError unless they are finite floats of the set's own shapes."""
    shapes = shapes_of(trained, sizes)
    arrays = _asked(trained, "initial", lambda: dict(trained.initial(sizes, generator, weights)))
    for name in {**shapes, **arrays}:
        array = arrays.get(name)
        if not isinstance(array, np.ndarray) or array.dtype.kind != "f" or array.shape != shapes.get(name):
            said = f"'{name}': {_described(array)}"
            refuse_returned(_place(trained), "initial", said, f"an array of floats of shape {shapes.get(name)}")
        if not np.isfinite(array).all():
            refuse_returned(_place(trained), "initial", f"'{name}' with values that are not finite", "finite values")
    return arrays


def _described(array: object) -> str:
    return f"{array.dtype}, {array.shape}" if isinstance(array, np.ndarray) else type(array).__name__


def _asked(trained: TrainableSet, method: str, call: Callable[[], _Returned]) -> _Returned:
    """Return what a method returns; a fault in a built-in set is an internal error, with its traceback."""
    built_in = trained.configuration.get(SET) in TRAINABLE_SETS
    return call() if built_in else guarded(_place(trained), method, call)


def _place(trained: TrainableSet) -> str:
    return f"the set '{trained.configuration.get(SET)}'"
