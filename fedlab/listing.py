"""What `fedlab list` prints."""

from collections.abc import Callable
from pathlib import Path

from rich.console import RenderableType
from rich.table import Table

from fedlab.catalogue import BACKBONES, CLIENTS, DATASETS, LINKS, STRATEGIES
from fedlab.devices import REFERENCE_SHAPES, built_in_profiles, load_profile
from fedlab.errors import UserError
from fedlab.plugins import load_object, nearest
from fedlab.scaling import Cell, describe
from fedlab.units import human_bytes

_FAMILIES = {"bert-base": "bert", "distilbert-base": "distilbert"}


def names_of(what: str) -> RenderableType:
    """Return a table of the names of a kind, with a line about each."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for name, about in _DESCRIPTIONS[what]():
        table.add_row(name, about)
    return table


def describe_device(name: str, backbone: str) -> RenderableType:
    """Return a board's table: seconds a batch and peak memory by depth, and where each figure comes from.

    Raises:
        UserError: no such board or backbone.
    """
    if backbone not in _FAMILIES:
        raise UserError(f"--backbone {backbone}: {nearest(backbone, _FAMILIES)}")
    profile = load_profile(name, Path())
    rows = describe(profile, REFERENCE_SHAPES[_FAMILIES[backbone]])  # type: ignore[index]
    columns = list(rows[-1].cells)
    table = Table(
        title=f"{profile.name}: {profile.description}\n"
        f"{backbone}, batch of 4, 256 tokens, width 32: seconds a batch, peak memory",
        caption=f"{profile.computing_watts:g} W computing ({profile.provenance['computing_watts'].standing}), "
        f"{profile.communicating_watts:g} W communicating ({profile.provenance['communicating_watts'].standing}), "
        f"{human_bytes(profile.memory_bytes)} of memory ({profile.provenance['memory_bytes'].standing})",
    )
    table.add_column("depth", justify="right")
    for column in columns:
        table.add_column(column.replace("_", " "))
    for row in rows:
        table.add_row(str(row.depth), *(_cell(row.cells[column]) for column in columns))
    return table


def _cell(cell: Cell) -> str:
    memory = f"{human_bytes(cell.memory_bytes)} ({cell.memory_standing})"
    return f"{cell.seconds:.4g} s ({cell.seconds_standing}), {memory}"


def _objects(catalogue: dict[str, str]) -> list[tuple[str, str]]:
    return [(name, _first_line(load_object(place, Path()))) for name, place in catalogue.items()]


def _first_line(thing: object) -> str:
    return (thing.__doc__ or "").strip().splitlines()[0]


_DESCRIPTIONS: dict[str, Callable[[], list[tuple[str, str]]]] = {
    "strategies": lambda: [
        *_objects(dict(STRATEGIES)),
        ("flwr.serverapp.strategy:NAME", "Any of Flower's own, such as FedAdam, FedProx, FedYogi."),
    ],
    "clients": lambda: _objects(dict(CLIENTS)),
    "devices": lambda: [(name, load_profile(name, Path()).description) for name in built_in_profiles()],
    "links": lambda: _objects(dict(LINKS)),
    "datasets": lambda: list(DATASETS.items()),
    "backbones": lambda: list(BACKBONES.items()),
}
