"""The trained arrays of a model, as they travel: plain named arrays.

The protocol. Blocks are counted from 0 at the input; H is the hidden size, W the adapter's width, C the number of
labels. All arrays are float32.

| name                  | shape  | present                            |
|-----------------------|--------|------------------------------------|
| `block.I.down.weight` | [W, H] | for each of the top `depth` blocks |
| `block.I.down.bias`   | [W]    | "                                  |
| `block.I.up.weight`   | [H, W] | "                                  |
| `block.I.up.bias`     | [H]    | "                                  |
| `head.weight`         | [C, H] | always                             |
| `head.bias`           | [C]    | always                             |

An adapter adds `up(relu(down(x)))` to the output of its block's feed-forward part.
"""

from collections.abc import Mapping

import numpy as np

from fedlab.adapterconfig import AdapterConfig

Arrays = dict[str, np.ndarray]

_INITIAL_STD = 0.02  # as BERT's own weights (Devlin et al. 2019, and the adapters library's default)


def adapter_names(block: int) -> tuple[str, str, str, str]:
    """Return the names of one block's adapter: down weight and bias, up weight and bias."""
    stem = f"block.{block}"
    return f"{stem}.down.weight", f"{stem}.down.bias", f"{stem}.up.weight", f"{stem}.up.bias"


def adapted_blocks(config: AdapterConfig, blocks: int) -> range:
    """Return the indices of the blocks that carry an adapter, the lowest first."""
    assert config.depth <= blocks, f"depth {config.depth} in an encoder of {blocks} blocks"
    return range(blocks - config.depth, blocks)


def array_shapes(config: AdapterConfig, *, blocks: int, hidden: int, labels: int) -> dict[str, tuple[int, ...]]:
    """Return the name and shape of every trained array, in the order they travel."""
    shapes: dict[str, tuple[int, ...]] = {}
    for block in adapted_blocks(config, blocks):
        adapter = ((config.width, hidden), (config.width,), (hidden, config.width), (hidden,))
        shapes |= dict(zip(adapter_names(block), adapter, strict=True))
    return shapes | {"head.weight": (labels, hidden), "head.bias": (labels,)}


def configuration_of(arrays: Mapping[str, np.ndarray], *, default_width: int = 1) -> AdapterConfig:
    """Read the configuration off the arrays; `default_width` stands in where there are no adapters."""
    downs = [array for name, array in arrays.items() if name.endswith(".down.weight")]
    return AdapterConfig(depth=len(downs), width=downs[0].shape[0] if downs else default_width)


def initial_arrays(
    config: AdapterConfig, *, blocks: int, hidden: int, labels: int, generator: np.random.Generator
) -> Arrays:
    """Draw the arrays of a new model. Up-projections and biases are zero: the adapters change nothing yet."""
    shapes = array_shapes(config, blocks=blocks, hidden=hidden, labels=labels)
    return {name: _initial(name, shape, generator) for name, shape in shapes.items()}


def grow(arrays: Mapping[str, np.ndarray], to: AdapterConfig, *, blocks: int, generator: np.random.Generator) -> Arrays:
    """Return the arrays of a deeper or wider model that computes the same function.

    Old weights are carried over. New bottleneck units and new adapters have a random down-projection and a zero
    up-projection, so they add nothing until they are trained (the idea of Net2Net, Chen et al. 2016).
    """
    old = configuration_of(arrays, default_width=to.width)
    assert to.depth >= old.depth, f"cannot shrink depth {old.depth} to {to.depth}"
    assert to.width >= old.width, f"cannot shrink width {old.width} to {to.width}"
    labels, hidden = arrays["head.weight"].shape
    grown = initial_arrays(to, blocks=blocks, hidden=hidden, labels=labels, generator=generator)
    for name, array in arrays.items():
        grown[name][tuple(slice(0, size) for size in array.shape)] = array
    return grown


def count_parameters(config: AdapterConfig, *, blocks: int, hidden: int, labels: int) -> int:
    """Return the number of trained parameters, adapters and head."""
    shapes = array_shapes(config, blocks=blocks, hidden=hidden, labels=labels)
    return sum(int(np.prod(shape)) for shape in shapes.values())


def _initial(name: str, shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
    if name.endswith((".down.weight", "head.weight")):
        return generator.normal(0.0, _INITIAL_STD, shape).astype(np.float32)
    return np.zeros(shape, np.float32)
