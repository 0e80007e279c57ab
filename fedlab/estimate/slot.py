"""What the rounds of a trajectory cost a client that takes part in all of them, without training anything.

One client slot a round, and the same client in it every round: it downloads, computes and uploads, and waits for
nobody. How closely that is looked at is a matter of `Rules`: those of the published artifact are in
`fedlab.estimate.published`, those of real messages and a cache that must be filled in `fedlab.estimate.exact`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from fedlab.billing.costs import charge
from fedlab.devices.costmodel.projections import trained_weights
from fedlab.devices.profile import DeviceProfile
from fedlab.errors import UserError
from fedlab.estimate.spec import EstimateMethod
from fedlab.estimate.trajectory import Segment, Stretch, stretches
from fedlab.network.links import Link
from fedlab.workload.passes import DEFAULT_PROCESSOR, WHOLE, Format, Pass, TrainedSpec, bottleneck, lora
from fedlab.workload.shape import ModelShape
from fedlab.workload.workload import Configuration, Cost, Workload, forward_passes, training_passes

_PASSES_OF_A_PERTURBATION = 2  # the loss on both sides of the model


class Traffic(NamedTuple):
    """What one round moves."""

    bytes_down: int
    bytes_up: int


@dataclass(frozen=True, kw_only=True)
class Slot:
    """A client: how it trains which backbone, on what, over what. `batches` is per round.

    `format`, `processor`, `checkpointing` and `scored_tokens` are as in `fedlab.workload.passes.Pass`; `targets` are
    the projections that LoRA trains pairs beside.
    """

    method: EstimateMethod
    shape: ModelShape
    profile: DeviceProfile
    link: Link
    batches: int
    batch_size: int
    sequence_length: int
    format: Format = "fp32"
    processor: str = DEFAULT_PROCESSOR
    checkpointing: bool = False
    scored_tokens: int | None = None
    targets: tuple[str, ...] = ("q", "v")

    @property
    def adapts(self) -> bool:
        """Tell whether a set is added to the blocks and trained, rather than whole blocks."""
        return self.method not in ("full", "freeze")

    def trained(self, width: int) -> TrainedSpec:
        """Return what is trained, adapters or pairs of a width or rank."""
        if not self.adapts:
            return WHOLE
        return lora(width, self.targets) if self.method in ("lora", "forward") else bottleneck(width)

    def trained_depth(self, depth: int) -> int:
        """Return how many blocks are trained where a trajectory says `depth`: `full` trains all whatever it says."""
        return self.shape.blocks if self.method == "full" else depth


@dataclass(frozen=True, kw_only=True)
class Rules:
    """How closely to look.

    `traffic` gives the bytes of a round by depth and width; `fills_cache` charges the first round at a new depth for
    running every block of every batch; `latency_width` is the width all adapters are timed as (None: each its own).
    """

    traffic: Callable[[int, int], Traffic]
    fills_cache: bool
    latency_width: int | None = None


@dataclass(frozen=True, kw_only=True)
class SegmentEstimate:
    """What the rounds of one segment, all of one configuration, cost the client."""

    first_round: int
    last_round: int
    rounds: int
    configuration: Configuration
    seconds: float
    bytes_down: int
    bytes_up: int
    joules: float
    peak_memory_bytes: int


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a whole trajectory cost the client: the sums of its segments, and the largest memory."""

    seconds: float
    bytes_down: int
    bytes_up: int
    joules: float
    peak_memory_bytes: int
    by_segment: tuple[SegmentEstimate, ...]

    @property
    def hours(self) -> float:
        """The time in hours."""
        return self.seconds / 3600


def estimate(trajectory: Sequence[Segment], slot: Slot, rules: Rules) -> Estimate:
    """Return what a trajectory costs the client of a slot, whose link does not change with the time.

    Raises:
        UserError: the rounds do not rise, a depth or width cannot be, or the profile lacks a table.
    """
    _check(trajectory, slot)
    return total(list(_segments(stretches(trajectory), slot, rules)))


def total(parts: Sequence[SegmentEstimate]) -> Estimate:
    """Return what segments, one or more, cost in all."""
    return Estimate(
        seconds=sum(part.seconds for part in parts),
        bytes_down=sum(part.bytes_down for part in parts),
        bytes_up=sum(part.bytes_up for part in parts),
        joules=sum(part.joules for part in parts),
        peak_memory_bytes=max(part.peak_memory_bytes for part in parts),
        by_segment=tuple(parts),
    )


def _check(trajectory: Sequence[Segment], slot: Slot) -> None:
    blocks = slot.shape.blocks
    for segment in trajectory:
        if not 0 <= slot.trained_depth(segment.depth) <= blocks:
            raise UserError(
                f"trajectory: depth {segment.depth} up to round {segment.last_round}, expected 0 to {blocks}: "
                f"the {'decoder' if slot.shape.is_decoder else 'encoder'} has {blocks} blocks"
            )
        if segment.width < (slot.adapts and segment.depth > 0):
            raise UserError(
                f"trajectory: width {segment.width} up to round {segment.last_round}, "
                f"expected {'1 or more' if slot.adapts else '0 or more'}"
            )


def _segments(parts: Sequence[Stretch], slot: Slot, rules: Rules) -> Iterator[SegmentEstimate]:
    filled: int | None = None  # the depth the client's cache is filled for
    for part in parts:
        depth = slot.trained_depth(part.segment.depth)
        priced = partial(_round_cost, slot, rules, part)
        caches = slot.method in ("adapter", "lora")
        fresh = int(caches and rules.fills_cache and depth != filled)
        costs = [(fresh, priced(cached=False)), (part.rounds - fresh, priced(cached=caches))]
        yield _segment(part, _configuration(slot, part), [(rounds, cost) for rounds, cost in costs if rounds])
        filled = depth


def _round_cost(slot: Slot, rules: Rules, part: Stretch, *, cached: bool) -> Cost:
    depth, width = slot.trained_depth(part.segment.depth), part.segment.width
    traffic = rules.traffic(depth, width)
    held = trained_weights(slot.trained(max(1, width)), slot.shape, depth) if slot.method == "forward" else 0
    passes = _passes(slot, depth, rules.latency_width or max(1, width), cached=cached, held_values=held)
    return charge(
        Workload(passes=passes, num_examples=slot.batches * slot.batch_size),
        profile=slot.profile,
        link=slot.link,
        shape=slot.shape,
        bytes_down=traffic.bytes_down,
        bytes_up=traffic.bytes_up,
        partition_id=0,
        server_round=part.first_round,
        start_seconds=0.0,
    )


def _passes(slot: Slot, depth: int, width: int, *, cached: bool, held_values: int) -> tuple[Pass, ...]:
    """Return what the client computes in a round; forward passes alone hold the pairs that they perturb."""
    if slot.method == "forward":
        return forward_passes(
            batches=_PASSES_OF_A_PERTURBATION * slot.batches,
            batch_size=slot.batch_size,
            input_shape=(slot.sequence_length,),
            model_blocks=slot.shape.blocks,
            format=slot.format,
            processor=slot.processor,
            scored_tokens=slot.scored_tokens,
            held_values=held_values,
        )
    return training_passes(
        batches=slot.batches,
        cached_batches=slot.batches if cached else 0,
        batch_size=slot.batch_size,
        input_shape=(slot.sequence_length,),
        model_blocks=slot.shape.blocks,
        depth=depth,
        trained=slot.trained(width),
        format=slot.format,
        processor=slot.processor,
        checkpointing=slot.checkpointing,
        scored_tokens=slot.scored_tokens,
    )


def _configuration(slot: Slot, part: Stretch) -> Configuration:
    """Return what is trained in a stretch of rounds: the set that the method trains, and its axes."""
    if slot.method in ("lora", "forward"):
        axes = {"depth": part.segment.depth, "rank": part.segment.width}
        return {"set": "lora", **axes, "targets": ",".join(slot.targets)}
    if slot.adapts:
        return {"set": "bottleneck", "depth": part.segment.depth, "width": part.segment.width}
    return {"set": "everything"} if slot.method == "full" else {"set": "blocks", "depth": part.segment.depth}


def _segment(part: Stretch, configuration: Configuration, costs: Sequence[tuple[int, Cost]]) -> SegmentEstimate:
    return SegmentEstimate(
        first_round=part.first_round,
        last_round=part.segment.last_round,
        rounds=part.rounds,
        configuration=configuration,
        seconds=sum(rounds * cost.seconds for rounds, cost in costs),
        bytes_down=sum(rounds * cost.bytes_down for rounds, cost in costs),
        bytes_up=sum(rounds * cost.bytes_up for rounds, cost in costs),
        joules=sum(rounds * cost.joules for rounds, cost in costs),
        peak_memory_bytes=max(cost.peak_memory_bytes for _, cost in costs),
    )
