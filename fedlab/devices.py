"""Device profiles: what a board needs for one batch, as published or measured, and where each figure comes from."""

import difflib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic.dataclasses import dataclass as checked_dataclass

from fedlab.errors import UserError
from fedlab.workload import EncoderShape

Family = Literal["bert", "distilbert"]
TableName = Literal["full", "adapter", "cached_adapter"]
Quantity = Literal["latency_seconds", "peak_memory_bytes"]
Standing = Literal["published", "scaled", "assumed", "measured"]

# The encoders the tables are for: the base models of the two families.
REFERENCE_SHAPES: Mapping[Family, EncoderShape] = {
    "bert": EncoderShape(family="bert", blocks=12, hidden=768, intermediate=3072),
    "distilbert": EncoderShape(family="distilbert", blocks=6, hidden=768, intermediate=3072),
}
_FOLDER = Path(__file__).parent / "profiles"
_MEMORY_OF = "jetson-tx2"  # peak memory is the model's, so a profile that has none takes the published one
_STRICT = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Where a figure comes from: its standing, and the source or the reason in words."""

    standing: Standing
    source: str


@checked_dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Point:
    """The batch a table was measured with; the defaults are those of the published tables."""

    batch_size: PositiveInt = 4
    sequence_length: PositiveInt = 256
    width: PositiveInt = 32


@dataclass(frozen=True, kw_only=True)
class Table:
    """A quantity for one batch by depth: entry d is for the top d blocks, from 0 to all blocks of the family."""

    values: tuple[float, ...]
    point: Point
    provenance: Provenance


Tables = dict[tuple[Family, TableName], Table]


@dataclass(frozen=True, kw_only=True)
class DeviceProfile:
    """A board: its memory, its power and its tables. `name` is the built-in name or the path it was loaded by."""

    name: str
    description: str
    memory_bytes: int
    computing_watts: float
    communicating_watts: float
    latency_seconds: Mapping[tuple[Family, TableName], Table]
    peak_memory_bytes: Mapping[tuple[Family, TableName], Table]
    provenance: Mapping[str, Provenance]  # of memory_bytes and the two powers


class _Figure(BaseModel):
    model_config = _STRICT

    value: PositiveFloat
    provenance: Standing = "assumed"
    source: str = ""

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, given: Any) -> Any:
        return given if isinstance(given, dict) else {"value": given}


class _TableEntry(BaseModel):
    model_config = _STRICT

    values: list[PositiveFloat] | None = None
    of: str | None = None
    factor: PositiveFloat = 1.0
    provenance: Standing | None = None
    source: str = ""

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, given: Any) -> Any:
        return given if isinstance(given, dict) else {"values": given}

    @model_validator(mode="after")
    def _either(self) -> "_TableEntry":
        if (self.values is None) == (self.of is None):
            raise ValueError("expected either values = [...] or of = 'another profile' with a factor")
        return self


_Entries = dict[Family, dict[TableName, _TableEntry]]


class _File(BaseModel):
    model_config = _STRICT

    description: str = ""
    measured_at: Point = Point()
    memory_bytes: _Figure
    computing_watts: _Figure
    communicating_watts: _Figure
    latency_seconds: _Entries
    peak_memory_bytes: _Entries = {}

    @field_validator("latency_seconds")
    @classmethod
    def _some_table(cls, given: _Entries) -> _Entries:
        if not any(given.values()):
            raise ValueError("no table, expected at least one, such as latency_seconds.bert.adapter")
        return given


_SCALARS = ("memory_bytes", "computing_watts", "communicating_watts")


def built_in_profiles() -> tuple[str, ...]:
    """List the names of the profiles that come with the package, sorted."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.toml")))


def load_profile(name_or_path: str, base: Path) -> DeviceProfile:
    """Load a built-in profile by name, or a user's by the path of its .toml file (relative ones start at `base`).

    Two kinds of missing tables are filled in, as `scaled`: peak memory by the published tables, and cached adapters
    by adapters without cache less the forward pass of the blocks below them. Raises UserError, naming file and key.
    """
    path = _locate(name_or_path, base)
    file = _read(path)
    figures: dict[str, _Figure] = {key: getattr(file, key) for key in _SCALARS}
    return DeviceProfile(
        name=name_or_path,
        description=file.description,
        memory_bytes=round(file.memory_bytes.value),
        computing_watts=file.computing_watts.value,
        communicating_watts=file.communicating_watts.value,
        latency_seconds=_with_cached(_tables(path, "latency_seconds")),
        peak_memory_bytes=_published_memory() | _tables(path, "peak_memory_bytes"),
        provenance={key: Provenance(standing=f.provenance, source=f.source) for key, f in figures.items()},
    )


def _locate(text: str, base: Path) -> Path:
    if text.endswith(".toml") or "/" in text:
        return base / Path(text).expanduser()
    names = built_in_profiles()
    if text not in names:
        near = difflib.get_close_matches(text, names, n=1, cutoff=0.0)[0]
        raise UserError(
            f"unknown device {text!r}, nearest is {near!r}: expected {', '.join(names)} or a path ending in .toml"
        )
    return _FOLDER / f"{text}.toml"


def _read(path: Path) -> _File:
    try:
        return _File.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise UserError(f"device profile {path}: cannot be read ({error.strerror}), expected a TOML file") from error
    except ValidationError as error:
        raise UserError(f"device profile {path}: {_first_problem(error)}") from error
    except ValueError as error:  # not UTF-8, or not TOML
        raise UserError(f"device profile {path}: not a TOML file ({error})") from error


def _first_problem(error: ValidationError) -> str:
    problem = error.errors()[0]
    place = [str(part) for part in problem["loc"] if part != "[key]"]
    if problem["type"] == "missing":
        return f"{'.'.join(place)}: missing, expected here"
    if problem["type"] not in ("extra_forbidden", "unexpected_keyword_argument"):
        return f"{'.'.join(place)}: {problem['msg'].removeprefix('Value error, ')}"
    return f"{'.'.join(place)}: unknown key, expected one of {', '.join(_accepted_keys(place))}"


def _accepted_keys(place: Sequence[str]) -> list[str]:
    if len(place) == 1:
        return list(_File.model_fields)
    if place[0] == "measured_at":
        return [field.name for field in fields(Point)]
    return list((_Figure if place[0] in _SCALARS else _TableEntry).model_fields)


def _tables(path: Path, quantity: Quantity) -> Tables:
    given: _Entries = getattr(_read(path), quantity)
    return {(family, name): _table(path, quantity, family, name) for family in given for name in given[family]}


def _table(path: Path, quantity: Quantity, family: Family, name: TableName, trail: tuple[Path, ...] = ()) -> Table:
    """Read a table, or follow its `of`; `trail` are the profiles that led here."""
    file, where = _read(path), f"device profile {path}: {quantity}.{family}.{name}"
    entry: _TableEntry | None = getattr(file, quantity).get(family, {}).get(name)
    if entry is None:
        raise UserError(f"{where}: missing, {trail[-1]} is to be scaled from it")
    if path.resolve() in trail:
        raise UserError(f"{where}: is scaled from itself, expected `of` to lead to a table with values")
    if entry.of is None:
        return _measured(entry, file.measured_at, family, where)
    origin_path = _origin(entry.of, path.parent, where)
    origin = _table(origin_path, quantity, family, name, (*trail, path.resolve()))
    source = entry.source or f"{entry.factor:g} x {entry.of}"
    return _scaled(origin, [entry.factor * value for value in origin.values], source, entry.provenance or "scaled")


def _measured(entry: _TableEntry, point: Point, family: Family, where: str) -> Table:
    values, expected = entry.values or [], REFERENCE_SHAPES[family].blocks + 1
    if len(values) != expected:
        raise UserError(f"{where}: has {len(values)} values, expected {expected} (depth 0 to {expected - 1})")
    provenance = Provenance(standing=entry.provenance or "assumed", source=entry.source)
    return Table(values=tuple(values), point=point, provenance=provenance)


def _origin(text: str, base: Path, where: str) -> Path:
    try:
        return _locate(text, base)
    except UserError as error:
        raise UserError(f"{where}.of: {error}") from error


def _scaled(origin: Table, values: Sequence[float], source: str, standing: Standing = "scaled") -> Table:
    return replace(origin, values=tuple(values), provenance=Provenance(standing=standing, source=source))


def _published_memory() -> Tables:
    source = f"peak memory is the model's, not the board's: that of {_MEMORY_OF}"
    tables = _tables(_locate(_MEMORY_OF, _FOLDER), "peak_memory_bytes")
    return {key: _scaled(table, table.values, source) for key, table in tables.items()}


def _with_cached(tables: Tables) -> Tables:
    """Add what is missing of cached adapters: without cache, less the forward pass of the blocks below them."""
    added: Tables = {}
    for (family, name), table in tables.items():
        if name == "adapter" and (family, "cached_adapter") not in tables:
            blocks, forward = len(table.values) - 1, table.values[0]
            saved = [value - forward * (blocks - depth) / blocks for depth, value in enumerate(table.values)]
            source = "adapter without cache, less the forward pass of the blocks below"
            added[family, "cached_adapter"] = _scaled(table, saved, source)
    return tables | added
