"""What work costs on a board: the cost model of the model's family prices each step, and this adds them up.

There is no fallback. What a cost model has neither a table nor a rule for is a UserError, for a clock that guesses is
worth nothing.
"""

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Protocol

from fedlab.config.builtins import COST_MODELS
from fedlab.config.plugins import load_object, nearest
from fedlab.devices.costmodel.operators import TRAINED_BYTES
from fedlab.devices.costmodel.projections import targets_of
from fedlab.devices.profile import DeviceProfile
from fedlab.devices.tables import Figure, Provenance, ProvenanceLevel, Quantity, least_sure
from fedlab.errors import UserError
from fedlab.workload.passes import Pass
from fedlab.workload.shape import AnyShape, ModelShape
from fedlab.workload.workload import Step, Workload


class CostModel(Protocol):
    """What steps of one kind of model cost. Raises UserError for a step that no table or rule covers."""

    def seconds(self, device: DeviceProfile, step: Step, shape: AnyShape) -> Figure:
        """Return the seconds of all batches of a step at the speed of the device's tables.

        Its relative throughput is applied once, to the sum over steps; the provenance takes account of it.
        """

    def computing_watts(self, device: DeviceProfile, step: Step, shape: AnyShape) -> Figure:
        """Return the mean power of a step while it computes."""

    def peak_bytes(self, device: DeviceProfile, step: Step, shape: AnyShape) -> Figure:
        """Return the peak memory of a step."""


@dataclass(frozen=True, kw_only=True)
class Computing:
    """A stretch of computing at the same power."""

    watts: float
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Price:
    """What a workload needs of a board; levels are None where nothing is computed.

    `latency_provenance` is of the least sure of its steps, `watts_provenance` of the processors that run them,
    `memory_provenance` of the step that needs most memory.
    """

    compute_seconds: float
    computing: tuple[Computing, ...]
    peak_memory_bytes: int
    latency_provenance: ProvenanceLevel | None
    watts_provenance: ProvenanceLevel | None
    memory_provenance: ProvenanceLevel | None


@functools.cache
def cost_model_for(family: str) -> CostModel:
    """Return the cost model of a model family. Raises UserError if it has none."""
    if family not in COST_MODELS:
        raise UserError(f"no cost model for the model family '{family}': {nearest(family, COST_MODELS)}")
    model: CostModel = load_object(COST_MODELS[family], Path())()
    return model


def compute_seconds(profile: DeviceProfile, workload: Workload, shape: AnyShape) -> float:
    """Return the seconds a board computes for a workload. Raises UserError for what no table or rule covers."""
    return _total(_seconds(profile, workload, shape)) / profile.relative_throughput


def peak_memory_bytes(profile: DeviceProfile, workload: Workload, shape: AnyShape) -> int:
    """Return the peak memory of a workload: that of the step that needs most. Raises as `compute_seconds`.

    What forward passes alone hold of a trained set (`Pass.held_values`) counts beside what a table or rule says of
    them.
    """
    peak = _peak(profile, workload, shape)
    return 0 if peak is None else round(peak.value)


def provenance(
    profile: DeviceProfile, workload: Workload, shape: AnyShape, quantity: Quantity = "latency_seconds"
) -> Provenance:
    """Return where a figure of a workload that computes something comes from; of several sources, the least sure.

    Raises as `compute_seconds`.
    """
    if quantity == "peak_memory_bytes":
        peak = _peak(profile, workload, shape)
        assert peak is not None, "something is computed"
        return peak.provenance
    return _least_sure(_seconds(profile, workload, shape))


def provenance_level(profile: DeviceProfile, workload: Workload, shape: AnyShape) -> ProvenanceLevel:
    """Return how sure the latency of a workload that computes something is. Raises as `compute_seconds`."""
    return provenance(profile, workload, shape).level


def price(profile: DeviceProfile, workload: Workload, shape: AnyShape) -> Price:
    """Return all that a workload needs of a board. Raises as `compute_seconds`."""
    steps, seconds = _run(workload), _seconds(profile, workload, shape)
    peak = _peak(profile, workload, shape)
    watts = _figures(profile, workload, shape, cost_model_for(shape.family).computing_watts)
    spans = [
        Computing(watts=power.value, seconds=figure.value / profile.relative_throughput)
        for power, figure in zip(watts, seconds, strict=True)
    ]
    return Price(
        compute_seconds=_total(seconds) / profile.relative_throughput,
        computing=tuple(
            Computing(watts=watts, seconds=sum(each.seconds for each in same))
            for watts, same in groupby(spans, lambda each: each.watts)
        ),
        peak_memory_bytes=0 if peak is None else round(peak.value),
        latency_provenance=_least_sure(seconds).level if steps else None,
        watts_provenance=least_sure(*(each.provenance.level for each in watts)) if steps else None,
        memory_provenance=None if peak is None else peak.provenance.level,
    )


def processor_watts(device: DeviceProfile, step: Step) -> Figure:
    """Return what the processor of a step draws while it computes. Raises UserError if the board has no such one."""
    processor = device.processor(step.forward.processor)
    return Figure(value=processor.computing_watts, provenance=processor.watts_provenance)


def misfit(passes: Iterable[Pass], shape: AnyShape) -> str | None:
    """Say why passes cannot be of a model of these sizes, None if they can."""
    for each in passes:
        if each.blocks and each.blocks.stop > shape.blocks:
            first, last = each.blocks.start, each.blocks.stop - 1
            return f"workload: blocks is {first} to {last}, expected some of 0 to {shape.blocks - 1}: the model's"
        if not isinstance(shape, ModelShape):
            continue
        try:
            targets_of(each.trained, shape)
        except UserError as error:
            return f"workload: {error}"
    return None


def _run(workload: Workload) -> list[Step]:
    """Return the steps that any batch went through."""
    return [step for step in workload.steps if step.count]


def _seconds(profile: DeviceProfile, workload: Workload, shape: AnyShape) -> list[Figure]:
    return _figures(profile, workload, shape, cost_model_for(shape.family).seconds)


def _peak(profile: DeviceProfile, workload: Workload, shape: AnyShape) -> Figure | None:
    costs = cost_model_for(shape.family)

    def needed(profile: DeviceProfile, step: Step, shape: AnyShape) -> Figure:
        figure = costs.peak_bytes(profile, step, shape)
        return replace(figure, value=figure.value + TRAINED_BYTES * step.forward.held_values)

    return max(_figures(profile, workload, shape, needed), key=lambda each: each.value, default=None)


def _figures(
    profile: DeviceProfile,
    workload: Workload,
    shape: AnyShape,
    of_step: Callable[[DeviceProfile, Step, AnyShape], Figure],
) -> list[Figure]:
    if problem := misfit(workload.passes, shape):
        raise UserError(problem)
    return [of_step(profile, step, shape) for step in _run(workload)]


def _total(figures: Sequence[Figure]) -> float:
    total = 0.0
    for each in figures:  # `sum` rounds otherwise, and figures stay the same to the last digit
        total += each.value
    return total


def _least_sure(figures: Sequence[Figure]) -> Provenance:
    level = least_sure(*(each.provenance.level for each in figures))
    return next(each.provenance for each in figures if each.provenance.level == level)
