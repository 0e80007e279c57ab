"""The peak memory of a step from its parts, for models of any size: nothing of it is measured or fitted.

* Weights: the matrices of blocks in the format of the pass; norms, biases, embeddings and the head of tokens in half
  precision where the matrices are in fewer bits. A step from stored activations holds only the blocks that it runs.
* What is trained is float32: a set that is added to the blocks, or a second copy of whole weights whose pass is in
  another format. Its gradient is float32, and so is what an optimiser keeps (SGD nothing, momentum 1, Adam 2 values).
* Activations: what the backward pass reads again, as transformers' implementations keep it. That is queries, keys,
  values, the probabilities of attention, the inputs of norms and of activation functions; and the inputs of a
  projection where its weights, or LoRA's beside it, are trained. The published encoders but ALBERT train with dropout,
  which keeps its masks (a byte a value) and the dropped probabilities. ALBERT's activation function is made of several
  operators, which keep four values. A decoder's norms and softmax compute in float32. With checkpointing only the state
  that enters each block is kept, and all of one block.
* Logits of a decoder: in the format of states, and where they are trained three times in float32: as the loss reads
  them, their log-softmax and its gradient.
* Working memory: the most states that are alive at once inside a block.

The process, its libraries and the operating system are not among the parts; a board can say what these take.
"""

import functools
from dataclasses import dataclass, fields

from fedlab.devices.costmodel.operators import (
    STATE_BYTES,
    TRAINED_BYTES,
    WEIGHT_BYTES,
    kept_by_optimiser,
    scored,
)
from fedlab.devices.costmodel.projections import targets_of, trained_weights
from fedlab.workload.passes import Format, Pass, TrainedSpec
from fedlab.workload.shape import ModelShape
from fedlab.workload.weights import (
    block_matrices,
    block_vectors,
    block_weights,
    embedding_weights,
    head_weights,
    stored_blocks,
)
from fedlab.workload.workload import Step

_MASK_BYTES = 1
_FLOAT_BYTES = 4


@dataclass(frozen=True, kw_only=True)
class MemoryParts:
    """What the peak memory of a step is made of, in bytes."""

    weights: float
    trained: float
    gradients: float
    optimiser: float
    activations: float
    logits: float
    working: float

    @property
    def total(self) -> float:
        """The sum of all parts."""
        return float(sum(getattr(self, part.name) for part in fields(self)))


@functools.lru_cache(maxsize=1024)  # the clients of a round do mostly the same
def memory_parts(step: Step, shape: ModelShape) -> MemoryParts:
    """Return the parts of a step's peak memory. Raises UserError for a set that the model cannot have."""
    run, backward = step.forward, step.backward
    trained, blocks = (backward.trained, len(backward.blocks)) if backward else (TrainedSpec(), 0)
    values = trained_weights(trained, shape, blocks)
    in_place = trained.kind in ("whole", "bias") and run.format == "fp32"
    return MemoryParts(
        weights=_weights(run, shape),
        trained=0 if in_place else TRAINED_BYTES * values,
        gradients=TRAINED_BYTES * values,
        optimiser=TRAINED_BYTES * kept_by_optimiser(trained) * values,
        activations=_activations(run, backward, shape) if backward else 0,
        logits=_logits(run, shape, training=backward is not None),
        working=_tokens(run) * _alive(run, shape) if run.blocks else 0,
    )


def _weights(run: Pass, shape: ModelShape) -> float:
    held = stored_blocks(shape, len(run.blocks))
    others = held * block_vectors(shape)
    if not run.cached:
        others += embedding_weights(shape)
    if run.blocks.stop == shape.blocks and shape.is_decoder:
        tied = run.cached and shape.tied  # the embedding is not read, but as the head
        others += (embedding_weights(shape) if tied else head_weights(shape)) + shape.hidden
    return held * block_weights(shape) * WEIGHT_BYTES[run.format] + others * _other_bytes(run.format)


def _other_bytes(number_format: Format) -> float:
    return max(2, WEIGHT_BYTES[number_format])


def _tokens(run: Pass) -> int:
    return run.batch_size * run.input_shape[0]


def _activations(run: Pass, backward: Pass, shape: ModelShape) -> float:
    blocks, tokens = len(backward.blocks), _tokens(run)
    if not blocks:
        return 0
    kept = tokens * _kept_bytes(run, shape, backward.trained)
    if not backward.checkpointing:
        return blocks * kept
    return min(blocks * kept, blocks * tokens * shape.hidden * STATE_BYTES[run.format] + kept)


def _kept_bytes(run: Pass, shape: ModelShape, trained: TrainedSpec) -> float:
    """Return what a block keeps of each token for its backward pass."""
    state = STATE_BYTES[run.format]
    values = shape.query_size + 2 * shape.kv_size + _kept_inside(shape) + _kept_inputs(shape, trained)
    return state * values + _kept_by_attention(run, shape) + _kept_by_norms(run, shape, trained)


def _kept_inside(shape: ModelShape) -> int:
    """Return what the feed-forward part keeps: the inputs of its activation function, and of a gate's product."""
    if shape.gated:
        return 3 * shape.intermediate
    return (4 if shape.family == "albert" else 1) * shape.intermediate


def _kept_inputs(shape: ModelShape, trained: TrainedSpec) -> int:
    """Return the inputs of projections that are kept for gradients of weights; q, k and v share theirs."""
    if trained.kind == "bottleneck":
        return shape.hidden + 2 * trained.width
    if trained.kind not in ("lora", "whole"):
        return 0
    names = set(targets_of(trained, shape)) if trained.kind == "lora" else set(block_matrices(shape))
    groups = (
        ({"q", "k", "v"}, shape.hidden), ({"o"}, shape.query_size), ({"gate", "up"}, shape.hidden),
        ({"down"}, shape.intermediate),
    )  # fmt: skip
    return sum(size for group, size in groups if names & group) + len(names) * trained.rank


def _kept_by_attention(run: Pass, shape: ModelShape) -> float:
    probabilities, state = shape.query_heads * run.input_shape[0], STATE_BYTES[run.format]
    if shape.is_decoder:  # softmax in float32, and a copy in the format of states where that is another
        return probabilities * (_FLOAT_BYTES + (state if state != _FLOAT_BYTES else 0))
    return probabilities * (2 * state + _MASK_BYTES if _drops(shape) else state)


def _kept_by_norms(run: Pass, shape: ModelShape, trained: TrainedSpec) -> float:
    state = STATE_BYTES[run.format]
    if not shape.is_decoder:
        return 2 * shape.hidden * (state + (_MASK_BYTES if _drops(shape) else 0))
    copies = state if trained.kind in ("whole", "bias") and state != _FLOAT_BYTES else 0
    return 2 * shape.hidden * (_FLOAT_BYTES + copies)


def _drops(shape: ModelShape) -> bool:
    """Tell whether the family's published models train with dropout."""
    return shape.family in ("bert", "distilbert", "roberta")


def _alive(run: Pass, shape: ModelShape) -> float:
    """Return the bytes of each token that are alive at once in a block, in attention or in the feed-forward part."""
    state, scores = STATE_BYTES[run.format], shape.query_heads * run.input_shape[0]
    softmax = scores * (state + (_FLOAT_BYTES if shape.is_decoder else state))
    attention = state * (shape.hidden + shape.query_size + 2 * shape.kv_size) + softmax
    inside = 3 if shape.gated else 4 if shape.family == "albert" else 2
    return max(attention, state * (2 * shape.hidden + inside * shape.intermediate))


def _logits(run: Pass, shape: ModelShape, *, training: bool) -> float:
    if not shape.is_decoder or run.blocks.stop != shape.blocks:
        return 0
    copies = 3 * _FLOAT_BYTES if training else _FLOAT_BYTES
    state = STATE_BYTES[run.format]
    return scored(run) * shape.vocabulary * (copies + (state if state != _FLOAT_BYTES else 0))
