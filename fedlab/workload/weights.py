"""How many weights a model of a shape has, and which matrices a block is made of."""

from collections.abc import Mapping
from typing import NamedTuple

from fedlab.workload.shape import Family, ModelShape

# Tokens, positions and token types of the encoders' embeddings, whose shapes do not say. Devlin et al. 2019, Sanh et
# al. 2019, Liu et al. 2019 and Lan et al. 2020; ALBERT's have 128 columns, which a matrix makes as wide as the states.
_EMBEDDED_ROWS: Mapping[Family, int] = {
    "bert": 30_522 + 512 + 2, "distilbert": 30_522 + 512, "roberta": 50_265 + 514 + 1, "albert": 30_000 + 512 + 2,
}  # fmt: skip
_EMBEDDED_COLUMNS: Mapping[Family, int] = {"albert": 128}
_SHARES_BLOCKS: tuple[Family, ...] = ("albert",)


class Matrix(NamedTuple):
    """A projection: the sizes of what goes in and of what comes out."""

    size_in: int
    size_out: int

    @property
    def weights(self) -> int:
        """How many weights it has, its bias apart."""
        return self.size_in * self.size_out


def block_matrices(shape: ModelShape) -> dict[str, Matrix]:
    """Return the projections of a block: queries, keys, values and output of attention, and the feed-forward part."""
    hidden, inside = shape.hidden, shape.intermediate
    matrices = {
        "q": Matrix(hidden, shape.query_size),
        "k": Matrix(hidden, shape.kv_size),
        "v": Matrix(hidden, shape.kv_size),
        "o": Matrix(shape.query_size, hidden),
        "up": Matrix(hidden, inside),
        "down": Matrix(inside, hidden),
    }
    return matrices | ({"gate": Matrix(hidden, inside)} if shape.gated else {})


def block_vectors(shape: ModelShape) -> int:
    """Return how many weights of a block are in biases and norms, which no format makes smaller."""
    if not shape.is_decoder:  # a bias of each projection, and two layer norms of weight and bias
        return sum(matrix.size_out for matrix in block_matrices(shape).values()) + 4 * shape.hidden
    biases = shape.query_size + 2 * shape.kv_size if shape.attention_biases else 0
    return biases + 2 * shape.hidden


def block_weights(shape: ModelShape) -> int:
    """Return how many weights the matrices of a block have."""
    return sum(matrix.weights for matrix in block_matrices(shape).values())


def stored_blocks(shape: ModelShape, run: int) -> int:
    """Return how many blocks' weights are in memory where `run` blocks are run: those of ALBERT are one."""
    return min(run, 1) if shape.family in _SHARES_BLOCKS else run


def embedding_weights(shape: ModelShape) -> int:
    """Return how many weights the embeddings have, with what makes them as wide as the states."""
    if shape.is_decoder:
        return shape.vocabulary * shape.hidden
    rows, columns = _EMBEDDED_ROWS[shape.family], _EMBEDDED_COLUMNS.get(shape.family, shape.hidden)
    projection = columns * shape.hidden + shape.hidden if columns != shape.hidden else 0
    return rows * columns + 2 * columns + projection


def head_weights(shape: ModelShape) -> int:
    """Return how many weights turn the last states into logits of tokens, if they are not those of the embedding."""
    return shape.vocabulary * shape.hidden if shape.is_decoder and not shape.tied else 0


def num_weights(shape: ModelShape) -> int:
    """Return how many weights a model has: embeddings, blocks, and of a decoder the last norm and the head.

    Of an encoder, neither pooler nor classifier are counted.
    """
    blocks = stored_blocks(shape, shape.blocks) * (block_weights(shape) + block_vectors(shape))
    return embedding_weights(shape) + blocks + (shape.hidden if shape.is_decoder else 0) + head_weights(shape)
