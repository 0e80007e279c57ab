"""An estimate as a table for people, and as plain values."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich import box
from rich.console import RenderableType
from rich.table import Table

from fedlab.estimate.slot import Estimate, SegmentEstimate
from fedlab.units import human_bytes, human_joules, human_seconds


def as_plain(estimate: Estimate) -> dict[str, Any]:
    """Return an estimate as JSON holds it."""
    return {**vars(estimate), "by_segment": [asdict(part) for part in estimate.by_segment]}


def render_estimate(estimate: Estimate, title: str) -> RenderableType:
    """Return a table of the segments, with a line for all of them."""
    table = Table(
        title=title,
        title_justify="left",
        caption=f"{estimate.seconds:,.0f} s, {estimate.hours:.2f} h",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        show_footer=len(estimate.by_segment) > 1,
        pad_edge=False,
        collapse_padding=True,
    )
    total = ["all", str(sum(part.rounds for part in estimate.by_segment)), "", "", *_amounts(estimate)]
    names = ("up to", "rounds", "depth", "width", "time", "down", "up", "energy", "memory")
    for name, footer in zip(names, total, strict=True):
        table.add_column(name, footer=footer, justify="right", no_wrap=True)
    for part in estimate.by_segment:
        table.add_row(str(part.last_round), str(part.rounds), str(part.depth), str(part.width), *_amounts(part))
    return table


def _amounts(of: Estimate | SegmentEstimate) -> Sequence[str]:
    return (
        human_seconds(of.seconds),
        human_bytes(of.bytes_down),
        human_bytes(of.bytes_up),
        human_joules(of.joules),
        human_bytes(of.peak_memory_bytes),
    )
