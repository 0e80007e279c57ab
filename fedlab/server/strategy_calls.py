"""Calls of a strategy, whose mistakes are one line: Flower's own and the user's are code that is not fedlab's."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from flwr.app import ArrayRecord, ConfigRecord, Message
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy

from fedlab.common.arrays import Arrays
from fedlab.config.guard import guarded, refuse_returned
from fedlab.messages.pack import from_record

_OURS = "strategies."  # a fault in one of fedlab's own is an internal error, with its traceback


def ask(strategy: Strategy, method: str, *arguments: object) -> Any:
    """Return what a method of a strategy returns; raises UserError with what it raised, unless it is fedlab's own."""
    call = partial(getattr(strategy, method), *arguments)
    return call() if type(strategy).__module__.startswith(_OURS) else guarded(place_of(strategy), method, call)


def place_of(strategy: Strategy) -> str:
    """Return how errors name a strategy."""
    return f"the strategy {type(strategy).__name__}"


def asked_orders(
    strategy: Strategy,
    method: str,
    server_round: int,
    model: tuple[ArrayRecord, ConfigRecord],
    grid: Grid,
    nodes: Mapping[int, int],
) -> list[Message]:
    """Return the messages that a strategy configures, for `nodes` alone.

    Raises:
        UserError: it raises something, or returns anything else.
    """
    returned = ask(strategy, method, server_round, *model, grid)
    if isinstance(returned, Message) or not hasattr(returned, "__iter__"):
        refuse_returned(place_of(strategy), method, returned, "an iterable of messages")
    # A generator runs its code only now.
    orders = guarded(place_of(strategy), method, lambda: list(returned))
    for order in orders:
        if not isinstance(order, Message):
            refuse_returned(place_of(strategy), method, order, "messages")
        if order.metadata.dst_node_id not in nodes:
            where = f"a message to node {order.metadata.dst_node_id}"
            refuse_returned(place_of(strategy), method, where, "messages to nodes of the grid")
    return orders


def aggregated_arrays(strategy: Strategy, server_round: int, replies: list[Message]) -> ArrayRecord | None:
    """Return the arrays that a strategy aggregates from replies, None where it keeps the model.

    Raises:
        UserError: it raises something, or returns anything else.
    """
    returned = ask(strategy, "aggregate_train", server_round, replies)
    match returned:
        case (ArrayRecord() | None as trained, _):
            return trained
    refuse_returned(place_of(strategy), "aggregate_train", returned, "a pair of an ArrayRecord, or None, and metrics")


def check_like(strategy: Strategy, model: Arrays, before: Arrays) -> None:
    """Raise a UserError unless a model has the arrays, of the same shapes, of the model before."""
    changed = [name for name in {**before, **model} if _shape(model, name) != _shape(before, name)]
    if changed:
        name = changed[0]
        said = f"'{name}' of shape {_shape(model, name)}" if name in model else f"no '{name}'"
        refuse_returned(place_of(strategy), "aggregate_train", said, f"it in shape {_shape(before, name)}")


def read_model(strategy: Strategy, record: ArrayRecord) -> Arrays:
    """Return the arrays of a strategy's record; raises UserError if they cannot be read."""
    return guarded(place_of(strategy), "aggregate_train", lambda: from_record(record))


def _shape(arrays: Arrays, name: str) -> tuple[int, ...] | None:
    return arrays[name].shape if name in arrays else None
