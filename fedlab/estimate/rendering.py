"""An estimate as a table for people, and as plain values."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich import box
from rich.console import RenderableType
from rich.table import Table

from fedlab.common.units import human_bytes, human_joules, human_seconds
from fedlab.estimate.slot import Estimate, SegmentEstimate
from fedlab.results.configuration import axis_names


def as_plain(estimate: Estimate) -> dict[str, Any]:
    """Return an estimate as JSON holds it."""
    return {**vars(estimate), "by_segment": [asdict(part) for part in estimate.by_segment]}


def render_estimate(estimate: Estimate, title: str, *, room_bytes: int) -> RenderableType:
    """Return a table of the segments and of all of them, and a line if a board with so much memory is too small."""
    table = Table(
        title=title,
        title_justify="left",
        caption="\n".join([f"{estimate.seconds:,.0f} s, {estimate.hours:.2f} h", *_too_large(estimate, room_bytes)]),
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        show_footer=len(estimate.by_segment) > 1,
        pad_edge=False,
        collapse_padding=True,
    )
    axes = axis_names(part.configuration for part in estimate.by_segment)
    total = ["all", str(sum(part.rounds for part in estimate.by_segment)), *("" for _ in axes), *_amounts(estimate)]
    names = ("up to", "rounds", *axes, "time", "down", "up", "energy", "memory")
    for name, footer in zip(names, total, strict=True):
        table.add_column(name, footer=footer, justify="right", no_wrap=True)
    for part in estimate.by_segment:
        cells = (str(part.configuration.get(axis, "-")) for axis in axes)
        table.add_row(str(part.last_round), str(part.rounds), *cells, *_amounts(part))
    return table


def _too_large(estimate: Estimate, room_bytes: int) -> Sequence[str]:
    """Say from which round on the client does not fit, which in a simulation drops out of such a round."""
    too_large = [part for part in estimate.by_segment if part.peak_memory_bytes > room_bytes]
    needs, has = human_bytes(estimate.peak_memory_bytes), human_bytes(room_bytes)
    return [f"does not fit from round {part.first_round} on: needs {needs}, has {has}" for part in too_large[:1]]


def _amounts(of: Estimate | SegmentEstimate) -> Sequence[str]:
    return (
        human_seconds(of.seconds),
        human_bytes(of.bytes_down),
        human_bytes(of.bytes_up),
        human_joules(of.joules),
        human_bytes(of.peak_memory_bytes),
    )
