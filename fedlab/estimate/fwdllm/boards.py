"""The boards of FwdLLM's figures: the seconds of a batch by processor, number format, method and backbone."""

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from fedlab.config.plugins import nearest
from fedlab.devices.figure_entry import FigureEntry, FigureValue
from fedlab.devices.tables import Figure, Provenance, ProvenanceLevel, least_sure
from fedlab.errors import UserError
from fedlab.estimate.spec import FwdllmMethod
from fedlab.workload.passes import DEFAULT_PROCESSOR, Format

_FOLDER = Path(__file__).parent / "profiles"
_SECONDS_AS: Mapping[FwdllmMethod, FwdllmMethod] = {"fedavg": "adapter"}  # what is trained there is the same
Seconds = Mapping[FwdllmMethod, Mapping[str, FigureEntry]]  # of a batch, by method and backbone


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LikeEntry(_Entry):
    """Which figures others are derived from, and by which divisor."""

    board: str
    processor: str
    format: Format
    divisor: FigureValue
    provenance: ProvenanceLevel
    source: str


class BilledFormat(_Entry):
    """A processor in a number format: either its own seconds, or those of another one; and what a parameter takes."""

    parameter_bytes: int = Field(ge=1)
    seconds: Seconds = {}
    like: LikeEntry | None = None

    @model_validator(mode="after")
    def _either(self) -> Self:
        if bool(self.seconds) == (self.like is not None):
            raise ValueError("expected either seconds, or like")
        return self


class BilledBoard(_Entry):
    """A board as FwdLLM bills it; `forward_transfers` is how often a step of `forward` sends the parameters."""

    description: str
    batch_size: int = Field(ge=1)
    default_processor: str
    forward_transfers: int = Field(ge=1, le=2)
    computing_watts: FigureEntry
    communicating_watts: FigureEntry
    processors: Mapping[str, Mapping[Format, BilledFormat]]

    @model_validator(mode="after")
    def _default(self) -> Self:
        if self.default_processor not in self.processors:
            raise ValueError(f"default_processor {self.default_processor!r} is not one of its processors")
        return self


class Priced(NamedTuple):
    """What a board is billed for a method: the seconds of a batch of the board's size, and the bytes of a parameter."""

    seconds: Figure
    parameter_bytes: int


def billed_boards() -> tuple[str, ...]:
    """List the boards that FwdLLM gives figures of."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.toml")))


@cache
def billed_board(name: str) -> BilledBoard:
    """Read a board's figures. Raises UserError if FwdLLM has none of it."""
    if name not in billed_boards():
        raise UserError(f"--device: FwdLLM has no figures of '{name}': {nearest(name, billed_boards())}")
    return BilledBoard.model_validate(tomllib.loads((_FOLDER / f"{name}.toml").read_text(encoding="utf-8")))


def priced(name: str, processor: str, number_format: Format, method: FwdllmMethod, backbone: str) -> Priced:
    """Return what a batch takes on a board.

    Raises:
        UserError: the board has no such processor, the processor no such format, or no figure of the method there is
            published; nothing is taken from another processor.
    """
    board = billed_board(name)
    processor = board.default_processor if processor == DEFAULT_PROCESSOR else processor
    if processor not in board.processors:
        raise UserError(f"--processor: FwdLLM has no '{processor}' of {name}, accepted: {', '.join(board.processors)}")
    formats = board.processors[processor]
    if number_format not in formats:
        raise UserError(
            f"--format: the {processor} of {name} has no figures in {number_format}, accepted: {', '.join(formats)}"
        )
    figure = _seconds(name, processor, number_format, _SECONDS_AS.get(method, method), backbone)
    if figure is None:
        raise UserError(
            f"--method: FwdLLM has no seconds of {method} on the {processor} of {name} in {number_format}, "
            f"accepted there: {', '.join(_methods(name, processor, number_format))}"
        )
    return Priced(figure, formats[number_format].parameter_bytes)


def _methods(name: str, processor: str, number_format: Format) -> list[FwdllmMethod]:
    entry = billed_board(name).processors[processor][number_format]
    if entry.like is not None:
        return _methods(entry.like.board, entry.like.processor, entry.like.format)
    return [*entry.seconds, *(method for method, same in _SECONDS_AS.items() if same in entry.seconds)]


def _seconds(name: str, processor: str, number_format: Format, method: FwdllmMethod, backbone: str) -> Figure | None:
    entry = billed_board(name).processors[processor][number_format]
    if entry.like is None:
        found = entry.seconds.get(method, {}).get(backbone)
        if found is None:
            return None
        return Figure(value=found.value, provenance=Provenance(level=found.provenance, source=found.source))
    other = _seconds(entry.like.board, entry.like.processor, entry.like.format, method, backbone)
    if other is None:
        return None
    level = least_sure(other.provenance.level, entry.like.provenance)
    provenance = Provenance(level=level, source=entry.like.source)
    return Figure(value=other.value / entry.like.divisor, provenance=provenance)
