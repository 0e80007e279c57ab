"""The tables of a profile as they are used: `of` followed to where the values are, and gaps filled in by rule.

Two kinds of missing tables are filled in, in fp32 alone, as `scaled` or as sure as what they are made from: peak memory
by the published tables, and cached adapters by adapters without cache less the forward pass of the blocks below them.
What other formats lack stays missing: no rule says what they save.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from fedlab.devices.file import FormatEntry, ProfileFile, TableEntry
from fedlab.devices.tables import DepthTable, FormatTables, Provenance, Quantity, TableName, Tables, least_sure
from fedlab.errors import UserError
from fedlab.workload.passes import DEFAULT_PROCESSOR, Format
from fedlab.workload.shape import TabledFamily

PUBLISHED = "jetson-tx2"  # the profile with the published tables of peak memory and of cached adapters
Read = Callable[[Path], ProfileFile]
Locate = Callable[[str, Path], Path]


@dataclass(frozen=True, kw_only=True)
class TablePlace:
    """A processor and a number format: where in a profile a group of tables stands."""

    processor: str = DEFAULT_PROCESSOR
    format: Format = "fp32"

    def __str__(self) -> str:
        """Return the keys above the tables in the file, empty for those at its top."""
        return "" if self == TablePlace() else f"processors.{self.processor}.{self.format}."


def filled_tables(path: Path, place: TablePlace, read: Read, locate: Locate) -> FormatTables:
    """Return the tables that a profile's file has for a processor and a format.

    `locate` finds the profile that an `of` names. Raises UserError, naming file and key.
    """
    files = _Files(read=read, locate=locate)
    latency = files.tables(path, place, "latency_seconds")
    memory = files.tables(path, place, "peak_memory_bytes")
    if place.format == "fp32" and latency:
        latency, memory = _with_cached(latency, files), {**_published_memory(files), **memory}
    return FormatTables(latency_seconds=latency, peak_memory_bytes=memory)


@dataclass(frozen=True, kw_only=True)
class _Files:
    """How profiles are read and found."""

    read: Read
    locate: Locate

    def published(self) -> Path:
        return self.locate(PUBLISHED, Path())

    def tables(self, path: Path, place: TablePlace, quantity: Quantity) -> Tables:
        given = _entries(self.read(path), place, quantity)
        return {
            (family, name): self.table(path, place, quantity, family, name)
            for family in given
            for name in given[family]
        }

    def table(
        self,
        path: Path,
        place: TablePlace,
        quantity: Quantity,
        family: TabledFamily,
        name: TableName,
        trail: tuple[Path, ...] = (),
    ) -> DepthTable:
        """Return a table of a file, or follow its `of`; `trail` are the profiles that led here."""
        file, where = self.read(path), f"device profile {path}: {place}{quantity}.{family}.{name}"
        entry = _entries(file, place, quantity).get(family, {}).get(name)
        if entry is None:
            raise UserError(f"{where}: missing, {trail[-1]} is to be scaled from it")
        if path.resolve() in trail:
            raise UserError(f"{where}: is scaled from itself, expected `of` to lead to a table with values")
        if entry.of is None:
            return _own(entry, file, family, where)
        origin = self.table(
            self._origin(entry.of, path.parent, where), place, quantity, family, name, (*trail, path.resolve())
        )
        source = entry.source or f"{entry.factor:g} x {entry.of}"
        level = least_sure(entry.provenance or "scaled", origin.provenance.level)
        return _times(origin, entry.factor, Provenance(level=level, source=source))

    def _origin(self, text: str, base: Path, where: str) -> Path:
        try:
            return self.locate(text, base)
        except UserError as error:
            raise UserError(f"{where}.of: {error}") from error


def _entries(
    file: ProfileFile, place: TablePlace, quantity: Quantity
) -> Mapping[TabledFamily, Mapping[TableName, TableEntry]]:
    processor = file.processor(place.processor)
    tables = None if processor is None else processor.formats().get(place.format)
    return {} if tables is None else _of_quantity(tables, quantity)


def _of_quantity(tables: FormatEntry, quantity: Quantity) -> Mapping[TabledFamily, Mapping[TableName, TableEntry]]:
    return tables.latency_seconds if quantity == "latency_seconds" else tables.peak_memory_bytes


def _own(entry: TableEntry, file: ProfileFile, family: TabledFamily, where: str) -> DepthTable:
    shape = file.measured_at.shape(family)
    values, expected = entry.values or [], shape.blocks + 1
    if len(values) != expected:
        raise UserError(f"{where}: has {len(values)} values, expected {expected} (depth 0 to {expected - 1})")
    return DepthTable(
        values=tuple(values),
        shape=shape,
        point=file.measured_at.point,
        provenance=Provenance(level=entry.provenance or "assumed", source=entry.source),
        fixed=entry.fixed,
    )


def _times(table: DepthTable, factor: float, provenance: Provenance) -> DepthTable:
    values = tuple(factor * value for value in table.values)
    fixed = None if table.fixed is None else factor * table.fixed
    return replace(table, values=values, fixed=fixed, provenance=provenance)


def _published_memory(files: _Files) -> Tables:
    source = f"peak memory is the model's, not the board's: that of {PUBLISHED}"
    tables = files.tables(files.published(), TablePlace(), "peak_memory_bytes")
    return {key: _times(table, 1.0, Provenance(level="scaled", source=source)) for key, table in tables.items()}


def _with_cached(tables: Tables, files: _Files) -> Tables:
    """Add what is missing of cached adapters.

    They take what adapters without cache do, less the forward pass of the blocks below; of that pass, what is stored
    saves the share that the published tables show for the head alone (0.55 s of 0.57 s), so that nothing is free.
    """
    added: dict[tuple[TabledFamily, TableName], DepthTable] = {}
    for (family, name), table in tables.items():
        if name == "adapter" and (family, "cached_adapter") not in tables:
            added[family, "cached_adapter"] = _cached(table, _saved_share(family, files))
    return {**tables, **added}


def _cached(table: DepthTable, saved_share: float) -> DepthTable:
    blocks, forward = table.shape.blocks, table.values[0]
    values = tuple(
        max(value, forward) - saved_share * forward * (blocks - depth) / blocks
        for depth, value in enumerate(table.values)
    )
    source = "adapter without cache, less the forward pass of the blocks below"
    level = least_sure("scaled", table.provenance.level)
    return replace(table, values=values, provenance=Provenance(level=level, source=source))


def _saved_share(family: TabledFamily, files: _Files) -> float:
    """Return what of the forward pass stored activations save; families without published tables take BERT's share."""
    published = files.published()
    known = family if family in files.read(published).latency_seconds else "bert"

    def head_alone(name: TableName) -> float:
        return files.table(published, TablePlace(), "latency_seconds", known, name).values[0]

    return 1 - head_alone("cached_adapter") / head_alone("adapter")
