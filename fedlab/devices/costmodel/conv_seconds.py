"""The seconds of one operator of a convolutional network on a processor."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from fedlab.devices.conv_rates import ConvFormat, ConvProcessor, ConvRates
from fedlab.devices.costmodel.conv_operators import ELEMENT_BYTES, ConvOperator
from fedlab.devices.costmodel.techniques import Techniques, largest_part, rescaled_bytes, working_set_bytes
from fedlab.devices.tables import Figure

_WRITES_AND_READS = 2  # of a matrix that is made of an input


@dataclass(frozen=True, kw_only=True)
class OperatorPricing:
    """A processor in a number format, and the techniques that are on."""

    processor: ConvProcessor
    rates: ConvRates
    number_format: ConvFormat
    techniques: Techniques

    def seconds(self, operator: ConvOperator, batch_size: int) -> float:
        """Return the seconds of an operator on a batch, in the parts that it is computed in."""
        if operator.fusible and not self.processor.unfolds:
            return 0.0
        part = self.part(operator, batch_size)
        parts = -(-batch_size // part)
        again = (parts - 1) * operator.weights * self._element_bytes  # each part reads the weights
        rates = self.rates
        rate = rates.depthwise_operations_per_second if operator.depthwise else rates.operations_per_second
        computing = batch_size * operator.operations / rate.value
        moving = (self.num_bytes(operator, batch_size) + again) / self._bandwidth(self._fits(operator, part))
        return computing + moving + parts * self.processor.launch_seconds.value

    def part(self, operator: ConvOperator, batch_size: int) -> int:
        """Return the samples that an operator computes at once: the batch where splitting is off or does not help.

        Whether it helps depends on the operator alone. So a larger batch takes more time, and more memory.
        """
        if self.processor.unfolds or not self.techniques.batch_splitting or self._fits(operator, batch_size):
            return batch_size
        part = largest_part(operator, batch_size, self.processor.on_chip_bytes.value, shift_known=self._shift_known)
        return part if part and self._is_faster_in_parts(operator, part) else batch_size

    def num_bytes(self, operator: ConvOperator, batch_size: int) -> float:
        """Return the bytes of traffic of an operator on a batch."""
        fixed = self._element_bytes * operator.fixed_moved + self._result_bytes * operator.fixed_results
        return batch_size * self._sample_bytes(operator) + fixed

    def figures(self, operators: Iterable[ConvOperator]) -> Iterator[Figure]:
        """Yield the figures that the seconds of some operators depend on."""
        rates = self.rates
        yield from (self.processor.launch_seconds, rates.operations_per_second)
        yield from (rates.on_chip_bytes_per_second, rates.memory_bytes_per_second)
        if rates.on_chip_bytes_per_second.value != rates.memory_bytes_per_second.value:
            yield self.processor.on_chip_bytes
        if any(each.depthwise for each in operators):
            yield rates.depthwise_operations_per_second
        if (offloading := self.processor.offloading) is not None:
            yield from vars(offloading).values()

    @property
    def _element_bytes(self) -> int:
        return ELEMENT_BYTES[self.number_format]

    @property
    def _shift_known(self) -> bool:
        return self.techniques.adaptive_rescaling

    @property
    def _result_bytes(self) -> float:
        if self.number_format == "int8":
            return rescaled_bytes(adaptive=self.techniques.adaptive_rescaling)
        return float(self._element_bytes)

    def _sample_bytes(self, operator: ConvOperator) -> float:
        unfolded = _WRITES_AND_READS * operator.unfolded if self.processor.unfolds else 0
        return self._element_bytes * (operator.moved + unfolded) + self._result_bytes * operator.results

    def _bandwidth(self, fits: bool) -> float:
        return (self.rates.on_chip_bytes_per_second if fits else self.rates.memory_bytes_per_second).value

    def _fits(self, operator: ConvOperator, batch_size: int) -> bool:
        """Tell whether the working set of an operator fits the on-chip memory."""
        if self.processor.unfolds:
            sample = operator.read + operator.written + operator.unfolded
            held: float = self._element_bytes * (sample or operator.weights)
        else:
            held = working_set_bytes(operator, batch_size, shift_known=self._shift_known)
        return held <= self.processor.on_chip_bytes.value

    def _is_faster_in_parts(self, operator: ConvOperator, part: int) -> bool:
        """Tell whether a sample takes less time in parts that fit, whose weights are read again, than in one batch."""
        sample, weights = self._sample_bytes(operator), operator.weights * self._element_bytes
        split = (sample + weights / part) / self._bandwidth(True) + self.processor.launch_seconds.value / part
        return split < sample / self._bandwidth(False)
