"""What a client did, as passes through a model, and what it cost: the physics turns the one into the other."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from fedlab.errors import UserError
from fedlab.workload.checks import check_whole
from fedlab.workload.passes import DEFAULT_PROCESSOR, Format, Pass, TrainedSpec

# What is trained, as flat values: {"set": "bottleneck", "depth": 2, "width": 8}; the set's name, then its axes.
Configuration = Mapping[str, int | str]
_MOST_PASSES = 1000


@dataclass(frozen=True, kw_only=True)
class Step:
    """What is priced at once, since tables are measured for whole steps of training.

    A forward pass with the backward pass that follows it, or a forward pass alone: an evaluation, a perturbation, or
    one that fills the activation cache.
    """

    forward: Pass
    backward: Pass | None = None

    @property
    def count(self) -> int:
        """How many batches go through it."""
        return self.forward.count


@dataclass(frozen=True, kw_only=True)
class Workload:
    """What one client did for one message: counts only, never times. It is checked when it is made.

    `passes` are in the order they were run. A step of training is a forward pass and, directly after it, its backward
    pass; `num_examples` is how many examples the update is of.
    """

    passes: tuple[Pass, ...]
    num_examples: int

    def __post_init__(self) -> None:
        """Check it. Raises UserError."""
        check_whole("num_examples", self.num_examples, least=0)
        if type(self.passes) is not tuple or any(type(each) is not Pass for each in self.passes):
            raise UserError("workload: passes is not a tuple of Pass")
        if len(self.passes) > _MOST_PASSES:
            raise UserError(f"workload: has {len(self.passes)} passes, expected at most {_MOST_PASSES}")
        steps_of(self.passes)

    @property
    def steps(self) -> tuple[Step, ...]:
        """The passes, each backward pass paired with its forward pass."""
        return steps_of(self.passes)

    @property
    def batches(self) -> int:
        """How many batches went through all steps."""
        return sum(step.count for step in self.steps)

    @property
    def cached_batches(self) -> int:
        """How many of the batches started from stored activations."""
        return sum(step.count for step in self.steps if step.forward.cached)

    @property
    def forward_only(self) -> bool:
        """Whether passes were run, and none of them backward."""
        return bool(self.passes) and all(each.kind == "forward" for each in self.passes)

    @property
    def trained_blocks(self) -> int:
        """How many blocks the longest backward pass went through."""
        return max((len(step.backward.blocks) for step in self.steps if step.backward), default=0)


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one client's part in a round cost.

    `idle_seconds` is how long it waited for the round's end, `late_seconds` how long after that end its work is handed
    in: one of the two is zero.
    """

    compute_seconds: float
    download_seconds: float
    upload_seconds: float
    compute_joules: float
    transfer_joules: float
    bytes_down: int
    bytes_up: int
    peak_memory_bytes: int
    idle_seconds: float = 0.0
    idle_joules: float = 0.0
    late_seconds: float = 0.0

    @property
    def seconds(self) -> float:
        """The whole of the client's part: download, then compute, then upload."""
        return self.download_seconds + self.compute_seconds + self.upload_seconds

    @property
    def joules(self) -> float:
        """The energy of computing, communicating and waiting."""
        return self.compute_joules + self.transfer_joules + self.idle_joules


def steps_of(passes: Iterable[Pass]) -> tuple[Step, ...]:
    """Pair each backward pass with the forward pass directly before it.

    Raises:
        UserError: a backward pass has no forward pass of the same batches before it, or runs other blocks than that.
    """
    steps: list[Step] = []
    for each in passes:
        if each.kind == "forward":
            steps.append(Step(forward=each))
        elif steps and steps[-1].backward is None and _belongs(each, steps[-1].forward):
            steps[-1] = replace(steps[-1], backward=each)
        else:
            raise UserError(
                "workload: a backward pass without its forward pass, expected one right before it, of the same count, "
                "batch_size, input_shape, format, processor and scored_tokens, through all of its blocks"
            )
    return tuple(steps)


def training_passes(
    *,
    batches: int,
    cached_batches: int = 0,
    batch_size: int,
    input_shape: tuple[int, ...],
    model_blocks: int,
    depth: int,
    trained: TrainedSpec,
    format: Format = "fp32",
    processor: str = DEFAULT_PROCESSOR,
    checkpointing: bool = False,
    scored_tokens: int | None = None,
) -> tuple[Pass, ...]:
    """Return the passes that train the top `depth` blocks of a model of `model_blocks`.

    Of `batches`, `cached_batches` start from stored activations at the lowest trained block; the others, which come
    first, run every block forward. Both go backward through the trained blocks alone. Passes of no batch are left out.
    `checkpointing` and `scored_tokens` are as in `Pass`.
    """
    top = range(model_blocks - depth, model_blocks)
    passes: list[Pass] = []
    for count, cached in ((batches - cached_batches, False), (cached_batches, True)):
        forward = Pass(
            kind="forward",
            count=count,
            batch_size=batch_size,
            input_shape=input_shape,
            blocks=top if cached else range(model_blocks),
            cached=cached,
            format=format,
            processor=processor,
            scored_tokens=scored_tokens,
        )
        if count:
            backward = replace(forward, kind="backward", blocks=top, cached=False, trained=trained)
            passes += [forward, replace(backward, checkpointing=checkpointing)]
    return tuple(passes)


def forward_passes(
    *,
    batches: int,
    batch_size: int,
    input_shape: tuple[int, ...],
    model_blocks: int,
    format: Format = "fp32",
    processor: str = DEFAULT_PROCESSOR,
    scored_tokens: int | None = None,
    held_values: int = 0,
) -> tuple[Pass, ...]:
    """Return forward passes through all blocks: what an evaluation takes, or filling the activation cache."""
    one = Pass(
        kind="forward",
        count=batches,
        batch_size=batch_size,
        input_shape=input_shape,
        blocks=range(model_blocks),
        format=format,
        processor=processor,
        scored_tokens=scored_tokens,
        held_values=held_values,
    )
    return (one,) if batches else ()


def probing_passes(
    *,
    batches: int,
    passes: int,
    batch_size: int,
    input_shape: tuple[int, ...],
    model_blocks: int,
    depth: int,
    cached: bool = False,
    format: Format = "fp32",
    processor: str = DEFAULT_PROCESSOR,
    scored_tokens: int | None = None,
    held_values: int = 0,
) -> tuple[Pass, ...]:
    """Return the forward passes that probe a loss on some batches: a fixed number for each batch, through all blocks.

    Where the states of the frozen blocks are `cached`, all but the first pass of a batch begin at the lowest of the
    `depth` trained blocks. `held_values` is the number of trained values.
    """
    (first,) = forward_passes(
        batches=batches if cached else batches * passes,
        batch_size=batch_size,
        input_shape=input_shape,
        model_blocks=model_blocks,
        format=format,
        processor=processor,
        scored_tokens=scored_tokens,
        held_values=held_values,
    )
    if not cached or passes == 1:
        return (first,)
    top = range(model_blocks - depth, model_blocks)
    return first, replace(first, count=batches * (passes - 1), cached=True, blocks=top)


def _belongs(backward: Pass, forward: Pass) -> bool:
    """Tell whether a backward pass can be that of a forward pass."""

    def batches(each: Pass) -> tuple[object, ...]:
        return (each.count, each.batch_size, each.input_shape, each.format, each.processor, each.scored_tokens)

    inside = forward.blocks.start <= backward.blocks.start and backward.blocks.stop <= forward.blocks.stop
    return batches(backward) == batches(forward) and (inside or not backward.blocks)
