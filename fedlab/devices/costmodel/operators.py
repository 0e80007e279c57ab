"""The operators of a step, and what each needs of a processor: operations, bytes to move, and launches.

A backward pass runs each product of its blocks a second time for the gradient of what went in, and the products of
attention twice. Whole blocks need a third product, for the gradient of the weights; so do the small matrices that a set
adds. The gradient goes through the whole of the lowest trained block. With checkpointing, the blocks run forward once
more. Operators without products read and write their states, and are bound by memory.
"""

import functools
from collections.abc import Iterable
from dataclasses import dataclass, replace

from fedlab.devices.costmodel.projections import added_matrices, trained_weights
from fedlab.workload.passes import Format, Pass, TrainedSpec
from fedlab.workload.shape import ModelShape
from fedlab.workload.weights import Matrix, block_matrices
from fedlab.workload.workload import Step

# Bytes of a weight; int4 has a scale of 2 bytes for each group of 128.
WEIGHT_BYTES: dict[Format, float] = {"fp32": 4, "fp16": 2, "bf16": 2, "int8": 1, "int4": 0.5 + 2 / 128}
# Bytes of a value of a state; around integer products states are half precision.
STATE_BYTES: dict[Format, int] = {"fp32": 4, "fp16": 2, "bf16": 2, "int8": 2, "int4": 2}
TRAINED_BYTES = 4  # what is trained is float32, and so is its gradient

_SCORE_TOUCHES = 6  # each score is read and written by scaling, the mask and the softmax
_NORM_TOUCHES = 5  # a sum of two states and a norm: three states are read, two are written
_ROTARY_TOUCHES = 4
_STATES_KEPT = {"sgd": 0, "momentum": 1, "adam": 2}  # values that an optimiser keeps for each trained one


@dataclass(frozen=True, kw_only=True)
class Operator:
    """One of `count` equal operators: its floating-point (or integer) operations, bytes moved, and launches.

    `frozen`: it multiplies by a frozen matrix of a block, in the format of the pass; others are floating point.
    """

    operations: float
    num_bytes: float
    launches: int = 1
    count: int = 1
    frozen: bool = False


@functools.lru_cache(maxsize=1024)  # the clients of a round do mostly the same
def operators_of(step: Step, shape: ModelShape) -> tuple[Operator, ...]:
    """Return the operators of one batch of a step. Raises UserError for a set that the model cannot have."""
    run, backward = step.forward, step.backward
    trained = backward.trained if backward else TrainedSpec()
    added = added_matrices(trained, shape)
    found = [_times(each, len(run.blocks)) for each in _block_forward(run, shape)]
    if not run.cached:
        found.append(_touched(_tokens(run) * shape.hidden, 2, run))
    found += _head(run, shape, passes=1)
    if backward is None:
        return tuple(found)
    blocks = len(backward.blocks)
    found += [_times(each, blocks) for each in _added(run, added)]
    if backward.checkpointing:
        found += [_times(each, blocks) for each in [*_block_forward(run, shape), *_added(run, added)]]
    found += [_times(each, blocks) for each in _block_backward(run, shape, trained, added)]
    whole = trained.kind == "whole" and blocks == shape.blocks
    found += _head(run, shape, passes=2 if whole else 1)
    return (*found, _update(trained, shape, blocks))


# Products of a block with the same input, which are handed to another processor at once: queries, keys and values; the
# output of attention; the way into the feed-forward part; the way out of it.
_CALLS_OF_A_BLOCK = 4


def block_calls(step: Step) -> int:
    """Return how often a batch's products of frozen matrices are handed to another processor."""
    backward = step.backward
    back = 0 if backward is None else len(backward.blocks) * (2 if backward.checkpointing else 1)
    return _CALLS_OF_A_BLOCK * (len(step.forward.blocks) + back)


def kept_by_optimiser(trained: TrainedSpec) -> int:
    """Return how many values an optimiser keeps for each trained one."""
    return _STATES_KEPT[trained.optimiser]


def scored(run: Pass) -> int:
    """Return how many tokens of a batch a decoder's head has logits for."""
    return run.batch_size * (run.input_shape[0] if run.scored_tokens is None else run.scored_tokens)


def _tokens(run: Pass) -> int:
    return run.batch_size * run.input_shape[0]


def _times(operator: Operator, count: int) -> Operator:
    return Operator(
        operations=operator.operations, num_bytes=operator.num_bytes, launches=operator.launches,
        count=operator.count * count, frozen=operator.frozen,
    )  # fmt: skip


def _product(run: Pass, matrix: Matrix, tokens: int, weight_bytes: float) -> Operator:
    states = tokens * (matrix.size_in + matrix.size_out) * STATE_BYTES[run.format]
    return Operator(operations=2.0 * tokens * matrix.weights, num_bytes=states + matrix.weights * weight_bytes)


def _touched(values: float, touches: float, run: Pass, launches: int = 1) -> Operator:
    """Return an operator without products, which reads and writes values `touches` times."""
    return Operator(
        operations=values * touches, num_bytes=values * touches * STATE_BYTES[run.format], launches=launches
    )


def _attention(run: Pass, shape: ModelShape) -> Operator:
    """Return one of the two products of attention: scores of queries and keys, or sums of values by them."""
    tokens, length = _tokens(run), run.input_shape[0]
    values = tokens * (shape.query_size + shape.kv_size + shape.query_heads * length)
    return Operator(
        operations=2.0 * tokens * length * shape.query_size, num_bytes=values * STATE_BYTES[run.format], count=2
    )


def _elementwise(run: Pass, shape: ModelShape) -> list[Operator]:
    tokens, length = _tokens(run), run.input_shape[0]
    rotated = [_touched(tokens * (shape.query_size + shape.kv_size), _ROTARY_TOUCHES, run)] if shape.is_decoder else []
    return [
        _touched(tokens * shape.query_heads * length, _SCORE_TOUCHES, run, launches=3),
        _times(_touched(tokens * shape.hidden, _NORM_TOUCHES, run, launches=2), 2),
        _touched(tokens * shape.intermediate, 5 if shape.gated else 2, run, launches=2 if shape.gated else 1),
        *rotated,
    ]


def _products(run: Pass, matrices: Iterable[Matrix], weight_bytes: float) -> list[Operator]:
    return [_product(run, each, _tokens(run), weight_bytes) for each in matrices]


def _block_forward(run: Pass, shape: ModelShape) -> list[Operator]:
    matrices = block_matrices(shape).values()
    products = [replace(each, frozen=True) for each in _products(run, matrices, WEIGHT_BYTES[run.format])]
    return [*products, _attention(run, shape), *_elementwise(run, shape)]


def _added(run: Pass, added: list[Matrix]) -> list[Operator]:
    return _products(run, added, TRAINED_BYTES)


def _block_backward(run: Pass, shape: ModelShape, trained: TrainedSpec, added: list[Matrix]) -> list[Operator]:
    matrices = list(block_matrices(shape).values())
    inputs = [replace(each, frozen=True) for each in _products(run, matrices, WEIGHT_BYTES[run.format])]
    weights = _products(run, matrices, TRAINED_BYTES) if trained.kind == "whole" else []
    small = [_times(each, 2) for each in _added(run, added)]
    rest = [_times(each, 2) for each in [_attention(run, shape), *_elementwise(run, shape)]]
    return [*inputs, *weights, *small, *rest]


def _head(run: Pass, shape: ModelShape, *, passes: int) -> list[Operator]:
    """Return the product of the last states with the words, which a decoder's head is, and the softmax over them."""
    if not shape.is_decoder or run.blocks.stop != shape.blocks or not scored(run):
        return []
    words = Matrix(shape.hidden, shape.vocabulary)
    weight_bytes = WEIGHT_BYTES[run.format] if run.format in ("fp32", "fp16", "bf16") else 2
    product = _times(_product(run, words, scored(run), weight_bytes), passes)
    return [product, _touched(scored(run) * shape.vocabulary, 4, run, launches=2)]


def _update(trained: TrainedSpec, shape: ModelShape, blocks: int) -> Operator:
    """Return the step of the optimiser: gradient and value are read, the value is written, and so is what it keeps."""
    values = trained_weights(trained, shape, blocks)
    touches = 3 + 2 * kept_by_optimiser(trained)
    return Operator(operations=values * touches, num_bytes=values * touches * TRAINED_BYTES, launches=1)
