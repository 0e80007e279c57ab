"""The output of `fedlab list`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import RenderableType
from rich.table import Table

from fedlab.cli.device_table import device_as_json, render_device, shape_from
from fedlab.config.builtins import AVAILABILITY, BACKBONES, CLIENTS, CODECS, DATASETS, LINKS, STRATEGIES
from fedlab.config.plugins import load_object
from fedlab.devices.profile import built_in_profiles, load_profile
from fedlab.devices.tables import Point


def list_names(what: str) -> tuple[RenderableType, dict[str, Any]]:
    """Return the names of a kind, each with a line of description, as a table and as plain values."""
    about = dict(_DESCRIPTIONS[what]())
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for name, line in about.items():
        table.add_row(name, line)
    return table, about


def list_device(
    name: str, backbone: str, *, seq_len: int, batch_size: int, width: int
) -> tuple[RenderableType, dict[str, Any]]:
    """Return a board's table: seconds for a batch and peak memory by depth, with provenance.

    Raises:
        UserError: the board or backbone does not exist.
    """
    profile, shape = load_profile(name, Path()), shape_from(backbone)
    point = Point(batch_size=batch_size, sequence_length=seq_len, width=width)
    return render_device(profile, backbone, shape, point), device_as_json(profile, backbone, shape, point)


def _objects(catalogue: dict[str, str]) -> list[tuple[str, str]]:
    return [(name, _first_line(load_object(place, Path()))) for name, place in catalogue.items()]


def _first_line(thing: object) -> str:
    return (thing.__doc__ or "").strip().splitlines()[0]


_DESCRIPTIONS: dict[str, Callable[[], list[tuple[str, str]]]] = {
    "strategies": lambda: [
        *_objects(dict(STRATEGIES)),
        ("flwr.serverapp.strategy:NAME", "Any strategy of Flower, such as FedAdam, FedProx, FedYogi."),
    ],
    "clients": lambda: _objects(dict(CLIENTS)),
    "devices": lambda: [(name, load_profile(name, Path()).description) for name in built_in_profiles()],
    "links": lambda: _objects(dict(LINKS)),
    "codecs": lambda: _objects(dict(CODECS)),
    "availability": lambda: _objects(dict(AVAILABILITY)),
    "datasets": lambda: list(DATASETS.items()),
    "backbones": lambda: list(BACKBONES.items()),
}
