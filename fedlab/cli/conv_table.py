"""What a batch of a convolutional network takes on a board, for `fedlab list devices NAME --backbone NETWORK`."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from fedlab.cli.device_table import MARKS
from fedlab.devices.conv_rates import ConvFormat
from fedlab.devices.costmodel.cnn import BatchPrice, batch_price, check_convolutional
from fedlab.devices.costmodel.conv_methods import methods_of
from fedlab.devices.profile import DeviceProfile
from fedlab.devices.tables import Figure
from fedlab.workload.conv_shape import ConvShape


@dataclass(frozen=True, kw_only=True)
class ConvRow:
    """A training batch on a processor, in a format and by a method."""

    processor: str
    number_format: ConvFormat
    method: str
    price: BatchPrice


def conv_rows(profile: DeviceProfile, shape: ConvShape, batch_size: int) -> list[ConvRow]:
    """Return what a training batch takes on each processor, in each format and by each method of a board.

    Raises UserError if the board has no figures for convolutional networks.
    """
    check_convolutional(profile)
    return [
        ConvRow(processor=processor, number_format=number_format, method=method, price=price)
        for processor, number_format, method in _ways(profile)
        for price in [
            batch_price(profile, shape, batch_size, processor=processor, number_format=number_format, method=method)
        ]
    ]


def _ways(profile: DeviceProfile) -> Iterator[tuple[str, ConvFormat, str]]:
    for name, processor in profile.convolutions.items():
        for number_format in processor.formats:
            for method in methods_of(processor, number_format):
                yield name, number_format, method


def conv_as_json(profile: DeviceProfile, shape: ConvShape, batch_size: int) -> dict[str, Any]:
    """Return the rows as plain values: `batch` has each figure as a number, and how sure it is under `standing`."""
    channels, height, width = shape.input_shape
    return {
        "device": profile.name,
        "description": profile.description,
        "backbone": shape.name,
        "batch_size": batch_size,
        "network": {
            "input_shape": [channels, height, width],
            "labels": shape.labels,
            "multiply_adds": shape.macs,
            "parameters": shape.parameters,
            "convolutions": shape.convolutions,
        },
        "batch": [_row_as_json(row) for row in conv_rows(profile, shape, batch_size)],
    }


def _row_as_json(row: ConvRow) -> dict[str, Any]:
    figures: dict[str, Figure] = {name: getattr(row.price, name) for name in BatchPrice.__dataclass_fields__}
    return {
        "processor": row.processor,
        "format": row.number_format,
        "method": row.method,
        "seconds": figures["seconds"].value,
        "joules": figures["joules"].value,
        "peak_bytes": round(figures["peak_bytes"].value),
        "standing": {name: each.provenance.level for name, each in figures.items()},
        "sources": {name: asdict(each.provenance)["source"] for name, each in figures.items()},
    }


def render_conv(profile: DeviceProfile, shape: ConvShape, batch_size: int) -> RenderableType:
    """Return the rows as a table, each figure marked with how sure it is."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("processor", "format", "method"):
        table.add_column(name, no_wrap=True)
    for name in ("seconds", "joules", "MB"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in conv_rows(profile, shape, batch_size):
        price = row.price
        figures = (_marked(price.seconds), _marked(price.joules), _marked(price.peak_bytes, 1e6))
        table.add_row(row.processor, row.number_format, row.method, *figures)
    images = " x ".join(str(size) for size in shape.input_shape)
    marks = ", ".join(f"{mark} {level}" for level, mark in MARKS.items())
    return Group(
        Text(f"{profile.name}: {profile.description}", style="bold"),
        Text(f"{shape.name}: {shape.macs / 1e6:,.1f} M multiply-adds, {shape.parameters / 1e6:.3g} M parameters"),
        Text(f"a training batch of {batch_size} images of {images}"),
        table,
        Text(f"Seconds, joules and peak memory of a batch; {marks}.", style="dim"),
    )


def _marked(figure: Figure, unit: float = 1.0) -> str:
    return f"{figure.value / unit:.4g} {MARKS[figure.provenance.level]}"
