"""The part of a device profile's file that convolutional networks are priced by (`convolutions.PROCESSOR`)."""

from collections.abc import Sequence
from typing import get_args

from pydantic import BaseModel, model_validator

from fedlab.devices.conv_rates import ConvFormat, ConvProcessor, ConvRates, Offloading
from fedlab.devices.figure_entry import STRICT, FigureEntry

_OFFLOADING = ("switch_seconds", "prepare_seconds", "prepare_bytes_per_second", "graph_memory_bytes")
_FIGURES = ("launch_seconds", "on_chip_bytes", "runtime_bytes")


class ConvFormatEntry(BaseModel):
    """The rates of a processor in one number format, for convolutional networks."""

    model_config = STRICT

    operations_per_second: FigureEntry
    depthwise_operations_per_second: FigureEntry
    on_chip_bytes_per_second: FigureEntry
    memory_bytes_per_second: FigureEntry
    computing_watts: FigureEntry

    @model_validator(mode="after")
    def _on_chip_is_faster(self) -> "ConvFormatEntry":
        if self.on_chip_bytes_per_second.value < self.memory_bytes_per_second.value:
            raise ValueError("on_chip_bytes_per_second: is below memory_bytes_per_second, expected at least as much")
        return self

    def rates(self) -> ConvRates:
        """Return the rates as they are used."""
        return ConvRates(**{name: getattr(self, name).figure for name in type(self).model_fields})


class ConvProcessorEntry(BaseModel):
    """A processor, for convolutional networks; with the figures of `Offloading` work is handed to it by the CPU."""

    model_config = STRICT

    unfolds: bool = True
    launch_seconds: FigureEntry
    on_chip_bytes: FigureEntry
    runtime_bytes: FigureEntry
    switch_seconds: FigureEntry | None = None
    prepare_seconds: FigureEntry | None = None
    prepare_bytes_per_second: FigureEntry | None = None
    graph_memory_bytes: FigureEntry | None = None
    fp32: ConvFormatEntry | None = None
    fp16: ConvFormatEntry | None = None
    int8: ConvFormatEntry | None = None

    @model_validator(mode="after")
    def _complete(self) -> "ConvProcessorEntry":
        given = [name for name in _OFFLOADING if getattr(self, name) is not None]
        if given and len(given) < len(_OFFLOADING):
            raise ValueError(f"has {' and '.join(given)}, expected all of {', '.join(_OFFLOADING)}, or none")
        if not self._formats():
            raise ValueError(f"has no format, expected at least one of {', '.join(get_args(ConvFormat))}")
        return self

    def processor(self, name: str) -> ConvProcessor:
        """Return the processor as it is used."""
        offloading = {key: getattr(self, key).figure for key in _OFFLOADING if getattr(self, key) is not None}
        return ConvProcessor(
            name=name,
            unfolds=self.unfolds,
            formats=self._formats(),
            offloading=Offloading(**offloading) if offloading else None,
            **{key: getattr(self, key).figure for key in _FIGURES},
        )

    def _formats(self) -> dict[ConvFormat, ConvRates]:
        found: dict[ConvFormat, ConvFormatEntry | None] = {each: getattr(self, each) for each in get_args(ConvFormat)}
        return {name: entry.rates() for name, entry in found.items() if entry is not None}


def accepted_conv_keys(above: Sequence[str]) -> list[str]:
    """Return the keys that can stand in a place of this part of the file."""
    if len(above) == 2:
        return list(ConvProcessorEntry.model_fields)
    if len(above) == 3 and above[2] in get_args(ConvFormat):
        return list(ConvFormatEntry.model_fields)
    return list(FigureEntry.model_fields)
