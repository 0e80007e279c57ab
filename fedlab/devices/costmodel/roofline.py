"""What a step of training needs of a board, for models of any size: its operators under the roofline of a processor.

An operator takes the longer of two times: that of its operations, at the peak rate of the number format times the
efficiency that products of matrices reach; and that of moving its bytes at the bandwidth of the memory. Starting it
takes `launch_seconds`, and a batch `step_seconds` besides: the loop, the data, what a head of few labels takes.

Peak rates and bandwidth are published. Efficiency and `step_seconds` are fitted to the tables of a board where it has
some (`fedlab.devices.costmodel.calibration`), else they are those of the nearest board. A rate that a profile lacks is
an error: nothing is guessed. Peak memory is the sum of its parts (`fedlab.devices.costmodel.memory`).
"""

from dataclasses import dataclass, replace

from fedlab.devices.costmodel.base import processor_watts
from fedlab.devices.costmodel.memory import memory_parts
from fedlab.devices.costmodel.operators import Operator, block_calls, operators_of
from fedlab.devices.filled_tables import TablePlace
from fedlab.devices.profile import DeviceProfile
from fedlab.devices.tables import Figure, Provenance, least_sure
from fedlab.errors import UserError
from fedlab.workload.passes import DEFAULT_PROCESSOR, Pass
from fedlab.workload.shape import ModelShape
from fedlab.workload.workload import Step


class RooflineCosts:
    """The cost model of what has no tables (`fedlab.devices.costmodel.base.CostModel`)."""

    def seconds(self, device: DeviceProfile, step: Step, shape: ModelShape) -> Figure:
        """Return the seconds of a step's batches; raises UserError where the profile lacks a rate."""
        _check(device, step, shape)
        rates, switch = rates_of(device, step.forward), device.processor(step.forward.processor).switch_seconds
        if switch is not None:
            return _beside_the_cpu(device, step, shape, switch)
        batch = rates.step_seconds.value + sum(rates.seconds(each) for each in operators_of(step, shape))
        return Figure(value=step.count * batch, provenance=rates.provenance)

    def computing_watts(self, device: DeviceProfile, step: Step, shape: ModelShape) -> Figure:
        """Return the power of the processor."""
        return processor_watts(device, step)

    def peak_bytes(self, device: DeviceProfile, step: Step, shape: ModelShape) -> Figure:
        """Return the peak memory of a step; raises UserError where the processor does not have the format."""
        _check(device, step, shape)
        runtime = device.processor(step.forward.processor).runtime_bytes
        total = memory_parts(step, shape).total + (runtime.value if runtime else 0)
        level = least_sure("scaled", runtime.provenance.level) if runtime else "scaled"
        return Figure(value=total, provenance=Provenance(level=level, source=_MEMORY_SOURCE))


def _beside_the_cpu(device: DeviceProfile, step: Step, shape: ModelShape, switch: Figure) -> Figure:
    """Return the seconds of a processor that multiplies by frozen matrices, with those of the CPU: the rest in fp32.

    A call goes there and back. Source: llm.npu (arXiv 2407.05858), where attention and norms stay floating point on the
    CPU; no measurement of training was found.
    """
    if step.backward is not None and step.backward.trained.kind == "whole":
        raise UserError(
            f"device profile {device.name}: no rule for training 'whole' on the processor {step.forward.processor!r}, "
            "which multiplies by frozen matrices; accepted: adapters, LoRA, biases or the head alone"
        )
    rates = rates_of(device, step.forward)
    host = rates_of(device, replace(step.forward, processor=DEFAULT_PROCESSOR, format="fp32"))
    batch = rates.step_seconds.value + 2 * block_calls(step) * switch.value
    for each in operators_of(step, shape):
        batch += (rates if each.frozen else host).seconds(each)
    known = (rates.provenance.level, host.provenance.level, switch.provenance.level)
    source = f"{rates.provenance.source}; the rest on the CPU, {host.provenance.source}; switches {switch.value:.4g}"
    return Figure(value=step.count * batch, provenance=Provenance(level=least_sure(*known), source=source))


_MEMORY_SOURCE = "from its parts: weights, what is trained, activations, logits and working memory"


@dataclass(frozen=True, kw_only=True)
class ProcessorRates:
    """The rates of a processor in a format."""

    peak: Figure
    efficiency: Figure
    bandwidth: Figure
    launch_seconds: Figure
    step_seconds: Figure

    def seconds(self, operator: Operator) -> float:
        """Return the seconds of all operators that are as this one."""
        computing = operator.operations / (self.peak.value * self.efficiency.value)
        moving = operator.num_bytes / self.bandwidth.value
        return operator.count * (max(computing, moving) + operator.launches * self.launch_seconds.value)

    @property
    def provenance(self) -> Provenance:
        """Return where a figure of these rates comes from."""
        named = vars(self).items()
        level = least_sure("scaled", *(figure.provenance.level for _, figure in named))
        rates = ", ".join(
            f"{name.replace('_', ' ')} {figure.value:.4g} ({figure.provenance.level})" for name, figure in named
        )
        return Provenance(level=level, source=f"by the roofline: {rates}")


def has_peak(device: DeviceProfile, run: Pass) -> bool:
    """Tell whether a board has rates for a pass. Raises UserError if it has neither tables nor rates."""
    return device.tables(run.processor, run.format).peak_operations_per_second is not None


def rates_of(device: DeviceProfile, run: Pass) -> ProcessorRates:
    """Return the rates for a pass. Raises UserError for the first one that the profile lacks."""
    processor, rates = device.processor(run.processor), device.tables(run.processor, run.format)
    of_format = str(TablePlace(processor=run.processor, format=run.format))
    of_processor = "" if run.processor == TablePlace().processor else f"processors.{run.processor}."

    def needed(place: str, name: str, figure: Figure | None) -> Figure:
        if figure is None:
            raise UserError(
                f"device profile {device.name}: {place}{name}: missing, needed here for work that no table covers"
            )
        return figure

    return ProcessorRates(
        peak=needed(of_format, "peak_operations_per_second", rates.peak_operations_per_second),
        efficiency=needed(of_format, "efficiency", rates.efficiency),
        bandwidth=needed(
            of_processor, "memory_bandwidth_bytes_per_second", processor.memory_bandwidth_bytes_per_second
        ),
        launch_seconds=needed(of_processor, "launch_seconds", processor.launch_seconds),
        step_seconds=needed(of_processor, "step_seconds", processor.step_seconds),
    )


def _check(device: DeviceProfile, step: Step, shape: ModelShape) -> None:
    run = step.forward
    if len(run.input_shape) != 1:
        raise UserError(f"workload: input_shape is {run.input_shape}, expected (tokens,) for a {shape.family}")
    if shape.is_decoder and not (shape.heads and shape.vocabulary):
        raise UserError(f"the shape of a {shape.family} has no heads or no vocabulary, which its cost depends on")
    device.tables(run.processor, run.format)
    _check_trained(device, step, shape)
    if step.backward and device.processor(run.processor).forward_only:
        raise UserError(
            f"device profile {device.name}: the processor {run.processor!r} runs forward passes alone, and training "
            f"needs backward passes; accepted: {_others(device)}"
        )


def _check_trained(device: DeviceProfile, step: Step, shape: ModelShape) -> None:
    """Raise a UserError for training that has no rule: of blocks below others, whose gradient has to pass these."""
    backward = step.backward
    if backward is None or not backward.blocks:
        return
    if backward.blocks.stop != shape.blocks or backward.trained.kind == "none":
        first, last = backward.blocks.start, backward.blocks.stop - 1
        raise UserError(
            f"device profile {device.name}: no table or rule for training '{backward.trained.kind}' in blocks {first} "
            f"to {last} of {shape.blocks} of a {shape.family}; accepted: the top blocks, and something trained in them"
        )


def _others(device: DeviceProfile) -> str:
    able = [name for name, each in device.processors.items() if not each.forward_only]
    return ", ".join(able) or "no processor of this board"
