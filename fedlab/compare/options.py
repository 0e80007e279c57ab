"""What is asked of a comparison, on the command line and in a sweep file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from fedlab.compare.measurements import MeasuredSplit
from fedlab.config.plugins import nearest
from fedlab.errors import UserError


@dataclass(frozen=True, kw_only=True)
class ComparisonOptions:
    """What is asked of a comparison.

    Targets are `shares` of the full-convergence accuracy, the largest first: of `full_accuracy` if given, else of what
    the `reference` method reaches, else of what the best one does. A running mean over `smooth` measurements takes out
    noise. `oracle` are keys that hindsight chooses, `baseline` is the method that speed-ups are over.
    """

    split: MeasuredSplit = "test"
    shares: tuple[float, ...] = (0.99, 0.95, 0.9, 0.8, 0.7)
    full_accuracy: float | None = None
    reference: str | None = None
    baseline: str | None = None
    smooth: int = 1
    oracle: tuple[str, ...] = ()
    log_time: bool = False


def options_from(table: Mapping[str, Any], place: str) -> ComparisonOptions:
    """Return the options that a [sweep.compare] table or a command line says; `place` tells where it stands.

    Raises:
        UserError: a key or a value is not accepted.
    """
    try:
        said = _CompareTable.model_validate(table)
    except ValidationError as error:
        raise UserError(_one_line(error, place)) from error
    return ComparisonOptions(
        shares=tuple(sorted({percent / 100 for percent in said.targets}, reverse=True)),
        oracle=tuple(said.oracle),
        **said.model_dump(exclude={"targets", "oracle"}),
    )


class _CompareTable(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    targets: list[float] = Field([99, 95, 90, 80, 70], min_length=1)
    full_accuracy: float | None = Field(None, gt=0, le=1)
    reference: str | None = None
    baseline: str | None = None
    split: MeasuredSplit = "test"
    smooth: int = Field(1, ge=1)
    oracle: list[str] = []
    log_time: bool = False

    @field_validator("targets", "oracle", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @model_validator(mode="after")
    def _one_full_accuracy(self) -> "_CompareTable":
        if self.full_accuracy is not None and self.reference is not None:
            raise ValueError("full_accuracy and reference both say the full-convergence accuracy, expected one of them")
        return self

    @field_validator("targets")
    @classmethod
    def _percentages(cls, value: Sequence[float]) -> Sequence[float]:
        if not all(0 < percent <= 100 for percent in value):
            raise ValueError("expected percentages above 0 and up to 100, such as 99,95,90")
        return value


def _one_line(error: ValidationError, place: str) -> str:
    first = error.errors()[0]
    if not first["loc"]:  # of the table as a whole
        return f"{place}: {first['msg'].removeprefix('Value error, ')}"
    key = str(first["loc"][0])
    if first["type"] == "extra_forbidden":
        return f"{place}: unknown key {key}: {nearest(key, _CompareTable.model_fields)}"
    message = first["msg"].removeprefix("Value error, ")
    return f"{place}: {key} = {first['input']!r}: {message[0].lower()}{message[1:]}"
