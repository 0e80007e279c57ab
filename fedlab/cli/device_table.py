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

from fedlab.common.units import human_bytes
from fedlab.config.schema import BackboneTable
from fedlab.devices.costmodel.transformer import compute_seconds, peak_memory_bytes, provenance
from fedlab.devices.profile import DeviceProfile
from fedlab.devices.tables import Point, Provenance, TableName
from fedlab.errors import UserError
from fedlab.models.sizes import read_sizes
from fedlab.workload.shape import ModelShape
from fedlab.workload.workload import Workload

_MARKS = {"measured": "m", "published": "p", "scaled": "~", "assumed": "?"}
_POWERS = {"computing_watts": "computing", "communicating_watts": "communicating", "idle_watts": "idle"}


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


def shape_from(backbone: str) -> ModelShape:
    """Return the shape of an encoder, given as BLOCKSxHIDDENxINTERMEDIATE of a BERT or by its name in an experiment.

    Only `config.json` of a folder or an installed package is read. Raises UserError if the encoder does not exist.
    """
    if sizes := re.fullmatch(r"(\d+)x(\d+)x(\d+)", backbone):
        blocks, hidden, intermediate = map(int, sizes.groups())
        if min(blocks, hidden, intermediate) < 1:
            raise UserError(f"--backbone {backbone}: expected blocks, hidden and intermediate size from 1 up")
        return ModelShape(family="bert", blocks=blocks, hidden=hidden, intermediate=intermediate)
    try:
        return read_sizes(BackboneTable(name=backbone), resolve=lambda text: Path(text).expanduser()).shape
    except UserError as error:
        reason = str(error).removeprefix("backbone.name: ")
        raise UserError(f"--backbone: {reason}; or sizes as in 6x384x1536") from error


def describe(profile: DeviceProfile, shape: ModelShape, point: Point) -> list[DepthRow]:
    """Return the cost of one batch on the board for each depth of an encoder, by each table of the profile."""
    present = [name for name in get_args(TableName) if any(own == name for _, own in profile.latency_seconds)]
    return [
        DepthRow(depth=depth, cells={name: _cell(profile, shape, point, name, depth) for name in present})
        for depth in range(shape.blocks + 1)
    ]


def render_device(profile: DeviceProfile, backbone: str, shape: ModelShape, point: Point) -> RenderableType:
    """Return the board's table, with a mark for the provenance level of each figure and the sources below."""
    rows = describe(profile, shape, point)
    batch = f"batches of {point.batch_size} x {point.sequence_length} tokens, adapters of width {point.width}"
    marks = ", ".join(f"{mark} {level}" for level, mark in _MARKS.items())
    return Group(
        Text(f"{profile.name}: {profile.description}", style="bold"),
        Text(f"{backbone} ({_sizes(shape)}), {batch}"),
        _by_depth(rows),
        Text(
            f"Seconds for a batch and peak memory in GB, by the number of trained top blocks; {marks}.\n", style="dim"
        ),
        _of_board(profile),
        Text(),
        _sources(rows),
    )


def device_as_json(profile: DeviceProfile, backbone: str, shape: ModelShape, point: Point) -> dict[str, Any]:
    """Return the board's table as plain values."""
    return {
        "device": profile.name,
        "description": profile.description,
        "backbone": backbone,
        "shape": asdict(shape),
        **asdict(point),
        **{key: {"value": getattr(profile, key), **asdict(each)} for key, each in profile.provenance.items()},
        "by_depth": [
            {"depth": row.depth, **{name: _cell_as_json(cell) for name, cell in row.cells.items()}}
            for row in describe(profile, shape, point)
        ],
    }


def _cell(profile: DeviceProfile, shape: ModelShape, point: Point, name: TableName, depth: int) -> TableCell:
    workload = Workload(
        method="freeze" if name == "full" else "adapter",
        depth=depth,
        batches=1,
        cached_batches=1 if name == "cached_adapter" else 0,
        num_examples=point.batch_size,
        **asdict(point),
    )
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
    seconds = f"{cell.seconds:.5g} {_MARKS[cell.seconds_provenance.standing]}"
    return seconds, f"{cell.memory_bytes / 1e9:.3g} {_MARKS[cell.memory_provenance.standing]}"


def _of_board(profile: DeviceProfile) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    figures = {"memory_bytes": ("memory", human_bytes(profile.memory_bytes))}
    figures |= {key: (name, f"{getattr(profile, key):g} W") for key, name in _POWERS.items()}
    for key, (name, value) in figures.items():
        known = profile.provenance[key]
        table.add_row(name, value, known.standing, known.source or "no source given")
    return table


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
        table.add_row("\n".join(names), known.standing, known.source or "no source given")
    return table


def _words(name: TableName) -> str:
    return name.replace("_", " ")
