"""The ways in which a processor trains a convolutional network, by name: what is computed, and which techniques are on.

`backpropagation` is floating point with SGD and momentum. `niti` trains in integers, with a new scale for every result.
`mandheling` is the same algorithm with the four techniques on, for a processor that the CPU hands work to;
`mandheling-no-...` is that with one of them off.
"""

from collections.abc import Mapping
from dataclasses import replace

from fedlab.devices.conv_rates import ConvFormat, ConvProcessor
from fedlab.devices.costmodel.techniques import ALL_TECHNIQUES, NO_TECHNIQUES, Techniques
from fedlab.errors import UserError

FLOAT_METHOD, INTEGER_METHOD, OFFLOADED_METHOD = "backpropagation", "niti", "mandheling"
_OFFLOADED: Mapping[str, Techniques] = {
    OFFLOADED_METHOD: ALL_TECHNIQUES,
    "mandheling-no-scheduling": replace(ALL_TECHNIQUES, co_scheduling=False),
    "mandheling-no-rescaling": replace(ALL_TECHNIQUES, adaptive_rescaling=False),
    "mandheling-no-splitting": replace(ALL_TECHNIQUES, batch_splitting=False),
    "mandheling-no-reuse": replace(ALL_TECHNIQUES, subgraph_reuse=False),
}


def methods_of(processor: ConvProcessor, number_format: ConvFormat) -> dict[str, Techniques]:
    """Return the methods by which a processor trains in a format, and the techniques of each; the usual one first."""
    if number_format != "int8":
        return {FLOAT_METHOD: NO_TECHNIQUES}
    if processor.offloading is None:
        return {INTEGER_METHOD: NO_TECHNIQUES}
    return {**_OFFLOADED, INTEGER_METHOD: NO_TECHNIQUES}


def techniques_of(processor: ConvProcessor, number_format: ConvFormat, method: str | None) -> Techniques:
    """Return the techniques of a method; None means the usual one. Raises UserError for one that is not known."""
    methods = methods_of(processor, number_format)
    if method is None:
        return next(iter(methods.values()))
    if method not in methods:
        raise UserError(
            f"no method '{method}' in {number_format} on the processor '{processor.name}', accepted: "
            f"{', '.join(methods)}"
        )
    return methods[method]
