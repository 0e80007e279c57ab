"""Tables of an experiment about the run itself: the machine it uses, how it is kept, and who is told of it."""

from typing import Literal

from pydantic import Field, field_validator

from fedlab.common.short_text import short
from fedlab.config.builtins import TRACKERS
from fedlab.config.plugins import nearest
from fedlab.config.task_table import ExperimentTable, Options

OWN_RAY = "local"  # the address that stands for a Ray of the run's own


class EngineTable(ExperimentTable):
    """How the simulation uses this machine. `pack` and `device` touch results, in the rounding of float32 sums."""

    workers: int | None = Field(
        None, ge=1, le=10_000, description="Ray actors; default: one a core, or `actors_per_gpu` a GPU"
    )
    device: Literal["cpu", "cuda"] = Field("cpu", description="where clients compute: the cores, or the GPUs")
    actors_per_gpu: int = Field(1, ge=1, le=1000, description="actors that share a GPU")
    pack: int | None = Field(
        None,
        ge=1,
        description="clients trained side by side in an actor, if they can; default: 4, 1 of decoders of 512 or more "
        "hidden units, 32 on a GPU",
    )
    ray_address: str | None = Field(
        None,
        description=f"an existing Ray cluster, or {OWN_RAY}: one for the run alone; "
        "default: that of a session (fedlab session), if there is one, else one for the run alone",
    )
    hang_seconds: float = Field(
        600.0,
        ge=0.001,
        le=1e9,
        description="an actor at work for longer, for each client it was given, is named and ended",
    )
    cache_bytes: int | None = Field(
        None,
        ge=0,
        description="room for stored activations a machine; default: a quarter of its available memory",
    )
    activations: str | None = Field(
        None,
        description="a folder that keeps them for other runs of the same data and backbone, "
        "on every machine of a cluster; default: none does",
    )

    @property
    def cluster_address(self) -> str | None:
        """The address of a Ray cluster that is there already; None if the experiment names none."""
        return None if self.ray_address == OWN_RAY else self.ray_address


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
