"""The shapes of a model's trained arrays, from the sizes of its encoder alone."""

from collections.abc import Mapping, Sequence

from fedlab.common.arrays import Shape
from fedlab.models.peft.bottleneck import (
    EMBEDDING_NAMES,
    POOLER_NAMES,
    array_shapes,
    block_names,
    refuse_part_of_shared_blocks,
    shared_blocks,
)
from fedlab.models.peft.config import AdapterConfig
from fedlab.models.sizes import EncoderSizes


def adapter_shapes(sizes: EncoderSizes, config: AdapterConfig, *, labels: int) -> dict[str, Shape]:
    """Return the shapes of adapters and head, in the order they travel."""
    return array_shapes(config, blocks=sizes.shape.blocks, hidden=sizes.shape.hidden, labels=labels)


def whole_shapes(sizes: EncoderSizes, depth: int, *, labels: int, pooler: bool = False) -> dict[str, Shape]:
    """Return the shapes where the top `depth` blocks are trained whole, in the order they travel.

    All blocks bring the embeddings with them; `pooler` says whether the head reads the pretrained pooler.

    Raises:
        UserError: the blocks are one, and only some of them are to be trained.
    """
    shape = sizes.shape
    named: dict[str, Shape] = {}
    if depth == shape.blocks:
        named |= _named(EMBEDDING_NAMES, sizes.embedding)
    own: Sequence[int | str] = range(shape.blocks - depth, shape.blocks)
    if sizes.shares_blocks:
        refuse_part_of_shared_blocks(shape, depth)
        own = [shared_blocks(shape.blocks)] if depth else []
    for index in own:
        named |= _named(block_names(index), _block(sizes))
    if pooler:
        named |= _named(POOLER_NAMES, _both("pooler", shape.hidden, shape.hidden))
    return named | {"head.weight": (labels, shape.hidden), "head.bias": (labels,)}


def _named(names: Mapping[str, str], fields: Mapping[str, Shape]) -> dict[str, Shape]:
    return {name: fields[field] for field, name in names.items() if field in fields}


def _block(sizes: EncoderSizes) -> dict[str, Shape]:
    hidden, inside = sizes.shape.hidden, sizes.shape.intermediate
    norms = {f"{norm}_{which}": (hidden,) for norm in ("attention_norm", "norm") for which in ("weight", "bias")}
    return {
        **_both("attention_in", 3 * hidden, hidden),
        **_both("attention_out", hidden, hidden),
        **_both("up", inside, hidden),
        **_both("down", hidden, inside),
        **norms,
    }


def _both(part: str, rows: int, columns: int) -> dict[str, Shape]:
    return {f"{part}_weight": (rows, columns), f"{part}_bias": (rows,)}
