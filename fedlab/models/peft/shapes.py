"""The shapes of a model's trained arrays, from the sizes of its encoder alone."""

from collections.abc import Mapping

from fedlab.common.arrays import Shape
from fedlab.models.peft.bottleneck import EMBEDDING_NAMES, POOLER_NAMES, array_shapes, block_names
from fedlab.models.peft.config import AdapterConfig
from fedlab.models.sizes import EncoderSizes


def adapter_shapes(sizes: EncoderSizes, config: AdapterConfig, *, labels: int) -> dict[str, Shape]:
    """Return the shapes of adapters and head, in the order they travel."""
    return array_shapes(config, blocks=sizes.shape.blocks, hidden=sizes.shape.hidden, labels=labels)


def whole_shapes(sizes: EncoderSizes, depth: int, *, labels: int, pooler: bool = False) -> dict[str, Shape]:
    """Return the shapes where the top `depth` blocks are trained whole, in the order they travel.

    All blocks bring the embeddings with them; `pooler` says whether the head reads BERT's pooler.
    """
    shape = sizes.shape
    named: dict[str, Shape] = {}
    if depth == shape.blocks:
        named |= _named(EMBEDDING_NAMES, _embedding(sizes))
    for index in range(shape.blocks - depth, shape.blocks):
        named |= _named(block_names(index), _block(sizes))
    if pooler:
        named |= _named(POOLER_NAMES, _both("pooler", shape.hidden, shape.hidden))
    return named | {"head.weight": (labels, shape.hidden), "head.bias": (labels,)}


def _named(names: Mapping[str, str], fields: Mapping[str, Shape]) -> dict[str, Shape]:
    return {name: fields[field] for field, name in names.items() if field in fields}


def _embedding(sizes: EncoderSizes) -> dict[str, Shape]:
    hidden = sizes.shape.hidden
    token_type: dict[str, Shape] = {"token_type": (hidden,)} if sizes.shape.family == "bert" else {}
    rows: dict[str, Shape] = {"words": (sizes.vocabulary, hidden), "positions": (sizes.positions, hidden)}
    return rows | token_type | {"norm_weight": (hidden,), "norm_bias": (hidden,)}


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
