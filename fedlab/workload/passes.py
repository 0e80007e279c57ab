"""Passes through a model: in which direction, how often, over which blocks, on what inputs, and on what hardware.

A pass is checked when it is made, so that whatever holds one can rely on it: counts are whole numbers in a sane range,
and a name is one of those that exist.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from fedlab.workload.checks import LARGEST, check_axis, check_choice, check_name, check_whole, refuse

PassKind = Literal["forward", "backward"]
TrainedKind = Literal["none", "bottleneck", "lora", "bias", "whole"]
Optimiser = Literal["sgd", "momentum", "adam"]
Format = Literal["fp32", "fp16", "bf16", "int8", "int4"]
Precision = Literal["fp32", "bf16", "int8", "int4"]  # of the frozen weights of a backbone

FORMATS: tuple[Format, ...] = get_args(Format)
DEFAULT_PROCESSOR = "default"
_INPUT_RANKS = (1, 3)  # tokens; channels, height and width
_MOST_VALUES = 10**12


@dataclass(frozen=True, kw_only=True)
class TrainedSpec:
    """What a backward pass leaves gradients for in the blocks it runs; those of the head come with any backward pass.

    `none`: the head alone. `bottleneck`: adapters of `width` units. `lora`: pairs of `rank` beside the projections
    `targets`. `bias`: the biases. `whole`: all weights, and the embeddings as well where all blocks are trained.
    `optimiser` says what is kept for each trained value: nothing, a momentum, or Adam's two moments.
    """

    kind: TrainedKind = "none"
    width: int = 0
    rank: int = 0
    targets: tuple[str, ...] = ()
    optimiser: Optimiser = "sgd"

    def __post_init__(self) -> None:
        """Check it. Raises UserError."""
        check_choice("trained.kind", self.kind, get_args(TrainedKind))
        check_axis("trained.width", self.width, given=self.kind == "bottleneck")
        check_axis("trained.rank", self.rank, given=self.kind == "lora")
        if type(self.targets) is not tuple or bool(self.targets) != (self.kind == "lora"):
            refuse("trained.targets", self.targets, "names of projections for lora, nothing for other kinds")
        for target in self.targets:
            check_name("trained.targets", target)
        check_choice("trained.optimiser", self.optimiser, get_args(Optimiser))


NOTHING = TrainedSpec()
WHOLE = TrainedSpec(kind="whole")


def bottleneck(width: int) -> TrainedSpec:
    """Return what trains adapters of a width."""
    return TrainedSpec(kind="bottleneck", width=width)


def lora(rank: int, targets: Sequence[str], optimiser: Optimiser = "sgd") -> TrainedSpec:
    """Return what trains pairs of a rank beside some projections, such as `q` and `v`."""
    return TrainedSpec(kind="lora", rank=rank, targets=tuple(targets), optimiser=optimiser)


@dataclass(frozen=True, kw_only=True)
class Pass:
    """`count` passes of one kind, each over a batch of `batch_size` inputs.

    `input_shape` is that of one input: (tokens,) as padded, or (channels, height, width). `blocks` are those that run,
    counted from the input. A forward pass is `cached` where it starts from stored activations: those below its first
    block, which at block 0 are the embeddings. `trained` belongs to backward passes, and so does `checkpointing`: only
    the state that enters each block is kept, and the rest is computed a second time. `format` is that of the frozen
    weights. `scored_tokens` are those of each text that a decoder's head has logits for; None: all of them.
    `held_values` are those that a forward pass alone holds in float32 beside the frozen weights: what is trained by
    such passes (FwdLLM's memory is that of inference and 4 bytes a trained value).
    """

    kind: PassKind
    count: int
    batch_size: int
    input_shape: tuple[int, ...]
    blocks: range
    cached: bool = False
    trained: TrainedSpec = NOTHING
    format: Format = "fp32"
    processor: str = DEFAULT_PROCESSOR
    checkpointing: bool = False
    scored_tokens: int | None = None
    held_values: int = 0

    def __post_init__(self) -> None:
        """Check it. Raises UserError."""
        check_choice("kind", self.kind, get_args(PassKind))
        check_whole("count", self.count, least=0)
        check_whole("batch_size", self.batch_size, least=1)
        _check_input(self.input_shape)
        check_choice("format", self.format, FORMATS)
        check_name("processor", self.processor)
        if type(self.cached) is not bool or (self.cached and self.kind == "backward"):
            refuse("cached", self.cached, "true or false, and false for a backward pass")
        if type(self.trained) is not TrainedSpec or (self.kind == "forward" and self.trained != NOTHING):
            refuse("trained", self.trained, "a TrainedSpec, and none for a forward pass")
        if type(self.checkpointing) is not bool or (self.checkpointing and self.kind == "forward"):
            refuse("checkpointing", self.checkpointing, "true or false, and false for a forward pass")
        if self.scored_tokens is not None:
            check_whole("scored_tokens", self.scored_tokens, least=0, most=self.input_shape[0])
        check_whole("held_values", self.held_values, least=0, most=0 if self.kind == "backward" else _MOST_VALUES)
        self._check_blocks()

    def _check_blocks(self) -> None:
        blocks = self.blocks
        if type(blocks) is not range or blocks.step != 1 or not 0 <= blocks.start <= blocks.stop <= LARGEST:
            refuse("blocks", blocks, f"a range of blocks from 0 to {LARGEST}, without gaps")
        if self.kind == "forward" and not self.cached and blocks and blocks.start:
            refuse("blocks", blocks, "those from block 0 on, for a pass that does not start from stored activations")


def format_of(precision: Precision, *, is_decoder: bool) -> Format:
    """Return the number format in which the passes of a backbone are billed, by the precision of its frozen weights.

    An encoder in bf16 is billed in fp32, for which boards have tables of encoders; none has one in bf16.
    """
    return "fp32" if precision == "bf16" and not is_decoder else precision


def _check_input(shape: Any) -> None:
    if type(shape) is not tuple or len(shape) not in _INPUT_RANKS:
        refuse("input_shape", shape, "(tokens,) or (channels, height, width)")
    for size in shape:
        check_whole("input_shape", size, least=1)
