"""The output of `fedlab list`."""

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rich.console import RenderableType
from rich.table import Table

from fedlab.cli.conv_table import conv_as_json, render_conv
from fedlab.cli.device_table import device_as_json, render_device, shape_from
from fedlab.config import hub_names
from fedlab.config.builtins import AVAILABILITY, BACKBONES, CLIENTS, CODECS, DATASETS, LINKS, STRATEGIES, TRACKERS
from fedlab.config.plugins import load_object
from fedlab.config.ready import about, ready_experiments
from fedlab.devices.profile import built_in_profiles, load_profile
from fedlab.devices.tables import Point
from fedlab.errors import UserError
from fedlab.models.cnn.named import CONVNETS, convnet


def list_names(what: str) -> tuple[RenderableType, dict[str, Any]]:
    """Return the names of a kind, each with a line of description, as a table and as plain values."""
    about = dict(_DESCRIPTIONS[what]())
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for name, line in about.items():
        table.add_row(name, line)
    return table, about


def list_device(name: str, said: Mapping[str, Any]) -> tuple[RenderableType, dict[str, Any]]:
    """Return a board's table: seconds for a batch and peak memory by depth, with provenance.

    `said` are the options that were given of `backbone`, `seq_len`, `batch_size` and `width`. The batch of a
    convolutional network is listed by processor, format and method.

    Raises:
        UserError: the board or backbone does not exist, or an option is not for it.
    """
    profile = load_profile(name, Path())
    backbone = said.get("backbone", _PUBLISHED_BACKBONE)
    if backbone in CONVNETS:
        if other := [key for key in ("seq_len", "width") if key in said]:
            option = f"--{other[0].replace('_', '-')}"
            raise UserError(f"{option}: is for encoders of texts, and {backbone} is a convolutional network")
        network, batch_size = convnet(backbone), said.get("batch_size", Point().batch_size)
        return render_conv(profile, network, batch_size), conv_as_json(profile, network, batch_size)
    sizes = {_POINT_KEYS[key]: value for key, value in said.items() if key in _POINT_KEYS}
    point, shape = Point(**sizes), shape_from(backbone)
    return render_device(profile, backbone, shape, point), device_as_json(profile, backbone, shape, point)


_PUBLISHED_BACKBONE = "bert-base"
_POINT_KEYS = {"seq_len": "sequence_length", "batch_size": "batch_size", "width": "width"}


def _objects(catalogue: dict[str, str]) -> list[tuple[str, str]]:
    return [(name, _first_line(load_object(place, Path()))) for name, place in catalogue.items()]


def _hub_names(known: Mapping[str, hub_names.HubName], variable: str) -> list[tuple[str, str]]:
    """Return what fedlab knows of the hub, each with the place it is read from here."""
    named = []
    for name, each in known.items():
        copy = hub_names.copy_at_hand(name, variable, Path())
        place = "from the hub" if copy is None else f"at hand: {copy}"
        named.append((name, f"{each.about} ({place})"))
    return named


def _trackers() -> list[tuple[str, str]]:
    return [
        (name, f"{line} ({'installed' if find_spec(name) else f'pip install fedlab-edge[{name}]'})")
        for name, line in _objects(dict(TRACKERS))
    ]


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
    "trackers": _trackers,
    "datasets": lambda: [*DATASETS.items(), *_hub_names(hub_names.DATASETS, hub_names.DATA_VARIABLE)],
    "experiments": lambda: [(name, about(path)) for name, path in ready_experiments().items()],
    "backbones": lambda: [*BACKBONES.items(), *_hub_names(hub_names.MODELS, hub_names.MODELS_VARIABLE)],
}
