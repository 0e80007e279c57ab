"""The trained arrays of a model, as they travel: plain named arrays.

The protocol. Blocks are counted from 0 at the input; H is the hidden size, W the adapter's width, C the number of
labels, F the size inside the feed-forward part, V the vocabulary, P the positions. All arrays are float32, in this
order. What is trained is read off them: adapters in the top `depth` blocks, or the top `depth` blocks whole.

| name                          | shape   | present                                                      |
|-------------------------------|---------|--------------------------------------------------------------|
| `block.I.down.weight`         | [W, H]  | adapters: for each of the top `depth` blocks                 |
| `block.I.down.bias`           | [W]     | "                                                            |
| `block.I.up.weight`           | [H, W]  | "                                                            |
| `block.I.up.bias`             | [H]     | "                                                            |
| `embedding.words`             | [V, H]  | whole blocks: where all blocks are trained                   |
| `embedding.positions`         | [P, H]  | "                                                            |
| `embedding.token_type`        | [H]     | ", of BERT (that of type 0, the only one in use)             |
| `embedding.norm.weight`       | [H]     | "                                                            |
| `embedding.norm.bias`         | [H]     | "                                                            |
| `embedding.projection.weight` | [H, E]  | ", of ALBERT, whose embedding is of size E and not H         |
| `embedding.projection.bias`   | [H]     | "                                                            |
| `block.I.attention.in.weight` | [3H, H] | whole blocks: for each of the top `depth`; query, key, value |
| `block.I.attention.in.bias`   | [3H]    | "                                                            |
| `block.I.attention.out.*`     |         | ", weight [H, H] and bias [H]                                |
| `block.I.attention.norm.*`    |         | ", weight [H] and bias [H]                                   |
| `block.I.feed_forward.in.*`   |         | ", weight [F, H] and bias [F]                                |
| `block.I.feed_forward.out.*`  |         | ", weight [H, F] and bias [H]                                |
| `block.I.norm.*`              |         | ", weight [H] and bias [H]                                   |
| `pooler.weight`               | [H, H]  | whole blocks: where the head reads BERT's pooler             |
| `pooler.bias`                 | [H]     | "                                                            |
| `head.weight`                 | [C, H]  | always                                                       |
| `head.bias`                   | [C]     | always                                                       |

An adapter adds `up(relu(down(x)))` to the output of its block's feed-forward part. Whole blocks begin with the
pretrained weights. Where all blocks share their weights, these travel once, under the first and the last of them:
`block.0-11.norm.bias`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from fedlab.common.arrays import Arrays
from fedlab.errors import UserError
from fedlab.models.peft.config import AdapterConfig
from fedlab.workload.shape import ModelShape


@dataclass(frozen=True, order=True)
class Whole:
    """A model whose top `depth` blocks are trained whole, and the embeddings as well if these are all its blocks."""

    depth: int

    def __str__(self) -> str:
        """Return a name for files."""
        return f"whole-{self.depth}"


# Where a model is cut into a frozen and a trained part: at the adapters of the top so many blocks, or below whole ones.
Cut = int | Whole

# What the weights of an encoder are called as arrays, by their names in `fedlab.models.transformer.encoder`.
EMBEDDING_NAMES: Mapping[str, str] = {
    "words": "embedding.words",
    "positions": "embedding.positions",
    "token_type": "embedding.token_type",
    "norm_weight": "embedding.norm.weight",
    "norm_bias": "embedding.norm.bias",
    "projection_weight": "embedding.projection.weight",
    "projection_bias": "embedding.projection.bias",
}
POOLER_NAMES: Mapping[str, str] = {"pooler_weight": "pooler.weight", "pooler_bias": "pooler.bias"}
_BLOCK_PARTS: Mapping[str, str] = {
    "attention_in": "attention.in",
    "attention_out": "attention.out",
    "attention_norm": "attention.norm",
    "up": "feed_forward.in",
    "down": "feed_forward.out",
    "norm": "norm",
}

_INITIAL_STD = 0.02  # as BERT's own weights (Devlin et al. 2019, and the adapters library's default)


def adapter_names(block: int) -> tuple[str, str, str, str]:
    """Return the names of one block's adapter: down weight and bias, up weight and bias."""
    stem = f"block.{block}"
    return f"{stem}.down.weight", f"{stem}.down.bias", f"{stem}.up.weight", f"{stem}.up.bias"


def shared_blocks(blocks: int) -> str:
    """Return how array names call all blocks of an encoder whose blocks share their weights."""
    return f"0-{blocks - 1}" if blocks > 1 else "0"


def refuse_part_of_shared_blocks(shape: ModelShape, depth: int) -> None:
    """Raise a UserError if some but not all of the blocks of an encoder are to be trained whole, and all are one."""
    if 0 < depth < shape.blocks:
        raise UserError(
            f"client.depth = {depth}: the {shape.family} shares one block among all {shape.blocks}, so its top blocks "
            "cannot be trained whole without the others; accepted: train everything, adapters or the head"
        )


def block_names(block: int | str) -> dict[str, str]:
    """Return the array names of one whole block, by field of `fedlab.models.transformer.encoder.Block`."""
    return {
        f"{field}_{which}": f"block.{block}.{part}.{which}"
        for field, part in _BLOCK_PARTS.items()
        for which in ("weight", "bias")
    }


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


def cut_of(names: Iterable[str]) -> Cut:
    """Read off the names of the arrays where the model is cut.

    Raises:
        UserError: there are adapters and whole blocks.
    """
    found = list(names)
    adapters = sum(name.endswith(".down.weight") for name in found)
    blocks = sum(_blocks_of(name) for name in found if name.endswith(".attention.in.weight"))
    if adapters and blocks:
        raise UserError(f"the arrays hold {adapters} adapters and {blocks} whole blocks; accepted: one or the other")
    return Whole(blocks) if blocks or POOLER_NAMES["pooler_weight"] in found else adapters


def method_of(names: Iterable[str]) -> Literal["adapter", "freeze", "full"]:
    """Read off the names of the arrays how a model is trained; the head alone passes for adapters of depth 0."""
    found = list(names)
    if EMBEDDING_NAMES["words"] in found:
        return "full"
    return "freeze" if isinstance(cut_of(found), Whole) else "adapter"


def configuration_of(arrays: Mapping[str, np.ndarray], *, default_width: int = 1) -> AdapterConfig:
    """Read the configuration off the arrays: of whole blocks the width is 1.

    `default_width` stands in where there are neither adapters nor whole blocks.
    """
    cut = cut_of(arrays)
    if isinstance(cut, Whole):
        return AdapterConfig(depth=cut.depth, width=1)
    widths = [array.shape[0] for name, array in arrays.items() if name.endswith(".down.weight")]
    return AdapterConfig(depth=cut, width=widths[0] if widths else default_width)


def initial_arrays(
    config: AdapterConfig, *, blocks: int, hidden: int, labels: int, generator: np.random.Generator
) -> Arrays:
    """Draw the arrays of a new model. Up-projections and biases are zero: the adapters change nothing yet."""
    shapes = array_shapes(config, blocks=blocks, hidden=hidden, labels=labels)
    return {name: _initial(name, shape, generator) for name, shape in shapes.items()}


def grow(arrays: Mapping[str, np.ndarray], to: AdapterConfig, *, blocks: int, generator: np.random.Generator) -> Arrays:
    """Return the arrays of a model with deeper or wider adapters that computes the same function.

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


def merge(
    arrays: Mapping[str, np.ndarray], weight: float, others: Sequence[tuple[Mapping[str, np.ndarray], float]]
) -> Arrays:
    """Average a model with others of the same descent, each of its weights over those that have it too.

    All have grown from one model (`grow`), so the blocks and bottleneck units they share began as the same: an adapter
    that is deeper down, or a unit further out, than another model has is averaged over the rest alone. `weight` is the
    model's own, beside those of the others. The sub-networks that meet in a larger one are averaged likewise in
    HeteroFL (Diao et al. 2021).
    """
    merged: Arrays = {}
    for name, array in arrays.items():
        total, weights = array * np.float32(weight), np.full(array.shape, weight, np.float32)
        for other, others_weight in others:
            if name in other:
                shared = tuple(slice(0, min(sizes)) for sizes in zip(array.shape, other[name].shape, strict=True))
                total[shared] += other[name][shared] * np.float32(others_weight)
                weights[shared] += np.float32(others_weight)
        merged[name] = total / weights
    return merged


def count_parameters(config: AdapterConfig, *, blocks: int, hidden: int, labels: int) -> int:
    """Return the number of trained parameters, adapters and head."""
    shapes = array_shapes(config, blocks=blocks, hidden=hidden, labels=labels)
    return sum(int(np.prod(shape)) for shape in shapes.values())


def _initial(name: str, shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
    if name.endswith((".down.weight", "head.weight")):
        return generator.normal(0.0, _INITIAL_STD, shape).astype(np.float32)
    return np.zeros(shape, np.float32)


def _blocks_of(name: str) -> int:
    """Return how many blocks an array is a weight of: `block.7.*` of one, `block.0-11.*` of twelve."""
    first, _, last = name.split(".")[1].partition("-")
    return int(last or first) - int(first) + 1
