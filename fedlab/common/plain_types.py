"""Type annotations of plain values: whether a value is of one, and how a line says what is accepted."""

import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin

_LISTS: tuple[Any, ...] = (list, tuple, Sequence)
_TABLES: tuple[Any, ...] = (dict, Mapping)


@dataclass(frozen=True, kw_only=True)
class PlainType:
    """What an annotation accepts: in words, and as a check. A truth value is no number; a whole number is a float."""

    words: str
    accepts: Callable[[object], bool]


_SIMPLE: Mapping[Any, PlainType] = {
    bool: PlainType(words="true or false", accepts=lambda value: isinstance(value, bool)),
    int: PlainType(words="a whole number", accepts=lambda value: type(value) is int),
    float: PlainType(words="a number", accepts=lambda value: type(value) in (int, float)),
    str: PlainType(words="text", accepts=lambda value: isinstance(value, str)),
    list: PlainType(words="a list", accepts=lambda value: isinstance(value, list | tuple)),
    dict: PlainType(words="a table", accepts=lambda value: isinstance(value, dict)),
    types.NoneType: PlainType(words="nothing", accepts=lambda value: value is None),
}


@cache
def plain_type(annotation: Any) -> PlainType | None:
    """Return the type of plain values that an annotation means; None where it means others as well, or is not known."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation in _SIMPLE:
        return _SIMPLE[annotation]
    if origin is Literal:
        words = f"one of {', '.join(map(str, arguments))}"
        return PlainType(words=words, accepts=lambda value: type(value) in map(type, arguments) and value in arguments)
    if origin in (Union, types.UnionType):
        return _either(tuple(plain_type(each) for each in arguments))
    if origin in _LISTS or annotation in _LISTS:
        return _list_of(plain_type(arguments[0]) if arguments else None)
    if origin in _TABLES or annotation in _TABLES:
        return _table_of(plain_type(arguments[1]) if arguments else None)
    return None


def _either(kinds: tuple[PlainType | None, ...]) -> PlainType | None:
    known = [kind for kind in kinds if kind is not None]
    if len(known) < len(kinds):
        return None
    words = " or ".join(kind.words for kind in known if kind is not _SIMPLE[types.NoneType])
    return PlainType(words=words, accepts=lambda value: any(kind.accepts(value) for kind in known))


def _list_of(kind: PlainType | None) -> PlainType:
    if kind is None:
        return _SIMPLE[list]
    words = f"a list, each of it {kind.words}"
    return PlainType(
        words=words, accepts=lambda value: isinstance(value, list | tuple) and all(map(kind.accepts, value))
    )


def _table_of(kind: PlainType | None) -> PlainType:
    if kind is None:
        return _SIMPLE[dict]
    words = f"a table, each value of it {kind.words}"
    return PlainType(
        words=words,
        accepts=lambda value: (
            isinstance(value, dict)
            and all(isinstance(key, str) for key in value)
            and all(map(kind.accepts, value.values()))
        ),
    )
