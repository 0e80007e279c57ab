"""Experiment files with a [sweep] table: one experiment for each combination of its values.

[sweep]
seed = [0, 1, 2]                                         # a list of values for any key
"link.options.bandwidth" = ["0.1MB/s", "1MB/s"]

[[sweep.variants]]                                       # named settings that go together
name = "LF"
set = { "client.name" = "full", "codec.up" = ["int8"] }  # as with --set
grid = { "client.depth" = [1, 2, 6] }                    # lists for this variant alone

[sweep.compare]                                          # options of the final comparison
baseline = "FT"
oracle = "client.depth"
"""

import copy
import hashlib
import itertools
import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedlab.common.short_text import short
from fedlab.compare.options import ComparisonOptions, options_from
from fedlab.config.file import experiment_from, parse_setting, read_table, set_key
from fedlab.config.plugins import nearest
from fedlab.config.schema import Experiment
from fedlab.errors import UserError

Grid = Mapping[str, Sequence[Any]]  # by dotted key

_VARIANTS, _COMPARE = "variants", "compare"
_VARIANT_KEYS = ("name", "set", "grid")
_LONGEST_NAME = 120
_MOST_CELLS = 10_000


@dataclass(frozen=True, kw_only=True)
class SweepCell:
    """One experiment of a sweep; its name is also that of its run folder."""

    name: str
    experiment: Experiment


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """All experiments of a sweep, and the options of their comparison."""

    name: str
    cells: tuple[SweepCell, ...]
    comparison: ComparisonOptions


@dataclass(frozen=True, kw_only=True)
class _Variant:
    name: str | None
    settings: Mapping[str, Any]
    grid: Grid


@dataclass(frozen=True, kw_only=True)
class _Choice:
    """The variant and values of one cell."""

    variant: _Variant
    values: Mapping[str, Any]


def load_sweep(path: Path, settings: Sequence[str] = ()) -> Sweep:
    """Read an experiment file with a [sweep] table, apply settings, and make its cells.

    A setting of a swept key, or of a table above it, fixes its value; `sweep.KEY=[...]` replaces its list of values.
    The first key varies slowest, variants vary fastest.

    Raises:
        UserError: the file cannot be read, has no [sweep] table, or a key or value in it is not accepted.
    """
    table = read_table(path)
    swept = table.pop("sweep", None)
    if not isinstance(swept, dict):
        raise UserError(f"{path}: has no [sweep] table; for a single experiment use fedlab run {path}")
    variants, compared = _variants(swept.pop(_VARIANTS, []), str(path)), swept.pop(_COMPARE, {})
    grid = _flat_grid(swept, f"{path}: sweep")
    fixed: dict[str, Any] = {}
    for setting in settings:
        key, value = parse_setting(setting)
        if key.startswith(f"sweep.{_COMPARE}."):
            compared[key.removeprefix(f"sweep.{_COMPARE}.")] = value
        elif key.startswith("sweep."):
            grid |= _flat_grid({key.removeprefix("sweep."): value}, f"--set {setting}")
        else:
            fixed[key] = value
    return Sweep(
        name=str(table["name"]),
        cells=_cells(table, _choices(grid, variants, fixed, path), fixed, path),
        comparison=options_from(compared, f"{path}: sweep.{_COMPARE}"),
    )


def _cells(
    table: Mapping[str, Any], choices: Sequence[_Choice], fixed: Mapping[str, Any], path: Path
) -> tuple[SweepCell, ...]:
    if not any(choice.variant.name or choice.values for choice in choices):
        raise UserError(f"{path}: the [sweep] table has no values to vary: give KEY = [values] or [[sweep.variants]]")
    return tuple(
        SweepCell(name=name, experiment=_experiment(table, choice, fixed, name, path))
        for name, choice in zip(_names(choices), choices, strict=True)
    )


def _variants(entries: Any, path: str) -> list[_Variant]:
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise UserError(f"{path}: sweep.variants: expected [[sweep.variants]] tables")
    variants = [_variant(entry, f"{path}: sweep.variants[{at}]") for at, entry in enumerate(entries)]
    if repeated := [name for name, count in Counter(variant.name for variant in variants).items() if count > 1]:
        raise UserError(f"{path}: sweep.variants: several have the name '{repeated[0]}'")
    return variants or [_Variant(name=None, settings={}, grid={})]


def _variant(entry: Mapping[str, Any], place: str) -> _Variant:
    if unknown := [key for key in entry if key not in _VARIANT_KEYS]:
        raise UserError(f"{place}: unknown key {unknown[0]}: {nearest(unknown[0], _VARIANT_KEYS)}")
    name, settings, grid = entry.get("name"), entry.get("set", {}), entry.get("grid", {})
    if not isinstance(name, str) or not name.strip():
        raise UserError(f"{place}: expected a name")
    if not isinstance(settings, dict) or not isinstance(grid, dict):
        raise UserError(f"{place}: expected set and grid to be tables")
    for key, value in settings.items():
        if isinstance(value, dict) and key in Experiment.model_fields:
            raise UserError(f'{place}: set.{key} is a whole table: put its keys in quotes, such as "{key}.name" = ...')
    return _Variant(name=name.strip(), settings=settings, grid=_flat_grid(grid, f"{place}.grid"))


def _flat_grid(table: Mapping[str, Any], place: str, prefix: str = "") -> dict[str, list[Any]]:
    """Return dotted keys and their lists of values; a key may be quoted with dots, or be nested tables."""
    grid: dict[str, list[Any]] = {}
    for key, value in table.items():
        name = f"{prefix}{key}"
        found = _flat_grid(value, place, f"{name}.") if isinstance(value, dict) else {name: value}
        if repeated := grid.keys() & found.keys():
            raise UserError(f"{place}.{min(repeated)}: given twice")
        grid |= found
    for name, values in grid.items():
        if not isinstance(values, list) or not values:
            raise UserError(f"{place}.{name} = {short(values)}: expected a list of values")
    return grid


def _choices(grid: Grid, variants: Sequence[_Variant], fixed: Mapping[str, Any], path: Path) -> list[_Choice]:
    shared = _combinations(grid, fixed)
    count = sum(shared * _combinations(variant.grid, fixed) for variant in variants)
    if count > _MOST_CELLS:
        raise UserError(f"{path}: the [sweep] table makes {count:,} cells, expected at most {_MOST_CELLS:,}")
    return [
        _Choice(variant=variant, values=values | own)
        for values in _products(grid, fixed)
        for variant in variants
        for own in _products(variant.grid, fixed)
    ]


def _free(grid: Grid, fixed: Mapping[str, Any]) -> Grid:
    """Return the keys of a grid whose values no setting fixes."""
    return {key: values for key, values in grid.items() if not any(f"{key}.".startswith(f"{each}.") for each in fixed)}


def _combinations(grid: Grid, fixed: Mapping[str, Any]) -> int:
    return math.prod(len(values) for values in _free(grid, fixed).values())


def _products(grid: Grid, fixed: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    free = _free(grid, fixed)
    for values in itertools.product(*free.values()):
        yield dict(zip(free, values, strict=True))


def _experiment(
    table: Mapping[str, Any], choice: _Choice, fixed: Mapping[str, Any], name: str, path: Path
) -> Experiment:
    """Make a cell's experiment: settings override the grid, and the grid overrides the variant."""
    changed, place = copy.deepcopy(dict(table)), f"{path}, cell {name}"
    for key, value in {**choice.variant.settings, **choice.values, **fixed, "name": name}.items():
        set_key(changed, key, copy.deepcopy(value), place=place)
    if choice.variant.name is not None:
        changed["label"] = choice.variant.name
    return experiment_from(changed, place)


def _names(choices: Sequence[_Choice]) -> list[str]:
    """Name each cell by its variant and values, with a digest of them if two names are equal or one is too long."""
    keys = list(dict.fromkeys(key for choice in choices for key in choice.values))
    short = dict(zip(keys, _shortest_ends(keys), strict=True))
    names = [_name(choice, short) for choice in choices]
    often = Counter(names)
    return [
        name if often[name] == 1 and len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}-{_digest(choice)}"
        for name, choice in zip(names, choices, strict=True)
    ]


def _name(choice: _Choice, short: Mapping[str, str]) -> str:
    named = [] if choice.variant.name is None else [_slug(choice.variant.name)]
    return "-".join([*named, *(f"{short[key]}-{_slug(value)}" for key, value in choice.values.items())])


def _shortest_ends(keys: Sequence[str]) -> list[str]:
    """Return the shortest unambiguous suffixes of dotted keys."""

    def ends(key: str) -> Iterator[str]:
        parts = key.split(".")
        return (".".join(parts[at:]) for at in range(len(parts) - 1, -1, -1))

    taken = Counter(end for key in keys for end in ends(key))
    return [next((end for end in ends(key) if taken[end] == 1), key) for key in keys]


def _slug(value: Any) -> str:
    return re.sub(r"[^A-Za-z0-9.+_-]+", "", "-".join(_plain(value).split())).lstrip(".") or "none"


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return "+".join(str(key) if each == 1 else f"{_plain(each)}{key}" for key, each in value.items())
    return "+".join(map(_plain, value)) if isinstance(value, list) else str(value)


def _digest(choice: _Choice) -> str:
    said = json.dumps([choice.variant.name, choice.values], sort_keys=True, default=str)
    return hashlib.sha256(said.encode()).hexdigest()[:6]
