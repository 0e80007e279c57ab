"""Passes as plain values: what stands in the records of a run, and the shorter text that travels in a reply."""

import functools
import json
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from fedlab.errors import UserError
from fedlab.workload.passes import Pass, TrainedSpec

_FIELDS = tuple(field.name for field in fields(Pass))
_DEFAULTS = {field.name: field.default for field in fields(Pass)}
_SPEC_DEFAULTS = {field.name: field.default for field in fields(TrainedSpec)}
_LONGEST_TEXT = 65_536


def plain_pass(each: Pass) -> dict[str, Any]:
    """Return a pass as JSON holds it: blocks as [first, past the last], and what is as by default left out."""
    given = {name: getattr(each, name) for name in _FIELDS if getattr(each, name) != _DEFAULTS[name]}
    return {name: _plain(value) for name, value in given.items()}


def read_pass(plain: Any) -> Pass:
    """Return the pass that plain values describe. Raises UserError for anything else."""
    table = dict(_mapping("a pass", plain, _FIELDS))
    if missing := [name for name in _FIELDS[:5] if name not in table]:
        raise UserError(f"workload: a pass has no {missing[0]}, expected {', '.join(_FIELDS[:5])}")
    table["input_shape"] = tuple(_list("input_shape", table["input_shape"]))
    table["blocks"] = _blocks(table["blocks"])
    if "trained" in table:
        table["trained"] = _trained(table["trained"])
    return Pass(**table)


def passes_to_text(passes: Sequence[Pass]) -> str:
    """Return passes as a short JSON text: a list of values for each, in the order of the fields of `Pass`.

    It is sent, and so billed: names are left out, and values from the last one back that are as by default.
    """
    return json.dumps([_values(each) for each in passes], separators=(",", ":"))


@functools.lru_cache(maxsize=512)
def passes_from_text(text: str) -> tuple[Pass, ...]:
    """Return the passes of such a text; those of a round are mostly alike, and are read once. Raises UserError."""
    if len(text) > _LONGEST_TEXT:
        raise UserError(f"workload: passes has {len(text)} characters, expected at most {_LONGEST_TEXT}")
    try:
        listed = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError("workload: passes is not JSON") from error
    return tuple(read_pass(_named(values)) for values in _list("passes", listed))


def _values(each: Pass) -> list[Any]:
    table = plain_pass(each)
    last = max(at for at, name in enumerate(_FIELDS) if name in table)
    return [table.get(name, _plain(_DEFAULTS[name])) for name in _FIELDS[: last + 1]]


def _named(values: Any) -> dict[str, Any]:
    listed = _list("a pass", values)
    if len(listed) > len(_FIELDS):
        raise UserError(f"workload: a pass has {len(listed)} values, expected at most {', '.join(_FIELDS)}")
    return dict(zip(_FIELDS, listed, strict=False))


def _plain(value: Any) -> Any:
    if isinstance(value, range):
        return [value.start, value.stop]
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, TrainedSpec):
        given = {name: each for name, each in vars(value).items() if each != _SPEC_DEFAULTS[name] or name == "kind"}
        return {name: _plain(each) for name, each in given.items()}
    return value


def _trained(plain: Any) -> TrainedSpec:
    table = dict(_mapping("trained", plain, tuple(field.name for field in fields(TrainedSpec))))
    if "targets" in table:
        table["targets"] = tuple(_list("trained.targets", table["targets"]))
    return TrainedSpec(**table)


def _blocks(plain: Any) -> range:
    bounds = _list("blocks", plain)
    if len(bounds) != 2 or any(type(bound) is not int for bound in bounds):
        raise UserError(f"workload: blocks is {reprlib.repr(bounds)}, expected [first, past the last]")
    return range(*bounds)


def _list(name: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise UserError(f"workload: {name} is {reprlib.repr(value)}, expected a list")
    return value


def _mapping(name: str, value: Any, known: Sequence[str]) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise UserError(f"workload: {name} is {reprlib.repr(value)}, expected a mapping")
    if unknown := [key for key in value if key not in known]:
        raise UserError(f"workload: {name} has an unknown key {reprlib.repr(unknown[0])}, expected {', '.join(known)}")
    return value
