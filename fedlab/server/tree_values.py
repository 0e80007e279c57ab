"""What a checkpoint can hold: plain values, containers, arrays, random generators and Flower's records, as JSON.

Plain values and lists are themselves. Arrays and bytes lie in a file of their own, by name. Everything else is a table
of one key, its kind: `{"__set__": [1, 2]}`. What comes back has the type that was kept.
"""

from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path, PosixPath
from random import Random
from typing import Any

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, MetricRecord, RecordDict

from fedlab.messages.flower_private import record_from_wire, record_to_wire

ACCEPTED = (
    "numbers, text, bytes, paths, arrays, random generators, Flower's records, and lists, tuples, dictionaries, sets, "
    "deques and counters of these"
)
_PLAIN = (type(None), bool, int, float, str)
_RECORDS = (ArrayRecord, MetricRecord, ConfigRecord)
_NUMBERS = "biuf"  # kinds of arrays: booleans, integers, floats
_FACTORIES: Mapping[str, Callable[[], Any]] = {
    kind.__name__: kind for kind in (bool, int, float, str, list, dict, set, tuple, deque, Counter)
}


class UnkeptError(Exception):
    """A value that a checkpoint cannot hold; the message says where in its owner it lies, and what it is."""


def packed(value: Any, place: str, arrays: dict[str, np.ndarray]) -> Any:
    """Return a value as JSON can hold it; its arrays and bytes are added to `arrays`, named after their place.

    Raises:
        UnkeptError: the value, or one within it, is of no kind that can be kept.
    """
    return _Packing(arrays).value(value, place)


def unpacked(value: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    """Return what `packed` was given."""
    if isinstance(value, list):
        return [unpacked(each, arrays) for each in value]
    if not isinstance(value, dict):
        return value
    kind = next(iter(value), "")
    if kind not in _UNPACK:
        return {key: unpacked(each, arrays) for key, each in value.items()}
    return _UNPACK[kind](value[kind], arrays)


class _Packing:
    """One tree that is packed; `within` are the containers around the current value, which must not hold themselves."""

    def __init__(self, arrays: dict[str, np.ndarray]) -> None:
        self._arrays = arrays
        self._within: set[int] = set()
        self._known: dict[int, tuple[np.ndarray, str]] = {}  # by identity: what a tree holds twice is stored once

    def value(self, value: Any, place: str) -> Any:
        if type(value) in _PLAIN:
            return value
        if id(value) in self._within:
            raise UnkeptError(f"{place} contains itself")
        self._within.add(id(value))
        try:
            return self._data(value, place) or self._generator(value, place) or self._container(value, place)
        finally:
            self._within.discard(id(value))

    def _data(self, value: Any, place: str) -> Any:
        """Pack what lies in the file of arrays, None if it is nothing of that kind."""
        if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in _NUMBERS and value.dtype.itemsize <= 8:
            if isinstance(value, np.generic):
                return {"__number__": self._stored(np.asarray(value), place)}
            if id(value) not in self._known:
                self._known[id(value)] = value, self._stored(np.asarray(value, order="C"), place)
            return {"__array__": self._known[id(value)][1]}
        if type(value) is bytes:
            return {"__bytes__": self._stored(np.frombuffer(value, np.uint8), place)}
        if isinstance(value, _RECORDS):
            wire = record_to_wire(RecordDict({"record": value}))
            return {"__record__": self._stored(np.frombuffer(wire, np.uint8), place)}
        return None

    def _stored(self, array: np.ndarray, place: str) -> str:
        name = f"{len(self._arrays)}{place}"  # the number keeps apart what keys with slashes would not
        self._arrays[name] = array
        return name

    def _generator(self, value: Any, place: str) -> Any:
        if type(value) is Random:
            return {"__random__": self.value(value.getstate(), place)}
        if type(value) is np.random.Generator:
            return {"__generator__": self.value(dict(value.bit_generator.state), place)}
        return {"__path__": str(value)} if type(value) is PosixPath else None

    def _container(self, value: Any, place: str) -> Any:
        kind = type(value)
        if kind in (list, tuple, set, frozenset):
            items = self._items(value, place)
            return items if kind is list else {f"__{kind.__name__}__": items}
        if kind is deque:
            return {"__deque__": [self._items(value, place), value.maxlen]}
        if kind in (Counter, OrderedDict):
            return {f"__{kind.__name__}__": self._pairs(value, place)}
        if kind is defaultdict and value.default_factory in (None, *_FACTORIES.values()):
            factory = value.default_factory and value.default_factory.__name__
            return {"__defaultdict__": [factory, self._pairs(value, place)]}
        return self._table(value, place)

    def _table(self, value: Any, place: str) -> Any:
        if not isinstance(value, Mapping) or (isinstance(value, dict) and type(value) is not dict):
            raise UnkeptError(f"{place} is {_described(value)}")
        if all(type(key) is str for key in value) and next(iter(value), "") not in _UNPACK:
            return {key: self.value(each, f"{place}/{key}") for key, each in value.items()}
        return {"__dict__": self._pairs(value, place)}

    def _items(self, values: Iterable[Any], place: str) -> list[Any]:
        return [self.value(each, f"{place}/{at}") for at, each in enumerate(values)]

    def _pairs(self, table: Mapping[Any, Any], place: str) -> list[Any]:
        return [[self.value(key, f"{place}/{key}"), self.value(each, f"{place}/{key}")] for key, each in table.items()]


def _described(value: object) -> str:
    kind = type(value)
    return (
        f"of the type {kind.__qualname__}"
        if kind.__module__ == "builtins"
        else f"a {kind.__module__}.{kind.__qualname__}"
    )


def _generator_of(state: Mapping[str, Any]) -> np.random.Generator:
    bits = getattr(np.random, str(state["bit_generator"]))()
    bits.state = state
    return np.random.Generator(bits)


def _random_of(state: Any) -> Random:
    draws = Random()
    draws.setstate(state)
    return draws


_Arrays = Mapping[str, np.ndarray]


def _built(build: Callable[[Any], Any]) -> Callable[[Any, _Arrays], Any]:
    """Return how to unpack a kind that is built of its unpacked content."""
    return lambda content, arrays: build(unpacked(content, arrays))


_UNPACK: Mapping[str, Callable[[Any, _Arrays], Any]] = {
    "__array__": lambda name, arrays: arrays[name],
    "__number__": lambda name, arrays: arrays[name][()],
    "__bytes__": lambda name, arrays: arrays[name].tobytes(),
    "__record__": lambda name, arrays: record_from_wire(arrays[name].tobytes())["record"],
    "__path__": lambda text, arrays: Path(text),
    "__random__": _built(_random_of),
    "__generator__": _built(_generator_of),
    "__tuple__": _built(tuple),
    "__set__": _built(set),
    "__frozenset__": _built(frozenset),
    "__deque__": _built(lambda content: deque(content[0], content[1])),
    "__Counter__": _built(lambda pairs: Counter(dict(pairs))),
    "__OrderedDict__": _built(OrderedDict),
    "__defaultdict__": _built(lambda content: defaultdict(_FACTORIES.get(content[0]), content[1])),
    "__dict__": _built(dict),
}
