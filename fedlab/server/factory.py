"""Constructing what an experiment names: strategy, client, codecs, link, availability and physics."""

import inspect
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from flwr.app import Context
from flwr.clientapp import ClientApp
from flwr.serverapp.strategy import FedXgbBagging, Strategy

from fedlab.billing.simulated import SimulatedPhysics
from fedlab.codecs.spec import Coding, build_pipeline, name_of
from fedlab.codecs.transport.client import with_codecs
from fedlab.codecs.transport.reference import reference_arrays
from fedlab.common.arrays import Arrays
from fedlab.common.units import parse_bandwidth
from fedlab.config.builtins import AVAILABILITY, CLIENTS, STRATEGIES, TRAINABLE_SETS
from fedlab.config.plugins import call_with_options, check_options, resolve, with_known
from fedlab.config.schema import Experiment
from fedlab.devices.fleet import Fleet, build_fleet
from fedlab.errors import UserError
from fedlab.messages.codec_terms import CodecTerms
from fedlab.messages.flower_private import quiet
from fedlab.messages.pack import TRAIN_LOSS
from fedlab.models.peft.base import SET, TrainableSet, from_configuration
from fedlab.network.availability import Availability, GuardedAvailability
from fedlab.network.links import Link, make_link
from fedlab.server.context import searches
from fedlab.server.flower_options import check_flower_options
from fedlab.training.workbench import open_workbench
from fedlab.workload.shape import AnyShape
from fedlab.workload.workload import Configuration


def load_strategy(experiment: Experiment) -> Strategy:
    """Make the strategy an experiment names.

    Raises:
        UserError: there is no such strategy, it does not take the options, or it is not for models.
    """
    quiet()  # Flower's own strategies log from their constructor on
    table = experiment.strategy
    return _strategy(table.name, table.options, "strategy", Path(experiment.base_folder))


def _strategy(name: str, options: Mapping[str, Any], place: str, base: Path) -> Strategy:
    """Make a strategy; one around another has that as its option `strategy`, a name or a table of name and options."""
    found = resolve(name, STRATEGIES, base)
    # By Flower's default it would look for the loss under a name that no client of ours reports.
    options = with_known(found, options, train_loss_key=TRAIN_LOSS)
    if "strategy" in options and _takes_strategy(found):
        inner = f"{place}.options.strategy"
        options["strategy"] = wrapped = _strategy(*_named(options["strategy"], inner), inner, base)
        if searches(wrapped):
            raise UserError(f"{inner}: a strategy that searches by trials cannot be within another")
    check_options(found, options, f"{place}.options")
    check_flower_options(found, options, f"{place}.options")
    strategy = call_with_options(found, options, f"{place}.options")
    if not isinstance(strategy, Strategy):
        raise UserError(f"{place}.name = '{name}': does not subclass flwr.serverapp.strategy.Strategy")
    if isinstance(strategy, FedXgbBagging):
        raise UserError(f"{place}.name = '{name}': adds up trees of XGBoost, and clients here train named arrays")
    return strategy


def _takes_strategy(found: Callable[..., Any]) -> bool:
    """Tell whether the option `strategy` of a class is another strategy, as of Flower's for differential privacy."""
    parameter = inspect.signature(found).parameters.get("strategy") if callable(found) else None
    return parameter is not None and parameter.annotation in (Strategy, Strategy.__name__)


def _named(said: object, place: str) -> tuple[str, Mapping[str, Any]]:
    """Return the name and the options that an experiment gives of an inner strategy."""
    table = {"name": said} if isinstance(said, str) else said
    if not isinstance(table, Mapping) or not isinstance(table.get("name"), str) or set(table) - {"name", "options"}:
        raise UserError(f"{place} = {said!r}: expected a name, or a table of name and options")
    options = table.get("options", {})
    if not isinstance(options, Mapping):
        raise UserError(f"{place}.options = {options!r}: expected a table")
    return table["name"], options


def load_client(
    name: str, options: Mapping[str, Any], base: Path, codecs: Collection[str] = (), sets: Collection[str] = ()
) -> ClientApp:
    """Make the ClientApp a name stands for: the object itself, or what a factory makes of the options.

    It is wrapped so that it reads and answers orders that are encoded, by built-in codecs or by these. A factory that
    takes `sets` and `base_folder` is told of these trainable sets, which orders may name besides the built-in ones.

    Raises:
        UserError: there is no such client, or it does not take the options.
    """
    found = resolve(name, CLIENTS, base)
    if isinstance(found, ClientApp):
        client = found
    else:
        known = with_known(found, options, sets=tuple(sets), base_folder=str(base))
        client = call_with_options(found, known, "client.options")
    if not isinstance(client, ClientApp):
        raise UserError(f"client.name = '{name}': is not a flwr.clientapp.ClientApp")
    return with_codecs(client, reference=reference_of_node, base=base, trusted=codecs)


def load_set(experiment: Experiment) -> TrainableSet:
    """Make the trainable set that an experiment begins with.

    `client.depth` and `client.width` are its axes where it has such axes, `client.axes` are its others.

    Raises:
        UserError: there is no such set, or it does not take the axes.
    """
    client = experiment.client
    found = resolve(client.trained, TRAINABLE_SETS, Path(experiment.base_folder))
    axes = with_known(found, client.axes, depth=client.depth, width=client.width)
    return set_named(experiment, {SET: client.trained, **axes})


def set_named(experiment: Experiment, configuration: Configuration) -> TrainableSet:
    """Make the trainable set of a configuration, which is built in or the experiment's own.

    Raises:
        UserError: it is neither, or does not take the axes.
    """
    base = Path(experiment.base_folder)
    return from_configuration(configuration, base=base, trusted=set_names(experiment))


def set_names(experiment: Experiment) -> list[str]:
    """Return the names of an experiment's trainable sets, which its clients accept in orders."""
    return [experiment.client.trained]


def load_coding(experiment: Experiment) -> Coding | None:
    """Make the codecs an experiment names, None if it names none.

    Raises:
        UserError: a codec does not exist, does not take its options or stands where it cannot.
    """
    table, base = experiment.codec, Path(experiment.base_folder)
    if not (table.up or table.down):
        return None
    up, down = build_pipeline(table.up, "codec.up", base), build_pipeline(table.down, "codec.down", base)
    build_pipeline(table.memory, "codec.memory", base)
    feeds_back = not up.lossless if table.error_feedback is None else table.error_feedback
    memory = tuple(table.memory) if feeds_back else None
    terms = CodecTerms(up=tuple(table.up), down=tuple(table.down), memory=memory, seed=experiment.seed)
    return Coding(terms=terms, up=up, down=down)


def codec_names(experiment: Experiment) -> list[str]:
    """Return the names of all codecs of an experiment, which its clients accept in orders."""
    return [
        name_of(spec)
        for specs in (experiment.codec.up, experiment.codec.down, experiment.codec.memory)
        for spec in specs
    ]


def load_link(experiment: Experiment) -> Link:
    """Make the link an experiment names.

    Raises:
        UserError: there is no such link, or it does not take the options.
    """
    link = experiment.link
    return make_link(link.name, link.options, seed=experiment.seed, base_folder=experiment.base_folder)


def load_availability(experiment: Experiment) -> Availability:
    """Make what says when clients are there; `seed` and `base_folder` are filled in as for links.

    Raises:
        UserError: there is no such availability, or it does not take the options.
    """
    table, base_folder = experiment.availability, experiment.base_folder
    found = resolve(table.name, AVAILABILITY, Path(base_folder))
    options = with_known(found, table.options, seed=experiment.seed, base_folder=base_folder)
    availability, place = (
        call_with_options(found, options, "availability.options"),
        f"availability.name = '{table.name}'",
    )
    if not isinstance(availability, Availability):
        raise UserError(f"{place}: what it returns lacks available, until or next_change")
    return availability if table.name in AVAILABILITY else GuardedAvailability(availability=availability, place=place)


def load_physics(experiment: Experiment, *, clients: int, shape: AnyShape) -> SimulatedPhysics:
    """Make the boards and the network that an experiment's clients are billed by.

    Raises:
        UserError: a board or the link does not exist, or cannot be what the experiment says.
    """
    fleet = build_fleet(experiment.fleet, clients, experiment.seed, Path(experiment.base_folder))
    return make_physics(experiment, fleet=fleet, link=load_link(experiment), shape=shape)


def make_physics(experiment: Experiment, *, fleet: Fleet, link: Link, shape: AnyShape) -> SimulatedPhysics:
    """Return what bills clients of these boards on this link, whose server has the experiment's bandwidth."""
    down, up = experiment.link.server_bandwidth_down, experiment.link.server_bandwidth_up
    return SimulatedPhysics(
        fleet=fleet,
        link=link,
        shape=shape,
        server_down_bytes_per_second=None if down is None else parse_bandwidth(down),
        server_up_bytes_per_second=None if up is None else parse_bandwidth(up),
    )


def reference_of_node(context: Context, names: Collection[str]) -> Arrays:
    """Return the arrays that models sent to a node are differences to."""
    return reference_arrays(open_workbench(context).network, names)
