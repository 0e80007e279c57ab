"""What a checkpoint holds of a strategy: what it says itself, else its attributes and those of strategies within it."""

import logging
from collections import deque
from collections.abc import Iterator, Mapping
from functools import partial
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from flwr.serverapp.strategy import Strategy

from fedlab.errors import UserError
from fedlab.server.context import Resumable, Server
from fedlab.server.tree_values import ACCEPTED, UnkeptError, packed

# The same in every process: made again by the constructor, or by `attach`.
_MADE_AGAIN = (FunctionType, BuiltinFunctionType, MethodType, type, ModuleType, partial, logging.Logger, Server)
_CHANGEABLE = (dict, list, set, deque)
_ROOT = Strategy.__module__.partition(".")[0]


def memory_of(strategy: Strategy) -> Resumable:
    """Return what saves and restores a strategy's memory: itself, if its class says what a checkpoint must hold."""
    if isinstance(strategy, Resumable) and "state" in vars(type(strategy)):
        return strategy
    return StrategyMemory(strategy)


def check_memory(strategy: Strategy) -> None:
    """Refuse a strategy that could not be resumed; raises `UserError` as `StrategyMemory.state`."""
    memory = memory_of(strategy)
    if isinstance(memory, StrategyMemory):
        memory.check()


class StrategyMemory:
    """The memory of a strategy whose class does not say what to keep: its attributes, and the strategies it wraps.

    Of a subclass of one that does say it, the attributes that only the subclass uses are kept as well. Functions,
    classes, loggers and what the server lends are not kept: they are made again.
    """

    def __init__(self, strategy: Strategy) -> None:
        self._strategy = strategy

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint holds.

        Raises:
            UserError: an attribute is of no kind that a checkpoint can hold.
        """
        self.check()
        stated = self._strategy.state() if isinstance(self._strategy, Resumable) else None
        wrapped = {name: memory_of(inner).state() for name, inner in self._wrapped().items()}
        return {"stated": stated, "attributes": self._attributes(), "wrapped": wrapped}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore what `state` returned."""
        vars(self._strategy).update(state["attributes"])
        for name, inner in self._wrapped().items():
            memory_of(inner).restore(state["wrapped"][name])
        if isinstance(self._strategy, Resumable):
            self._strategy.restore(state["stated"])

    def check(self) -> None:
        """Raise a UserError that names the first attribute, of this strategy or a wrapped one, that cannot be kept."""
        for name, value in self._attributes().items():
            try:
                packed(value, name, {})
            except UnkeptError as error:
                raise UserError(
                    f"the strategy {type(self._strategy).__name__} cannot be resumed: its attribute {error}; "
                    f"accepted: {ACCEPTED}; or give it the methods state() and restore() (fedlab.api.Resumable)"
                ) from error
        for inner in self._wrapped().values():
            check_memory(inner)

    def _attributes(self) -> dict[str, Any]:
        kind, stated = type(self._strategy), _names_of_stating(type(self._strategy))
        every = dict(_changeable_of_classes(kind)) | vars(self._strategy)
        return {
            name: value
            for name, value in every.items()
            if name not in stated and not isinstance(value, (*_MADE_AGAIN, Strategy))
        }

    def _wrapped(self) -> dict[str, Strategy]:
        return {name: value for name, value in vars(self._strategy).items() if isinstance(value, Strategy)}


def _changeable_of_classes(kind: type) -> Iterator[tuple[str, Any]]:
    """Yield what a user's classes share among their instances and could change: `seen = {}` in a class's body."""
    for each in reversed(kind.__mro__):
        if each.__module__.partition(".")[0] not in (_ROOT, "fedlab", "strategies", "abc", "builtins"):
            for name, value in vars(each).items():
                if type(value) in _CHANGEABLE and not name.startswith("__"):
                    yield name, value


def _names_of_stating(kind: type) -> set[str]:
    """Return the names used by the class that says what to keep, and its bases: its memory is its own business."""
    stating = next((each for each in kind.__mro__ if "state" in vars(each)), None)
    if stating is None or not issubclass(kind, Resumable):
        return set()
    members = [member for each in stating.__mro__ for member in vars(each).values()]
    functions = [member.fget if isinstance(member, property) else member for member in members]
    return {name for each in functions if isinstance(each, FunctionType) for name in _names_in(each.__code__)}


def _names_in(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names_in(constant)
