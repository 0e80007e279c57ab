"""An estimate by FwdLLM's cost model as a table for people, and as plain values."""

from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from fedlab.common.units import human_seconds
from fedlab.devices.profile import load_profile
from fedlab.estimate.fwdllm.bill import FwdllmSlot, RoundsEstimate
from fedlab.estimate.rendering import as_plain, render_estimate


def plain_rounds(found: RoundsEstimate) -> dict[str, Any]:
    """Return an estimate as JSON holds it: the keys of every estimate, and what this cost model has besides."""
    others = {key: value for key, value in vars(found).items() if key != "estimate"}
    return {**as_plain(found.estimate), **others, "notes": list(found.notes)}


def render_rounds(found: RoundsEstimate, slot: FwdllmSlot) -> RenderableType:
    """Return the table of an estimate, and below it what its seconds are made of and what is not published."""
    room = load_profile(slot.device, Path()).memory_bytes
    made = (
        f"{found.parameters:,} parameters, {found.evaluations:,} evaluations; computing "
        f"{human_seconds(found.compute_seconds)}, transfers of all rounds {human_seconds(found.transfer_seconds)}"
    )
    told = [f"provenance of the seconds: {found.provenance}", *found.notes]
    return Group(
        render_estimate(found.estimate, str(slot), room_bytes=room), Text(made), *(Text(note) for note in told)
    )
