"""What is known of a processor for convolutional networks: rates by number format, on-chip memory, and handing over."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from fedlab.devices.tables import Figure

ConvFormat = Literal["fp32", "fp16", "int8"]  # of weights, activations and gradients


@dataclass(frozen=True, kw_only=True)
class ConvRates:
    """The rates that a processor reaches in one number format, and what it draws.

    Bytes that a layer moves go at the rate of the on-chip memory where its working set fits there, else at that of the
    memory.
    """

    operations_per_second: Figure
    depthwise_operations_per_second: Figure
    on_chip_bytes_per_second: Figure
    memory_bytes_per_second: Figure
    computing_watts: Figure


@dataclass(frozen=True, kw_only=True)
class Offloading:
    """What it costs to hand work from the CPU to another processor.

    `switch_seconds` is each crossing, which flushes caches. A subgraph is prepared before it runs: `prepare_seconds`,
    and its weights at `prepare_bytes_per_second`. Prepared subgraphs are kept within `graph_memory_bytes`.
    """

    switch_seconds: Figure
    prepare_seconds: Figure
    prepare_bytes_per_second: Figure
    graph_memory_bytes: Figure


@dataclass(frozen=True, kw_only=True, eq=False)  # one is equal to itself alone, so that prices can be cached by it
class ConvProcessor:
    """A processor that trains convolutional networks.

    `unfolds`: it makes a matrix of a layer's input, one sample at a time; else it convolves a batch in place.
    `launch_seconds` is what starting an operator takes, `on_chip_bytes` the memory that a working set has to fit, and
    `runtime_bytes` what process and libraries take.
    """

    name: str
    unfolds: bool
    launch_seconds: Figure
    on_chip_bytes: Figure
    runtime_bytes: Figure
    offloading: Offloading | None
    formats: Mapping[ConvFormat, ConvRates]
