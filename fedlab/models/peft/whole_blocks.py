"""Whole blocks, and the head: the top blocks of an encoder (layer freezing), or all of it (full fine-tuning).

The protocol. Blocks are counted from 0 at the input; H is the hidden size, F the size inside the feed-forward part,
V the vocabulary, P the positions. All arrays are float32, in this order, and the head (`fedlab.models.peft.head`)
follows. They begin with the pretrained weights.

| name                          | shape   | present                                          |
|-------------------------------|---------|--------------------------------------------------|
| `embedding.words`             | [V, H]  | where all blocks are trained                     |
| `embedding.positions`         | [P, H]  | "                                                |
| `embedding.token_type`        | [H]     | ", of BERT (that of type 0, the only one in use) |
| `embedding.norm.weight`       | [H]     | "                                                |
| `embedding.norm.bias`         | [H]     | "                                                |
| `embedding.projection.weight` | [H, E]  | ", of ALBERT, whose embedding is of size E       |
| `embedding.projection.bias`   | [H]     | "                                                |
| `block.I.attention.in.weight` | [3H, H] | for each trained block; query, key, value        |
| `block.I.attention.in.bias`   | [3H]    | "                                                |
| `block.I.attention.out.*`     |         | ", weight [H, H] and bias [H]                    |
| `block.I.attention.norm.*`    |         | ", weight [H] and bias [H]                       |
| `block.I.feed_forward.in.*`   |         | ", weight [F, H] and bias [F]                    |
| `block.I.feed_forward.out.*`  |         | ", weight [H, F] and bias [H]                    |
| `block.I.norm.*`              |         | ", weight [H] and bias [H]                       |
| `pooler.weight`               | [H, H]  | where the head reads BERT's pooler               |
| `pooler.bias`                 | [H]     | "                                                |

Where all blocks share their weights, these travel once, under the first and the last of them: `block.0-11.norm.bias`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fedlab.common.arrays import Arrays, Shape
from fedlab.errors import UserError
from fedlab.models.cnn.sizes import ConvSizes
from fedlab.models.families import EncoderSizes
from fedlab.models.peft.base import SET, BackboneWeights, ModelSizes, SplitPoint, check_axis, check_depth
from fedlab.models.peft.head import draw_head, shapes_of_head
from fedlab.workload.passes import WHOLE, TrainedSpec
from fedlab.workload.workload import Configuration

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


@dataclass(frozen=True, kw_only=True)
class TopBlocks:
    """Train the top `depth` blocks whole, the pooler if the head reads it, and the head.

    If these are all blocks, the embeddings are trained too.
    """

    depth: int

    def __post_init__(self) -> None:
        check_axis("depth", self.depth, least=0)

    @property
    def configuration(self) -> Configuration:
        """Return the set's name and its axis."""
        return {SET: "blocks", "depth": self.depth}

    @property
    def spec(self) -> TrainedSpec:
        """Return whole blocks."""
        return WHOLE

    def shapes(self, sizes: ModelSizes) -> dict[str, Shape]:
        """Return the shapes of blocks, pooler and head."""
        check_depth("blocks", self.depth, sizes.blocks)
        return _weight_shapes(sizes, self.depth) | shapes_of_head(sizes)

    def initial(self, sizes: ModelSizes, generator: np.random.Generator, weights: BackboneWeights) -> Arrays:
        """Return the pretrained weights and a new head."""
        check_depth("blocks", self.depth, sizes.blocks)
        return _pretrained(sizes, self.depth, weights) | draw_head(sizes, generator)

    def split_point(self, blocks: int) -> SplitPoint:
        """Return the split at the input of the lowest trained block; where all are trained, at the token ids."""
        check_depth("blocks", self.depth, blocks)
        return SplitPoint(kind="inputs" if self.depth == blocks else "block_input", block=blocks - self.depth)


@dataclass(frozen=True, kw_only=True)
class Everything:
    """Train all blocks, the embeddings, the pooler if the head reads it, and the head; or a network for images."""

    @property
    def configuration(self) -> Configuration:
        """Return the set's name; it has no axes."""
        return {SET: "everything"}

    @property
    def spec(self) -> TrainedSpec:
        """Return whole blocks."""
        return WHOLE

    def shapes(self, sizes: ModelSizes) -> dict[str, Shape]:
        """Return the shapes of the whole model."""
        if isinstance(sizes.encoder, ConvSizes):
            return sizes.encoder.shapes()
        return TopBlocks(depth=sizes.blocks).shapes(sizes)

    def initial(self, sizes: ModelSizes, generator: np.random.Generator, weights: BackboneWeights) -> Arrays:
        """Return the pretrained weights and a new head; a convolutional network is drawn."""
        if isinstance(sizes.encoder, ConvSizes):
            return sizes.encoder.initial(generator)
        return TopBlocks(depth=sizes.blocks).initial(sizes, generator, weights)

    def split_point(self, blocks: int) -> SplitPoint:
        """Return the split at the inputs."""
        return SplitPoint(kind="inputs", block=0)


def shared_blocks(blocks: int) -> str:
    """Return what array names call all blocks of an encoder whose blocks share their weights."""
    return f"0-{blocks - 1}" if blocks > 1 else "0"


def own_blocks(sizes: ModelSizes, depth: int, *, place: str, accepted: str) -> Sequence[int | str]:
    """Return what array names call the top `depth` blocks; blocks that share their weights have one name.

    Raises:
        UserError: all blocks share their weights, and only some of them are to be trained; `place` begins the message,
            and `accepted` ends it.
    """
    blocks = sizes.blocks
    if not sizes.transformer.shares_blocks:
        return range(blocks - depth, blocks)
    if 0 < depth < blocks:
        family = sizes.transformer.shape.family
        raise UserError(
            f"{place}: the {family} shares one block among all {blocks}, so its top blocks cannot be trained without "
            f"the others; accepted: {accepted}"
        )
    return [shared_blocks(blocks)] if depth else []


def block_names(block: int | str) -> dict[str, str]:
    """Return the array names of one whole block, by field of `fedlab.models.transformer.encoder.Block`."""
    return {
        f"{field}_{which}": f"block.{block}.{part}.{which}"
        for field, part in _BLOCK_PARTS.items()
        for which in ("weight", "bias")
    }


def _pretrained(sizes: ModelSizes, depth: int, weights: BackboneWeights) -> Arrays:
    names = list(_weight_shapes(sizes, depth))
    found = weights(names) if names else {}
    return {name: found[name] for name in names}


def _weight_shapes(sizes: ModelSizes, depth: int) -> dict[str, Shape]:
    """Return the shapes of the backbone's weights that are trained, in the order they travel.

    Raises:
        UserError: the backbone's weights cannot be trained, as a decoder's.
    """
    if depth and sizes.transformer.is_decoder:
        family = sizes.transformer.shape.family
        raise UserError(f"client.trains: a {family} is not trained whole; accepted: lora, bottleneck, bias or head")
    named: dict[str, Shape] = {}
    if depth == sizes.blocks:
        named |= _named(EMBEDDING_NAMES, sizes.transformer.embedding)
    accepted = "train everything, adapters or the head"
    for index in own_blocks(sizes, depth, place=f"client.depth = {depth}", accepted=accepted):
        named |= _named(block_names(index), _block(sizes.transformer))
    if sizes.pooler:
        named |= _named(POOLER_NAMES, _linear("pooler", sizes.hidden, sizes.hidden))
    return named


def _named(names: Mapping[str, str], fields: Mapping[str, Shape]) -> dict[str, Shape]:
    return {name: fields[field] for field, name in names.items() if field in fields}


def _block(sizes: EncoderSizes) -> dict[str, Shape]:
    hidden, inside = sizes.shape.hidden, sizes.shape.intermediate
    norms = {f"{norm}_{which}": (hidden,) for norm in ("attention_norm", "norm") for which in ("weight", "bias")}
    return {
        **_linear("attention_in", 3 * hidden, hidden),
        **_linear("attention_out", hidden, hidden),
        **_linear("up", inside, hidden),
        **_linear("down", hidden, inside),
        **norms,
    }


def _linear(part: str, rows: int, columns: int) -> dict[str, Shape]:
    return {f"{part}_weight": (rows, columns), f"{part}_bias": (rows,)}
