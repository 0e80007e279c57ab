"""The table of a board, for `fedlab list devices NAME`: the cost of a batch by depth, with provenance."""

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from fedlab.common.short_text import short, shortened
from fedlab.common.units import human_bytes
from fedlab.config.schema import BackboneTable
from fedlab.devices.costmodel.base import compute_seconds, peak_memory_bytes, provenance
from fedlab.devices.filled_tables import TablePlace
from fedlab.devices.profile import DeviceProfile, Processor
from fedlab.devices.tables import Point, Provenance, TableName
from fedlab.errors import UserError
from fedlab.models.sizes import read_sizes
from fedlab.workload.passes import WHOLE, bottleneck
from fedlab.workload.shape import ModelShape
from fedlab.workload.workload import Workload, training_passes

MARKS = {"measured": "m", "published": "p", "scaled": "~", "assumed": "?"}
_MAIN = TablePlace()  # the processor and format whose table is shown first


@dataclass(frozen=True, kw_only=True)
class TableCell:
    """The cost of one batch on a board, and the provenance of both figures."""

    seconds: float
    memory_bytes: int
    seconds_provenance: Provenance
    memory_provenance: Provenance


@dataclass(frozen=True, kw_only=True)
class DepthRow:
    """The cost of one batch at a depth, by each table of the profile."""

    depth: int
    cells: Mapping[TableName, TableCell]


_MOST_SIZES = {"blocks": 1000, "hidden size": 65_536, "intermediate size": 1_048_576}


def shape_from(backbone: str) -> ModelShape:
    """Return the shape of an encoder, given as BLOCKSxHIDDENxINTERMEDIATE of a BERT or by its name in an experiment.

    Only `config.json` of a folder or an installed package is read. Raises UserError if the encoder does not exist.
    """
    if sizes := re.fullmatch(r"(\d{1,30})x(\d{1,30})x(\d{1,30})", backbone, re.ASCII):
        blocks, hidden, intermediate = map(int, sizes.groups())
        for size, (name, most) in zip((blocks, hidden, intermediate), _MOST_SIZES.items(), strict=True):
            if not 1 <= size <= most:
                raise UserError(f"--backbone {shortened(backbone)}: {name} is {short(size)}, expected 1 to {most}")
        return ModelShape(family="bert", blocks=blocks, hidden=hidden, intermediate=intermediate)
    try:
        return read_sizes(BackboneTable(name=backbone), resolve=lambda text: Path(text).expanduser()).shape
    except UserError as error:
        reason = str(error).removeprefix("backbone.name: ")
        raise UserError(f"--backbone: {reason}; or sizes as in 6x384x1536") from error


def describe(profile: DeviceProfile, shape: ModelShape, point: Point, place: TablePlace = _MAIN) -> list[DepthRow]:
    """List, for each depth of a model, what one batch takes by the tables that a processor has in a format.

    A processor without tables has rates, by which all can be priced.
    """
    tables = profile.tables(place.processor, place.format).latency_seconds
    present = [name for name in get_args(TableName) if not tables or any(own == name for _, own in tables)]
    return [
        DepthRow(depth=depth, cells={name: _cell(profile, shape, point, place, name, depth) for name in present})
        for depth in range(shape.blocks + 1)
    ]


def places_of(profile: DeviceProfile) -> list[TablePlace]:
    """Return the processors and formats that training can be priced on, by tables of latency or by rates."""
    return [
        TablePlace(processor=name, format=number_format)
        for name, processor in profile.processors.items()
        for number_format, tables in processor.formats.items()
        if tables.latency_seconds or (tables.peak_operations_per_second and not processor.forward_only)
    ]


def _shown(profile: DeviceProfile) -> list[TablePlace]:
    """Return the places whose figures are shown: those with tables, or the main one of a board that has rates alone."""
    places = places_of(profile)
    return [each for each in places if profile.tables(each.processor, each.format).latency_seconds] or places[:1]


def render_device(profile: DeviceProfile, backbone: str, shape: ModelShape, point: Point) -> RenderableType:
    """Return a board's tables, each figure marked with its provenance, and the sources below them."""
    by_place = {place: describe(profile, shape, point, place) for place in _shown(profile)}
    batch = f"batches of {point.batch_size} x {point.sequence_length} tokens, adapters of width {point.width}"
    marks = ", ".join(f"{mark} {level}" for level, mark in MARKS.items())
    return Group(
        Text(f"{profile.name}: {profile.description}", style="bold"),
        Text(f"{backbone} ({_sizes(shape)}), {batch}"),
        *_listed({place: _by_depth(rows) for place, rows in by_place.items()}),
        Text(f"Seconds a batch and peak memory in GB, by the number of top blocks trained; {marks}.\n", style="dim"),
        _of_board(profile),
        Text(),
        *_listed({place: _sources(rows) for place, rows in by_place.items()}),
    )


def device_as_json(profile: DeviceProfile, backbone: str, shape: ModelShape, point: Point) -> dict[str, Any]:
    """Return a board's tables as plain values; `by_depth` is of the processor `default` in fp32."""
    default = profile.processor()
    watts = {"value": default.computing_watts, **asdict(default.watts_provenance)}
    figures = {key: {"value": getattr(profile, key), **asdict(each)} for key, each in profile.provenance.items()}
    return {
        "device": profile.name,
        "description": profile.description,
        "backbone": backbone,
        "shape": asdict(shape),
        **asdict(point),
        **figures,
        "computing_watts": watts,
        "by_depth": _rows_as_json(profile, shape, point, _MAIN),
        "processors": {name: _processor_as_json(profile, name, shape, point) for name in profile.processors},
    }


def _processor_as_json(profile: DeviceProfile, name: str, shape: ModelShape, point: Point) -> dict[str, Any]:
    processor = profile.processors[name]
    bandwidth = processor.memory_bandwidth_bytes_per_second
    places = [place for place in places_of(profile) if place.processor == name]
    return {
        "computing_watts": {"value": processor.computing_watts, **asdict(processor.watts_provenance)},
        "memory_bandwidth_bytes_per_second": None if bandwidth is None else bandwidth.value,
        "formats": {place.format: _rows_as_json(profile, shape, point, place) for place in places},
    }


def _rows_as_json(profile: DeviceProfile, shape: ModelShape, point: Point, place: TablePlace) -> list[dict[str, Any]]:
    return [
        {"depth": row.depth, **{name: _cell_as_json(cell) for name, cell in row.cells.items()}}
        for row in describe(profile, shape, point, place)
    ]


def _listed(tables: Mapping[TablePlace, Table]) -> list[RenderableType]:
    """Return tables below their headings; that of the default processor in fp32 needs none."""
    found: list[RenderableType] = []
    for place, table in tables.items():
        if place != _MAIN:
            found.append(Text(f"\nprocessor {place.processor}, {place.format}", style="bold"))
        found.append(table)
    return found


def _cell(
    profile: DeviceProfile, shape: ModelShape, point: Point, place: TablePlace, name: TableName, depth: int
) -> TableCell:
    passes = training_passes(
        batches=1,
        cached_batches=1 if name == "cached_adapter" else 0,
        batch_size=point.batch_size,
        input_shape=(point.sequence_length,),
        model_blocks=shape.blocks,
        depth=depth,
        trained=WHOLE if name == "full" else bottleneck(point.width),
        format=place.format,
        processor=place.processor,
    )
    workload = Workload(passes=passes, num_examples=point.batch_size)
    return TableCell(
        seconds=compute_seconds(profile, workload, shape),
        memory_bytes=peak_memory_bytes(profile, workload, shape),
        seconds_provenance=provenance(profile, workload, shape, "latency_seconds"),
        memory_provenance=provenance(profile, workload, shape, "peak_memory_bytes"),
    )


def _cell_as_json(cell: TableCell) -> dict[str, Any]:
    return {
        "latency_seconds": {"value": cell.seconds, **asdict(cell.seconds_provenance)},
        "peak_memory_bytes": {"value": cell.memory_bytes, **asdict(cell.memory_provenance)},
    }


def _sizes(shape: ModelShape) -> str:
    return f"{shape.family}, {shape.blocks} blocks of {shape.hidden} x {shape.intermediate}"


def _by_depth(rows: list[DepthRow]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("\ndepth", justify="right", no_wrap=True)
    for name in rows[0].cells:
        table.add_column(f"{_words(name)}\nseconds", justify="right", no_wrap=True)
        table.add_column("\nGB", justify="right", no_wrap=True)
    for row in rows:
        table.add_row(str(row.depth), *(text for cell in row.cells.values() for text in _figures(cell)))
    return table


def _figures(cell: TableCell) -> tuple[str, str]:
    seconds = f"{cell.seconds:.5g} {MARKS[cell.seconds_provenance.level]}"
    return seconds, f"{cell.memory_bytes / 1e9:.3g} {MARKS[cell.memory_provenance.level]}"


def _of_board(profile: DeviceProfile) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    known = profile.provenance
    _add_figure(table, "memory", human_bytes(profile.memory_bytes), known["memory_bytes"])
    for name, processor in profile.processors.items():
        words = "computing" if len(profile.processors) == 1 else f"computing, {name}"
        _add_figure(table, words, f"{processor.computing_watts:g} W", processor.watts_provenance)
        _add_rates(table, name, processor)
    _add_figure(table, "communicating", f"{profile.communicating_watts:g} W", known["communicating_watts"])
    _add_figure(table, "idle", f"{profile.idle_watts:g} W", known["idle_watts"])
    return table


def _add_rates(table: Table, name: str, processor: Processor) -> None:
    """Add the rates of a processor: bandwidth, and for each format the peak with the share of it that is reached."""
    if bandwidth := processor.memory_bandwidth_bytes_per_second:
        _add_figure(table, f"bandwidth, {name}", f"{human_bytes(bandwidth.value)}/s", bandwidth.provenance)
    for number_format, known in processor.formats.items():
        if (peak := known.peak_operations_per_second) and (share := known.efficiency):
            _add_figure(table, f"peak, {name} {number_format}", f"{peak.value:.4g}/s", peak.provenance)
            _add_figure(table, f"efficiency, {name} {number_format}", f"{share.value:.3g}", share.provenance)


def _add_figure(table: Table, name: str, value: str, known: Provenance) -> None:
    table.add_row(name, value, known.level, known.source or "no source given")


def _sources(rows: list[DepthRow]) -> Table:
    """Return the provenance of the columns, each source once, with depths if a column has several."""
    columns: dict[Provenance, list[str]] = defaultdict(list)
    for name in rows[0].cells:
        for quantity in ("seconds", "memory"):
            depths: dict[Provenance, list[int]] = defaultdict(list)
            for row in rows:
                depths[getattr(row.cells[name], f"{quantity}_provenance")].append(row.depth)
            for known, found in depths.items():
                part = f" at depth {found[0]}" + (f" to {found[-1]}" if len(found) > 1 else "")
                columns[known].append(f"{_words(name)}, {quantity}{part if len(depths) > 1 else ''}")
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for known, names in columns.items():
        table.add_row("\n".join(names), known.level, known.source or "no source given")
    return table


def _words(name: TableName) -> str:
    return name.replace("_", " ")
