"""What a batch of a convolutional network needs of a board: its operators, priced by the figures of a processor.

An operator takes the time of its operations, at the rate of the number format, and the time of the bytes that it moves:
at the rate of the on-chip memory where its working set fits there, else at that of the memory. Both are added, since
these kernels unfold, multiply and rescale one after the other. Starting an operator takes `launch_seconds`.

A processor that unfolds works sample by sample, so that its working set is that of one sample. The other kind holds the
part of the batch that it computes, its weights included. Work that the CPU hands to another processor also takes
switches and the preparation of subgraphs, and the CPU does what the other one cannot
(`fedlab.devices.costmodel.techniques`). Energy is the seconds at the power of the processor; that of a processor which
work is handed to was published with the CPU's share in it.

There is no rule for training some of the layers, for images of another size than the network's, or for formats and
processors that a profile has no figures for: these are errors.
"""

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fedlab.devices.conv_rates import ConvFormat, ConvProcessor, ConvRates
from fedlab.devices.costmodel.conv_memory import float_peak_bytes, integer_peak_bytes
from fedlab.devices.costmodel.conv_methods import techniques_of
from fedlab.devices.costmodel.conv_operators import ELEMENT_BYTES, ConvOperator, conv_operators
from fedlab.devices.costmodel.conv_schedule import HandOver
from fedlab.devices.costmodel.conv_seconds import OperatorPricing
from fedlab.devices.profile import DeviceProfile
from fedlab.devices.tables import Figure, Provenance, least_sure
from fedlab.errors import UserError
from fedlab.workload.conv_shape import ConvShape
from fedlab.workload.passes import DEFAULT_PROCESSOR, Pass
from fedlab.workload.workload import Step


@dataclass(frozen=True, kw_only=True)
class BatchPrice:
    """What one batch takes."""

    seconds: Figure
    joules: Figure
    peak_bytes: Figure


class CnnCosts:
    """The cost model of convolutional networks (`fedlab.devices.costmodel.base.CostModel`)."""

    def seconds(self, device: DeviceProfile, step: Step, shape: ConvShape) -> Figure:
        """Return the seconds of a step's batches; raises UserError where the profile lacks a figure, or a rule does."""
        found = _price_of(device, step, shape).seconds
        return Figure(value=step.count * found.value, provenance=found.provenance)

    def computing_watts(self, device: DeviceProfile, step: Step, shape: ConvShape) -> Figure:
        """Return the mean power of a step; raises UserError as `seconds` does."""
        found = _price_of(device, step, shape)
        return Figure(value=found.joules.value / found.seconds.value, provenance=found.joules.provenance)

    def peak_bytes(self, device: DeviceProfile, step: Step, shape: ConvShape) -> Figure:
        """Return the peak memory of a step; raises UserError as `seconds` does."""
        return _price_of(device, step, shape).peak_bytes


def batch_price(
    device: DeviceProfile,
    shape: ConvShape,
    batch_size: int,
    *,
    processor: str = DEFAULT_PROCESSOR,
    number_format: ConvFormat = "fp32",
    method: str | None = None,
    training: bool = True,
) -> BatchPrice:
    """Return what a batch takes on a processor, in a format and by a method (`fedlab.devices.costmodel.conv_methods`).

    Raises UserError for a processor, a format or a method that the profile has no figures for.
    """
    used = conv_processor(device, processor)
    pricing = _pricing(device, used, number_format, method)
    if used.offloading is None:
        return _alone(pricing, shape, batch_size, training=training)
    cpu = next(iter(device.convolutions.values()))
    return _offloaded(_hand_over(pricing, _pricing(device, cpu, number_format, None), shape, training), batch_size)


def check_convolutional(device: DeviceProfile) -> None:
    """Raise a UserError if a board has no figures for convolutional networks."""
    if not device.convolutions:
        raise UserError(
            f"device profile {device.name}: has no figures for convolutional networks (convolutions.PROCESSOR); among "
            "the built-in boards the phones with a Snapdragon 750G, 855, 865 or 888 have them"
        )


def conv_processor(device: DeviceProfile, name: str) -> ConvProcessor:
    """Return a board's processor for convolutional networks. Raises UserError if it has no figures for them."""
    check_convolutional(device)
    known = device.convolutions
    if name == DEFAULT_PROCESSOR:
        return next(iter(known.values()))
    if name not in known:
        raise UserError(
            f"device profile {device.name}: no figures for convolutional networks on the processor {name!r}, "
            f"accepted: {', '.join(known)}"
        )
    return known[name]


def _rates(device: DeviceProfile, processor: ConvProcessor, number_format: ConvFormat) -> ConvRates:
    if number_format not in processor.formats:
        raise UserError(
            f"device profile {device.name}: the processor {processor.name!r} does not train convolutional networks in "
            f"{number_format}, accepted: {', '.join(processor.formats)}"
        )
    return processor.formats[number_format]


def _pricing(
    device: DeviceProfile, processor: ConvProcessor, number_format: ConvFormat, method: str | None
) -> OperatorPricing:
    rates = _rates(device, processor, number_format)
    techniques = techniques_of(processor, number_format, method)
    return OperatorPricing(processor=processor, rates=rates, number_format=number_format, techniques=techniques)


@functools.lru_cache(maxsize=256)  # the clients of a round do mostly the same, and placements take a while to find
def _hand_over(pricing: OperatorPricing, host: OperatorPricing, shape: ConvShape, training: bool) -> HandOver:
    return HandOver(pricing=pricing, host=host, shape=shape, training=training)


def _alone(pricing: OperatorPricing, shape: ConvShape, batch_size: int, *, training: bool) -> BatchPrice:
    """Return the price of a batch that one processor computes as a whole."""
    number_format = pricing.number_format
    operators = conv_operators(shape, number_format, training=training)
    seconds = sum(pricing.seconds(each, batch_size) for each in operators)
    if number_format == "int8":
        parts = [batch_size] * len(operators)
        peak = integer_peak_bytes(shape, operators, parts, batch_size, prepared_bytes=0.0)
    else:
        peak = float_peak_bytes(shape, batch_size, number_format, training=training)
    return _price(seconds, seconds * pricing.rates.computing_watts.value, peak, [pricing], operators)


def _offloaded(work: HandOver, batch_size: int) -> BatchPrice:
    both = (work.pricing, work.host)
    found = work.batch(batch_size)
    joules = found.seconds * work.pricing.rates.computing_watts.value
    peak = integer_peak_bytes(work.shape, found.operators, found.parts, batch_size, prepared_bytes=found.prepared_bytes)
    return _price(found.seconds, joules, peak, both, work.operators)


def _price(
    seconds: float, joules: float, peak: float, pricings: Sequence[OperatorPricing], operators: Sequence[ConvOperator]
) -> BatchPrice:
    """Return a price; its figures are as sure as the least sure of those that they were computed from."""
    timed = [figure for each in pricings for figure in each.figures(operators)]
    watts, runtime = pricings[0].rates.computing_watts, pricings[0].processor.runtime_bytes
    return BatchPrice(
        seconds=_figure(seconds, timed, "operations and bytes of its operators"),
        joules=_figure(joules, [*timed, watts], "its seconds at the power of the processor"),
        peak_bytes=_figure(peak + runtime.value, [runtime], "weights, activations and working memory"),
    )


def _figure(value: float, of: Iterable[Figure], words: str) -> Figure:
    level = least_sure("scaled", *(each.provenance.level for each in of))
    return Figure(value=value, provenance=Provenance(level=level, source=f"from its parts: {words}"))


def _price_of(device: DeviceProfile, step: Step, shape: ConvShape) -> BatchPrice:
    run = step.forward
    _check(device, step, shape)
    assert run.format in ELEMENT_BYTES, "it was checked"
    return batch_price(
        device, shape, run.batch_size, processor=run.processor, number_format=run.format,
        training=step.backward is not None,
    )  # fmt: skip


def _check(device: DeviceProfile, step: Step, shape: ConvShape) -> None:
    run, backward = step.forward, step.backward
    if run.input_shape != shape.input_shape:
        raise UserError(f"workload: input_shape is {run.input_shape}, expected {shape.input_shape}: {shape.name}'s")
    if run.format not in ELEMENT_BYTES:
        raise UserError(
            f"device profile {device.name}: no rule for a convolutional network in {run.format}, accepted: "
            f"{', '.join(ELEMENT_BYTES)}"
        )
    whole = run.blocks == range(shape.blocks) and not run.cached
    if not whole or (backward is not None and not _trains_all(backward, shape)):
        raise UserError(
            f"device profile {device.name}: no rule for a part of the layers of {shape.name}, or for what is added to "
            "them; accepted: a whole forward pass, and training all weights"
        )


def _trains_all(backward: Pass, shape: ConvShape) -> bool:
    return backward.trained.kind == "whole" and backward.blocks == range(shape.blocks) and not backward.checkpointing
