"""What is known of the boards of a run: memory and powers, each with its provenance, from their profiles."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedlab.common.units import human_bytes
from fedlab.devices.profile import DeviceProfile, load_profile
from fedlab.devices.tables import Provenance
from fedlab.errors import UserError

_THROUGHPUT = " x"  # between a board's name and its relative throughput, as in `jetson-tx2 x0.45`
_UNKNOWN = Provenance(level="assumed", source="")


@dataclass(frozen=True, kw_only=True)
class BoardFigure:
    """A figure of a board in words, and where it comes from."""

    name: str
    value: str
    level: str
    source: str


@dataclass(frozen=True, kw_only=True)
class BoardFacts:
    """What a profile says of a board; `enforced` if work that exceeds its memory drops out."""

    name: str
    description: str
    memory_bytes: int
    communicating_watts: float
    enforced: bool
    figures: tuple[BoardFigure, ...]


def board_of(device: str) -> str:
    """Return a client's board by the device that its records name: without its throughput."""
    name, throughput, factor = device.rpartition(_THROUGHPUT)
    return name if throughput and factor.replace(".", "", 1).replace("e-", "", 1).isdigit() else device


def board_facts(devices: Iterable[str], experiment: Mapping[str, Any]) -> dict[str, BoardFacts | str]:
    """Return the facts of each board, or why they are not known: a profile that is not here, or no profile."""
    base = Path(str(experiment.get("base_folder", ".")))
    fleet = experiment.get("fleet", {})
    enforced = bool(fleet.get("memory_limit", True))
    return {name: _facts(name, base, enforced) for name in dict.fromkeys(map(board_of, devices))}


def _facts(name: str, base: Path, enforced: bool) -> BoardFacts | str:
    try:
        profile = load_profile(name, base)
    except (UserError, OSError):
        return f"no device profile of {name} is at hand"
    return BoardFacts(
        name=name,
        description=profile.description,
        memory_bytes=profile.memory_bytes,
        communicating_watts=profile.communicating_watts,
        enforced=enforced,
        figures=tuple(_figures(profile)),
    )


def _figures(profile: DeviceProfile) -> list[BoardFigure]:
    board = {
        "memory_bytes": ("memory", human_bytes(profile.memory_bytes)),
        "communicating_watts": ("power, communicating", f"{profile.communicating_watts:g} W"),
        "idle_watts": ("power, waiting", f"{profile.idle_watts:g} W"),
    }
    figures = [_figure(name, said, profile.provenance.get(key, _UNKNOWN)) for key, (name, said) in board.items()]
    computing = [
        _figure(f"power, computing ({each.name})", f"{each.computing_watts:g} W", each.watts_provenance)
        for each in profile.processors.values()
    ]
    return [*figures, *computing, *_latencies(profile)]


def _latencies(profile: DeviceProfile) -> list[BoardFigure]:
    """Return where the seconds of a batch come from: the tables, and the rates of processors."""
    found = [
        _figure(f"seconds of a batch ({family}, {table})", "table by depth", known.provenance)
        for each in profile.processors.values()
        for tables in each.formats.values()
        for (family, table), known in tables.latency_seconds.items()
    ]
    rates = [
        _figure(f"rate ({each.name}, {name})", f"{rate.value:.3g} operations/s", rate.provenance)
        for each in profile.processors.values()
        for name, tables in each.formats.items()
        if (rate := tables.peak_operations_per_second) is not None
    ]
    return found + rates


def _figure(name: str, value: str, provenance: Provenance) -> BoardFigure:
    return BoardFigure(name=name, value=value, level=provenance.level, source=provenance.source)
