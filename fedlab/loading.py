"""Making what an experiment names: its strategy, its client, its link."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flwr.clientapp import ClientApp
from flwr.serverapp.strategy import Strategy

from fedlab.catalogue import CLIENTS, LINKS, STRATEGIES
from fedlab.errors import UserError
from fedlab.experiment import Experiment
from fedlab.flower import quiet
from fedlab.links import Link
from fedlab.plugins import call_with_options, resolve


def load_strategy(experiment: Experiment) -> Strategy:
    """Make the strategy an experiment names.

    Raises:
        UserError: there is no such strategy, or it does not take the options.
    """
    quiet()  # Flower's own strategies speak from their constructor on
    found = resolve(experiment.strategy.name, STRATEGIES, Path(experiment.base_folder))
    strategy = call_with_options(found, experiment.strategy.options, "strategy.options")
    if not isinstance(strategy, Strategy):
        raise UserError(f"strategy.name = '{experiment.strategy.name}': is no flwr.serverapp.strategy.Strategy")
    return strategy


def load_client(name: str, options: Mapping[str, Any], base: Path) -> ClientApp:
    """Make the ClientApp a name stands for: the object itself, or what a factory makes of the options.

    Raises:
        UserError: there is no such client, or it does not take the options.
    """
    found = resolve(name, CLIENTS, base)
    client = found if isinstance(found, ClientApp) else call_with_options(found, options, "client.options")
    if not isinstance(client, ClientApp):
        raise UserError(f"client.name = '{name}': is no flwr.clientapp.ClientApp")
    return client


def load_link(experiment: Experiment) -> Link:
    """Make the link an experiment names.

    Raises:
        UserError: there is no such link, or it does not take the options.
    """
    found = resolve(experiment.link.name, LINKS, Path(experiment.base_folder))
    link = call_with_options(found, experiment.link.options, "link.options")
    if not isinstance(link, Link):
        raise UserError(f"link.name = '{experiment.link.name}': what it returns has no transfer_seconds")
    return link
