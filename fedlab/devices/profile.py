"""Device profiles: what a board's processors need for one batch, and where each figure comes from."""

import difflib
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fedlab.devices.conv_rates import ConvProcessor
from fedlab.devices.file import (
    BOARD_FIGURES,
    FORMAT_FIGURES,
    PROCESSOR_FIGURES,
    FormatEntry,
    ProcessorEntry,
    ProfileFile,
    read_profile_file,
)
from fedlab.devices.filled_tables import TablePlace, filled_tables
from fedlab.devices.tables import Figure, FormatTables, Provenance, ProvenanceLevel, least_sure
from fedlab.errors import UserError
from fedlab.workload.passes import DEFAULT_PROCESSOR, Format

_FOLDER = Path(__file__).parent / "profiles"
_UNKNOWN = Provenance(level="assumed", source="")


@dataclass(frozen=True, kw_only=True)
class Processor:
    """A processor of a board: what it draws while it computes, and its tables and rates by number format.

    `launch_seconds` is what starting an operator takes, and `step_seconds` what a batch takes besides its operators.
    `runtime_bytes` is what process and libraries take, None where that is not counted. A `forward_only` processor
    cannot compute gradients. One with `switch_seconds` multiplies by frozen matrices alone: the processor `default`
    does the rest in fp32, and each crossing takes that long.
    """

    name: str
    computing_watts: float
    formats: Mapping[Format, FormatTables]
    watts_provenance: Provenance = _UNKNOWN
    memory_bandwidth_bytes_per_second: Figure | None = None
    launch_seconds: Figure | None = None
    step_seconds: Figure | None = None
    runtime_bytes: Figure | None = None
    switch_seconds: Figure | None = None
    forward_only: bool = False


@dataclass(frozen=True, kw_only=True)
class DeviceProfile:
    """A board: its memory, its power and its processors. `name` is the built-in name or the path it was loaded by.

    `convolutions` are its processors for convolutional networks; the first one stands for the processor `default`.
    `relative_throughput` is how many times as fast all of it is as its tables say.
    """

    name: str
    description: str
    memory_bytes: int
    communicating_watts: float
    idle_watts: float
    processors: Mapping[str, Processor]
    provenance: Mapping[str, Provenance]  # of memory_bytes and the two powers
    convolutions: Mapping[str, ConvProcessor] = field(default_factory=dict)
    relative_throughput: float = 1.0

    def provenance_level(self, *figures: str) -> ProvenanceLevel:
        """Return how sure the least sure of some of its figures is; one of unknown origin is assumed."""
        return least_sure(*(self.provenance.get(figure, _UNKNOWN).level for figure in figures))

    def processor(self, name: str = DEFAULT_PROCESSOR) -> Processor:
        """Return a processor. Raises UserError if the board has none of that name."""
        if name not in self.processors:
            known = ", ".join(self.processors)
            raise UserError(f"device profile {self.name}: no processor {name!r}, accepted: {known}")
        return self.processors[name]

    def tables(self, processor: str, number_format: Format) -> FormatTables:
        """Return a processor's tables and rates in a format. Raises UserError if it has none."""
        formats = self.processor(processor).formats
        if number_format not in formats:
            raise UserError(
                f"device profile {self.name}: no tables or rates for {number_format} on the processor {processor!r}, "
                f"accepted: {', '.join(formats) or 'none'}"
            )
        return formats[number_format]


def built_in_profiles() -> tuple[str, ...]:
    """List the names of the profiles that come with the package, sorted."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.toml")))


def load_profile(name_or_path: str, base: Path) -> DeviceProfile:
    """Load a built-in profile by name, or a user's by the path of its .toml file (relative ones start at `base`).

    Tables that are missing in fp32 are filled in where a rule covers them; see `fedlab.devices.filled_tables`. Raises
    UserError, naming file and key.
    """
    read = functools.cache(read_profile_file)
    path = locate_profile(name_or_path, base)
    file = read(path)
    figures: dict[str, Figure] = {key: getattr(file, key).figure for key in BOARD_FIGURES}
    return DeviceProfile(
        name=name_or_path,
        description=file.description,
        memory_bytes=round(file.memory_bytes.value),
        communicating_watts=file.communicating_watts.value,
        idle_watts=file.idle_watts.value,
        processors=_processors(path, read),
        provenance={key: figure.provenance for key, figure in figures.items()},
        convolutions={name: entry.processor(name) for name, entry in file.convolutions.items()},
    )


def at_throughput(profile: DeviceProfile, factor: float) -> DeviceProfile:
    """Return the same board, `factor` times as fast; its power stays. The name says the factor, to two figures."""
    factor *= profile.relative_throughput
    return replace(profile, name=f"{profile.name} x{factor:.2g}", relative_throughput=factor)


def locate_profile(text: str, base: Path) -> Path:
    """Return the file of a built-in profile, or of a user's. Raises UserError for an unknown name."""
    if text.endswith(".toml") or "/" in text:
        return base / Path(text).expanduser()
    names = built_in_profiles()
    if text not in names:
        near = difflib.get_close_matches(text, names, n=1, cutoff=0.0)[0]
        raise UserError(
            f"unknown device {text!r}, nearest is {near!r}: expected {', '.join(names)} or a path ending in .toml"
        )
    return _FOLDER / f"{text}.toml"


def _processors(path: Path, read: Callable[[Path], ProfileFile]) -> dict[str, Processor]:
    """Return the processors of a file: the default one first, which is the only one of most."""
    file = read(path)
    formats: dict[str, dict[Format, FormatTables]] = {}
    for name, number_format, entry in file.formats():
        place = TablePlace(processor=name, format=number_format)
        tables = filled_tables(path, place, read, locate_profile)
        formats.setdefault(name, {})[number_format] = replace(tables, **_figures(entry, FORMAT_FIGURES))
    entries = {name: file.processor(name) for name in dict.fromkeys((DEFAULT_PROCESSOR, *file.processors))}
    return {name: _processor(name, entry, formats.get(name, {})) for name, entry in entries.items() if entry}


def _processor(name: str, entry: ProcessorEntry, formats: Mapping[Format, FormatTables]) -> Processor:
    watts = entry.computing_watts
    assert watts is not None, "the file was checked for it"
    return Processor(
        name=name,
        computing_watts=watts.value,
        formats=formats,
        watts_provenance=watts.figure.provenance,
        forward_only=entry.forward_only,
        **_figures(entry, (*PROCESSOR_FIGURES[1:], "switch_seconds")),
    )


def _figures(entry: ProcessorEntry | FormatEntry, names: Sequence[str]) -> dict[str, Any]:
    """Return some figures of an entry, None for those that it lacks."""
    given = {name: getattr(entry, name) for name in names}
    return {name: None if figure is None else figure.figure for name, figure in given.items()}
