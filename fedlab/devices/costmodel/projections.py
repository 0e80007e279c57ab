"""What a trainable set adds to a block, or trains of it: which projections LoRA's names mean, and how many weights."""

from collections.abc import Mapping

from fedlab.errors import UserError
from fedlab.workload.passes import TrainedSpec
from fedlab.workload.shape import ModelShape
from fedlab.workload.weights import (
    Matrix,
    block_matrices,
    block_vectors,
    block_weights,
    embedding_weights,
    head_weights,
    stored_blocks,
)

# What families call the projections of a block.
_NAMES: Mapping[str, tuple[str, ...]] = {
    "q": ("q_proj", "query", "q_lin", "wq"),
    "k": ("k_proj", "key", "k_lin", "wk"),
    "v": ("v_proj", "value", "v_lin", "wv"),
    "o": ("o_proj", "attention.output.dense", "out_lin", "wo"),
    "gate": ("gate_proj",),
    "up": ("up_proj", "intermediate.dense", "lin1", "ffn"),
    "down": ("down_proj", "output.dense", "lin2", "ffn_output"),
}
_BY_NAME = {name: part for part, names in _NAMES.items() for name in (part, *names)}


def targets_of(trained: TrainedSpec, shape: ModelShape) -> dict[str, Matrix]:
    """Return the projections of a block that LoRA trains pairs beside; none for other sets.

    Raises UserError if a name is no projection of such a model, or the rank is above the smaller size of one.
    """
    matrices = block_matrices(shape)
    found: dict[str, Matrix] = {}
    for name in trained.targets:
        part = _BY_NAME.get(name)
        if part not in matrices:
            accepted = ", ".join(matrices)
            raise UserError(f"trained.targets: a {shape.family} has no projection {name!r}, accepted: {accepted}")
        if trained.rank > min(matrices[part]):
            raise UserError(
                f"trained.rank is {trained.rank}, expected at most {min(matrices[part])}: "
                f"the projection {name!r} is {matrices[part].size_in} x {matrices[part].size_out}"
            )
        found[part] = matrices[part]
    return found


def added_matrices(trained: TrainedSpec, shape: ModelShape) -> list[Matrix]:
    """Return the small matrices that a set adds to a block: an adapter's two, or two for each pair of LoRA."""
    if trained.kind == "bottleneck":
        return [Matrix(shape.hidden, trained.width), Matrix(trained.width, shape.hidden)]
    pairs = targets_of(trained, shape).values()
    return [
        each for pair in pairs for each in (Matrix(pair.size_in, trained.rank), Matrix(trained.rank, pair.size_out))
    ]


def trained_weights(trained: TrainedSpec, shape: ModelShape, blocks: int) -> int:
    """Return how many values are trained where `blocks` top blocks are; those of an encoder's head are not counted."""
    stored = stored_blocks(shape, blocks)
    if trained.kind == "whole":
        whole = embedding_weights(shape) + head_weights(shape) if blocks == shape.blocks else 0
        return stored * (block_weights(shape) + block_vectors(shape)) + whole
    if trained.kind == "bias":
        return stored * _biases(shape)
    biases = trained.width + shape.hidden if trained.kind == "bottleneck" else 0
    own = stored if trained.kind == "lora" else blocks  # a pair of ALBERT's is in all runs of its one block
    return own * (sum(each.weights for each in added_matrices(trained, shape)) + biases)


def _biases(shape: ModelShape) -> int:
    """Return how many biases a block has; where it has none, as LLaMA's, its norms are trained in their place."""
    norms = 2 * shape.hidden
    return block_vectors(shape) - norms if block_vectors(shape) > norms else norms
