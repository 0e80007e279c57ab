"""Device profiles: what a board needs for one batch, as published or measured, and where each figure comes from."""

import difflib
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from fedlab.devices.file import SCALARS, Entries, FigureEntry, ProfileFile, TableEntry, read_profile_file
from fedlab.devices.tables import DepthTable, Provenance, ProvenanceLevel, Quantity, TableName, Tables, least_sure
from fedlab.errors import UserError
from fedlab.workload.shape import Family

_FOLDER = Path(__file__).parent / "profiles"
_PUBLISHED = "jetson-tx2"  # the profile with the published tables of peak memory and of cached adapters
_Read = Callable[[Path], ProfileFile]
_UNKNOWN = Provenance(standing="assumed", source="")


@dataclass(frozen=True, kw_only=True)
class DeviceProfile:
    """A board: its memory, its power and its tables. `name` is the built-in name or the path it was loaded by.

    `relative_throughput` is how many times as fast it is as its tables say.
    """

    name: str
    description: str
    memory_bytes: int
    computing_watts: float
    communicating_watts: float
    idle_watts: float
    latency_seconds: Tables
    peak_memory_bytes: Tables
    provenance: Mapping[str, Provenance]  # of memory_bytes and the three powers
    relative_throughput: float = 1.0

    def standing(self, *figures: str) -> ProvenanceLevel:
        """Return how sure the least sure of some of its powers and its memory is; of unknown origin is assumed."""
        known = (self.provenance.get(figure, _UNKNOWN).standing for figure in figures)
        return least_sure(*known)


def built_in_profiles() -> tuple[str, ...]:
    """List the names of the profiles that come with the package, sorted."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.toml")))


def load_profile(name_or_path: str, base: Path) -> DeviceProfile:
    """Load a built-in profile by name, or a user's by the path of its .toml file (relative ones start at `base`).

    Two kinds of missing tables are filled in, as `scaled` or as sure as what they are made from: peak memory by the
    published tables, and cached adapters by adapters without cache less the forward pass of the blocks below them.
    Raises UserError, naming file and key.
    """
    read = functools.cache(read_profile_file)
    path = _locate(name_or_path, base)
    file = read(path)
    figures: dict[str, FigureEntry] = {key: getattr(file, key) for key in SCALARS}
    return DeviceProfile(
        name=name_or_path,
        description=file.description,
        memory_bytes=round(file.memory_bytes.value),
        computing_watts=file.computing_watts.value,
        communicating_watts=file.communicating_watts.value,
        idle_watts=file.idle_watts.value,
        latency_seconds=_with_cached(_tables(path, "latency_seconds", read), read),
        peak_memory_bytes={**_published_memory(read), **_tables(path, "peak_memory_bytes", read)},
        provenance={key: Provenance(standing=f.provenance, source=f.source) for key, f in figures.items()},
    )


def at_throughput(profile: DeviceProfile, factor: float) -> DeviceProfile:
    """Return the same board so many times as fast; its power stays. The name says the factor, to two figures."""
    factor *= profile.relative_throughput
    return replace(profile, name=f"{profile.name} x{factor:.2g}", relative_throughput=factor)


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


def _tables(path: Path, quantity: Quantity, read: _Read) -> Tables:
    given: Entries = getattr(read(path), quantity)
    return {(family, name): _table(path, quantity, family, name, read) for family in given for name in given[family]}


def _table(
    path: Path, quantity: Quantity, family: Family, name: TableName, read: _Read, trail: tuple[Path, ...] = ()
) -> DepthTable:
    """Return a table of a file, or follow its `of`; `trail` are the profiles that led here."""
    file, where = read(path), f"device profile {path}: {quantity}.{family}.{name}"
    entry: TableEntry | None = getattr(file, quantity).get(family, {}).get(name)
    if entry is None:
        raise UserError(f"{where}: missing, {trail[-1]} is to be scaled from it")
    if path.resolve() in trail:
        raise UserError(f"{where}: is scaled from itself, expected `of` to lead to a table with values")
    if entry.of is None:
        return _own(entry, file, family, where)
    origin_path = _origin(entry.of, path.parent, where)
    origin = _table(origin_path, quantity, family, name, read, (*trail, path.resolve()))
    source = entry.source or f"{entry.factor:g} x {entry.of}"
    standing = least_sure(entry.provenance or "scaled", origin.provenance.standing)
    return _times(origin, entry.factor, Provenance(standing=standing, source=source))


def _own(entry: TableEntry, file: ProfileFile, family: Family, where: str) -> DepthTable:
    shape = file.measured_at.shape(family)
    values, expected = entry.values or [], shape.blocks + 1
    if len(values) != expected:
        raise UserError(f"{where}: has {len(values)} values, expected {expected} (depth 0 to {expected - 1})")
    return DepthTable(
        values=tuple(values),
        shape=shape,
        point=file.measured_at.point,
        provenance=Provenance(standing=entry.provenance or "assumed", source=entry.source),
        fixed=entry.fixed,
    )


def _origin(text: str, base: Path, where: str) -> Path:
    try:
        return _locate(text, base)
    except UserError as error:
        raise UserError(f"{where}.of: {error}") from error


def _times(table: DepthTable, factor: float, provenance: Provenance) -> DepthTable:
    values = tuple(factor * value for value in table.values)
    fixed = None if table.fixed is None else factor * table.fixed
    return replace(table, values=values, fixed=fixed, provenance=provenance)


def _published_memory(read: _Read) -> Tables:
    source = f"peak memory is the model's, not the board's: that of {_PUBLISHED}"
    tables = _tables(_locate(_PUBLISHED, _FOLDER), "peak_memory_bytes", read)
    return {key: _times(table, 1.0, Provenance(standing="scaled", source=source)) for key, table in tables.items()}


def _with_cached(tables: Tables, read: _Read) -> Tables:
    """Add what is missing of cached adapters.

    They take what adapters without cache do, less the forward pass of the blocks below; of that pass, what is stored
    saves the share that the published tables show for the head alone (0.55 s of 0.57 s), so that nothing is free.
    """
    added: dict[tuple[Family, TableName], DepthTable] = {}
    for (family, name), table in tables.items():
        if name == "adapter" and (family, "cached_adapter") not in tables:
            added[family, "cached_adapter"] = _cached(table, _saved_share(family, read))
    return {**tables, **added}


def _cached(table: DepthTable, saved_share: float) -> DepthTable:
    blocks, forward = table.shape.blocks, table.values[0]
    values = tuple(
        max(value, forward) - saved_share * forward * (blocks - depth) / blocks
        for depth, value in enumerate(table.values)
    )
    source = "adapter without cache, less the forward pass of the blocks below"
    standing = least_sure("scaled", table.provenance.standing)
    return replace(table, values=values, provenance=Provenance(standing=standing, source=source))


def _saved_share(family: Family, read: _Read) -> float:
    published = _locate(_PUBLISHED, _FOLDER)

    def head_alone(name: TableName) -> float:
        return _table(published, "latency_seconds", family, name, read).values[0]

    return 1 - head_alone("cached_adapter") / head_alone("adapter")
