"""A batch that the CPU hands to another processor: what runs where, and the preparation of subgraphs."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from fedlab.devices.conv_rates import Offloading
from fedlab.devices.costmodel.conv_operators import ConvOperator, conv_operators
from fedlab.devices.costmodel.conv_seconds import OperatorPricing
from fedlab.devices.costmodel.placement import PlacedTask, Placement, Timeline, co_scheduled, preferring, timeline
from fedlab.devices.costmodel.techniques import Subgraph, to_prepare
from fedlab.workload.conv_shape import ConvShape

# Placements are searched for at these batch sizes, and the fastest of them is taken at any. So a larger batch, which
# has the same ones to choose from, never takes less time.
_SEARCHED_BATCHES = (8, 64)


@dataclass(frozen=True, kw_only=True)
class HandedBatch:
    """How a batch runs on two processors; `parts` are the samples that each operator computes at once."""

    seconds: float
    busy_seconds: Mapping[str, float]
    operators: tuple[ConvOperator, ...]
    parts: tuple[int, ...]
    prepared_bytes: float
    prepared: int
    switches: int


@dataclass(frozen=True, kw_only=True)
class HandOver:
    """The work of a network that the CPU (`host`) hands to another processor, for batches of any size."""

    pricing: OperatorPricing
    host: OperatorPricing
    shape: ConvShape
    training: bool

    @functools.cached_property
    def operators(self) -> tuple[ConvOperator, ...]:
        """Return the operators in the order in which they run."""
        return conv_operators(self.shape, self.pricing.number_format, training=self.training)

    @functools.cached_property
    def placements(self) -> tuple[Placement, ...]:
        """Return the placements to choose from; without co-scheduling the one that hands over all it can."""
        offloaded = preferring(self.tasks(1), self.pricing.processor.name)
        if not self.pricing.techniques.co_scheduling:
            return (offloaded,)
        switch = self._offloading.switch_seconds.value
        found = [co_scheduled(self.tasks(size), switch).placement for size in _SEARCHED_BATCHES]
        return tuple(dict.fromkeys([offloaded, *(each for each in found if self.pricing.processor.name in each)]))

    def tasks(self, batch_size: int) -> tuple[PlacedTask, ...]:
        """Return the operators as tasks. Without co-scheduling each waits for the one before it.

        Gradients and updates of weights have nothing of this batch behind them: they can run beside the chain.
        """
        found: list[PlacedTask] = []
        last, parallel = -1, self.pricing.techniques.co_scheduling
        for at, operator in enumerate(self.operators):
            side = parallel and operator.phase in ("gradient", "update")
            before = at - 1 if operator.phase == "update" or not parallel else last
            after = (before,) if before >= 0 else ()
            found.append(
                PlacedTask(name=operator.name, seconds=self._seconds(operator, batch_size), after=after, side=side)
            )
            last = last if side else at
        return tuple(found)

    def batch(self, batch_size: int) -> HandedBatch:
        """Return how a batch runs, in the steady state: the same batch has run before.

        Memory is counted for the placement that prepares most, so that a larger batch never takes less.
        """
        tasks, switch = self.tasks(batch_size), self._offloading.switch_seconds.value
        ways = [self._with_preparation(timeline(tasks, each, switch), batch_size) for each in self.placements]
        most = max(each.prepared_bytes for each in ways)
        return replace(min(ways, key=lambda each: each.seconds), prepared_bytes=most)

    def _with_preparation(self, found: Timeline, batch_size: int) -> HandedBatch:
        subgraphs, memory = self._subgraphs(found.placement, batch_size), self._offloading.graph_memory_bytes.value
        prepared = to_prepare(subgraphs, memory, reuse=self.pricing.techniques.subgraph_reuse)
        rate, each_seconds = self._offloading.prepare_bytes_per_second.value, self._offloading.prepare_seconds.value
        preparing = sum(each_seconds + each.weights / rate for each in prepared)
        busy, cpu = dict(found.busy_seconds), self.host.processor.name
        busy[cpu] = busy.get(cpu, 0.0) + preparing
        kept = sum({each.name: each.num_bytes for each in subgraphs}.values())
        return HandedBatch(
            seconds=found.seconds + preparing,
            busy_seconds=busy,
            operators=self.operators,
            parts=tuple(self.pricing.part(each, batch_size) for each in self.operators),
            prepared_bytes=min(kept, memory),
            prepared=len(prepared),
            switches=found.switches,
        )

    @property
    def _offloading(self) -> Offloading:
        offloading = self.pricing.processor.offloading
        assert offloading is not None, "the processor is one that work is handed to"
        return offloading

    def _seconds(self, operator: ConvOperator, batch_size: int) -> dict[str, float]:
        on_host = {self.host.processor.name: self.host.seconds(operator, batch_size)}
        if operator.needs_cpu:
            return on_host
        return {self.pricing.processor.name: self.pricing.seconds(operator, batch_size), **on_host}

    def _subgraphs(self, placement: Placement, batch_size: int) -> Sequence[Subgraph]:
        """Return the subgraphs that a batch uses, in order: forward and backward each layer that is handed over."""
        return [
            Subgraph(
                name=f"{each.phase} {each.layer}",
                weights=each.weights,
                num_bytes=float(each.weights + batch_size * (each.read + each.written)),
            )
            for each, place in zip(self.operators, placement, strict=True)
            if place == self.pricing.processor.name and each.weights
        ]
