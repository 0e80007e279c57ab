"""The file of a device profile: TOML, checked key by key, read and written."""

import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import tomli_w
from pydantic import (
    BaseModel,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from fedlab.common.files import check_regular, refuse_existing, write_new
from fedlab.common.short_text import shortened
from fedlab.devices.conv_file import ConvProcessorEntry, accepted_conv_keys
from fedlab.devices.figure_entry import STRICT, FigureEntry, FigureValue
from fedlab.devices.tables import Point, ProvenanceLevel, TableName
from fedlab.errors import UserError
from fedlab.workload.checks import NAME_PATTERN
from fedlab.workload.passes import DEFAULT_PROCESSOR, FORMATS, Format
from fedlab.workload.shape import REFERENCE_SHAPES, ModelShape, TabledFamily

BOARD_FIGURES = ("memory_bytes", "communicating_watts", "idle_watts")
PROCESSOR_FIGURES = (
    "computing_watts", "memory_bandwidth_bytes_per_second", "launch_seconds", "step_seconds", "runtime_bytes",
)  # fmt: skip
FORMAT_FIGURES = ("peak_operations_per_second", "efficiency")
_TABLES = ("latency_seconds", "peak_memory_bytes")
_FIGURES = (*BOARD_FIGURES, *PROCESSOR_FIGURES, *FORMAT_FIGURES, "switch_seconds")
_SIZES = ("blocks", "hidden", "intermediate")


SizeValue = Annotated[int, Field(ge=1, le=1_048_576)]


class TableEntry(BaseModel):
    """A table by depth: a bare list, a table that says where its values come from, or another profile's by a factor."""

    model_config = STRICT

    values: list[FigureValue] | None = None
    of: str | None = None
    factor: FigureValue = 1.0
    fixed: FigureValue | None = None
    provenance: ProvenanceLevel | None = None
    source: str = ""

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, given: Any) -> Any:
        return given if isinstance(given, dict) else {"values": given}

    @model_validator(mode="after")
    def _either(self) -> "TableEntry":
        if (self.values is None) == (self.of is None):
            raise ValueError("expected either values = [...] or of = 'another profile' with a factor")
        return self


Entries = dict[TabledFamily, dict[TableName, TableEntry]]


class MeasuredAt(BaseModel):
    """The batch and the encoder that the file's own values are for; without sizes the base model of each family."""

    model_config = STRICT

    batch_size: SizeValue = 4
    sequence_length: SizeValue = 256
    width: SizeValue = 32
    blocks: SizeValue | None = None
    hidden: SizeValue | None = None
    intermediate: SizeValue | None = None

    @model_validator(mode="after")
    def _all_sizes(self) -> "MeasuredAt":
        given = [name for name in _SIZES if getattr(self, name) is not None]
        if given and len(given) < len(_SIZES):
            raise ValueError(f"has {' and '.join(given)} of an encoder, expected all of {', '.join(_SIZES)}, or none")
        return self

    @property
    def point(self) -> Point:
        """The batch."""
        return Point(batch_size=self.batch_size, sequence_length=self.sequence_length, width=self.width)

    def shape(self, family: TabledFamily) -> ModelShape:
        """Return the sizes of the encoder that the values of a family are for."""
        if self.blocks is None or self.hidden is None or self.intermediate is None:
            return REFERENCE_SHAPES[family]
        return ModelShape(family=family, blocks=self.blocks, hidden=self.hidden, intermediate=self.intermediate)


class FormatEntry(BaseModel):
    """The tables and the rates of a processor in one number format."""

    model_config = STRICT

    peak_operations_per_second: FigureEntry | None = None
    efficiency: FigureEntry | None = None
    latency_seconds: Entries = {}
    peak_memory_bytes: Entries = {}

    @model_validator(mode="after")
    def _share(self) -> "FormatEntry":
        check_rates(self)
        return self


class ProcessorEntry(BaseModel):
    """A processor of a board: its figures, and its tables and rates by number format.

    With `switch_seconds` it multiplies by frozen matrices alone, and the processor `default` does the rest.
    """

    model_config = STRICT

    computing_watts: FigureEntry | None = None
    memory_bandwidth_bytes_per_second: FigureEntry | None = None
    launch_seconds: FigureEntry | None = None
    step_seconds: FigureEntry | None = None
    runtime_bytes: FigureEntry | None = None
    switch_seconds: FigureEntry | None = None
    forward_only: bool = False
    fp32: FormatEntry | None = None
    fp16: FormatEntry | None = None
    bf16: FormatEntry | None = None
    int8: FormatEntry | None = None
    int4: FormatEntry | None = None

    def formats(self) -> dict[Format, FormatEntry]:
        """Return the tables by the formats there are tables for."""
        found: dict[Format, FormatEntry | None] = {name: getattr(self, name) for name in FORMATS}
        return {name: entry for name, entry in found.items() if entry is not None}


ProcessorName = Annotated[str, StringConstraints(pattern=f"^{NAME_PATTERN}$")]


class ProfileFile(BaseModel):
    """A whole profile, as it stands in its file.

    Tables, rates and watts at its top are those of the processor `default` in fp32; `processors` holds others, and
    other formats of that one. `convolutions` has the figures for convolutional networks by processor, of which the
    first one stands for `default`.
    """

    model_config = STRICT

    description: str = ""
    measured_at: MeasuredAt = MeasuredAt()
    memory_bytes: FigureEntry
    computing_watts: FigureEntry
    communicating_watts: FigureEntry
    idle_watts: FigureEntry
    memory_bandwidth_bytes_per_second: FigureEntry | None = None
    launch_seconds: FigureEntry | None = None
    step_seconds: FigureEntry | None = None
    runtime_bytes: FigureEntry | None = None
    peak_operations_per_second: FigureEntry | None = None
    efficiency: FigureEntry | None = None
    latency_seconds: Entries = {}
    peak_memory_bytes: Entries = {}
    processors: dict[ProcessorName, ProcessorEntry] = {}
    convolutions: dict[ProcessorName, ConvProcessorEntry] = {}

    @model_validator(mode="after")
    def _complete(self) -> "ProfileFile":
        for name, entry in self.processors.items():
            if name != DEFAULT_PROCESSOR and entry.computing_watts is None:
                raise ValueError(f"processors.{name}.computing_watts: missing, expected here")
        if default := self.processors.get(DEFAULT_PROCESSOR):
            self._check_said_once(default)
        check_rates(self)
        known = [entry for _, _, entry in self.formats()]
        has_tables = any(table for entry in known for table in entry.latency_seconds.values())
        has_rates = any(entry.peak_operations_per_second for entry in known) or self.convolutions
        if not has_tables and not has_rates:
            raise ValueError(
                "latency_seconds: no table, expected at least one, such as latency_seconds.bert.adapter, or "
                "peak_operations_per_second"
            )
        return self

    def _check_said_once(self, default: ProcessorEntry) -> None:
        """Refuse what the file's top says of the processor `default`."""
        if default.switch_seconds is not None:
            raise ValueError(f"processors.{DEFAULT_PROCESSOR}.switch_seconds: it has no other processor to switch to")
        for key in (*PROCESSOR_FIGURES, "fp32"):
            if getattr(default, key) is not None:
                where = "latency_seconds and peak_memory_bytes at the top" if key == "fp32" else f"{key} at the top"
                raise ValueError(f"processors.{DEFAULT_PROCESSOR}.{key}: expected as {where} of the file")

    def processor(self, name: str) -> ProcessorEntry | None:
        """Return a processor, the top of the file being the default one; None if there is none of that name."""
        if name != DEFAULT_PROCESSOR:
            return self.processors.get(name)
        given = self.processors.get(DEFAULT_PROCESSOR, ProcessorEntry())
        tables = FormatEntry(**{key: getattr(self, key) for key in (*FORMAT_FIGURES, *_TABLES)})
        figures = {key: getattr(self, key) for key in PROCESSOR_FIGURES}
        return given.model_copy(update={"fp32": tables, **figures})

    def formats(self) -> Iterator[tuple[str, Format, FormatEntry]]:
        """Yield the tables of each processor and format, those of the file's top first."""
        for name in dict.fromkeys((DEFAULT_PROCESSOR, *self.processors)):
            entry = self.processor(name)
            assert entry is not None, "it is one of the file's"
            for number_format, tables in entry.formats().items():
                yield name, number_format, tables


def check_rates(entry: FormatEntry | ProfileFile) -> None:
    """Raise a ValueError if a share of a peak is above it, or of no peak."""
    if entry.efficiency is None:
        return
    if entry.peak_operations_per_second is None:
        raise ValueError("efficiency: is a share of peak_operations_per_second, which is missing")
    if entry.efficiency.value > 1:
        raise ValueError(f"efficiency: is {entry.efficiency.value:g}, expected a share of the peak, at most 1")


def read_profile_file(path: Path) -> ProfileFile:
    """Read and check a profile's file. Raises UserError, naming file and key."""
    try:
        check_regular(path)
        return ProfileFile.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise UserError(f"device profile {path}: cannot be read ({error.strerror}), expected a TOML file") from error
    except ValidationError as error:
        raise UserError(f"device profile {path}: {_first_problem(error)}") from error
    except (ValueError, RecursionError) as error:  # not UTF-8, or not TOML
        raise UserError(f"device profile {path}: not a TOML file ({shortened(str(error), 160)})") from error


def write_profile_file(path: Path, table: Mapping[str, Any]) -> None:
    """Write a new profile, complete or not at all. Raises UserError if there is such a file, or it cannot be made."""
    ProfileFile.model_validate(table)
    text = tomli_w.dumps(table)
    assert tomllib.loads(text) == table, "what is written is what is read"
    check_is_new(path)
    write_new(path, text)


def check_is_new(path: Path) -> None:
    """Refuse a path that is taken or that no file can be made at, before anything is measured for it."""
    if path.suffix != ".toml":
        raise UserError(f"device profile {path}: expected a name that ends in .toml")
    refuse_existing(path)
    if not path.parent.is_dir():
        raise UserError(f"device profile {path}: there is no folder {path.parent}")
    if not os.access(path.parent, os.W_OK):
        raise UserError(f"device profile {path}: the folder {path.parent} cannot be written to")


def _first_problem(error: ValidationError) -> str:
    problem = error.errors()[0]
    place = [str(part) for part in problem["loc"] if part != "[key]"]
    if problem["type"] == "missing":
        return f"{'.'.join(place)}: missing, expected here"
    if problem["type"] != "extra_forbidden":
        said = problem["msg"].removeprefix("Value error, ")
        return f"{'.'.join(place)}: {said}" if place else said
    return f"{'.'.join(place)}: unknown key, expected one of {', '.join(_accepted_keys(place))}"


def _accepted_keys(place: Sequence[str]) -> list[str]:
    """Return the keys that can stand where an unknown one does, which comes last in its place."""
    above, inside = place[:-1], "processors" in place[:1]
    if not above:
        return list(ProfileFile.model_fields)
    if inside and len(above) == 2:
        return list(ProcessorEntry.model_fields)
    if inside and len(above) == 3 and above[2] in FORMATS:
        return list(FormatEntry.model_fields)
    if above[0] == "convolutions":
        return accepted_conv_keys(above)
    if above[0] == "measured_at":
        return list(MeasuredAt.model_fields)
    return list((FigureEntry if above[-1] in _FIGURES else TableEntry).model_fields)
