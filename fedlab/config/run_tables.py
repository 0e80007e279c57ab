"""Tables of an experiment that touch no result: how a run is kept, and who is told of it."""

from pydantic import Field, field_validator

from fedlab.common.short_text import short
from fedlab.config.builtins import TRACKERS
from fedlab.config.plugins import nearest
from fedlab.config.task_table import ExperimentTable, Options


class CheckpointTable(ExperimentTable):
    """How often a run is saved, to be resumed from there; after its first round, and before its last, it always is."""

    every: int | None = Field(
        None,
        ge=1,
        description="rounds between checkpoints; default: as often as writing them takes under 5% of the real time",
    )


class TrackingTable(ExperimentTable):
    """Who else is told of the run as it happens (docs/guides/trackers.md)."""

    to: list[str] = Field(
        [], description="tensorboard, mlflow, wandb, or an observer of your own: module:Class or path/to/file.py:Class"
    )
    options: dict[str, Options] = Field(
        default_factory=dict, description="keyword arguments of each, by its name in `to`"
    )

    @field_validator("to", mode="before")
    @classmethod
    def _one_or_more(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value

    @field_validator("to")
    @classmethod
    def _named_once(cls, value: list[str]) -> list[str]:
        for name in value:
            _check_name(name)
            if value.count(name) > 1:
                raise ValueError(f"names {short(name)} twice")
        return value

    @field_validator("options")
    @classmethod
    def _of_trackers(cls, value: dict[str, Options]) -> dict[str, Options]:
        for name in value:  # one that is switched off keeps its options
            _check_name(name)
        return value


def _check_name(name: str) -> None:
    if ":" not in name and name not in TRACKERS:
        raise ValueError(
            f"{short(name)}: no such tracker: {nearest(name, TRACKERS)}, or module:Class or path/to/file.py:Class"
        )
