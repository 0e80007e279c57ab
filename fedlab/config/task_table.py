"""The table of the task in an experiment file, and what all tables of the file share."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Options = dict[str, Any]
TaskKind = Literal["classification", "tagging", "next-token", "prompt", "image"]
ScoreName = Literal[
    "accuracy",
    "macro-f1",
    "balanced-accuracy",
    "entity-f1",
    "token-accuracy",
    "likelihood",
    "exact-match",
    "f1",
    "rouge-l",
]
# What the score of a model can be in each kind of task, the default first.
SCORES: Mapping[TaskKind, tuple[ScoreName, ...]] = {
    "classification": ("accuracy", "macro-f1", "balanced-accuracy"),
    "tagging": ("entity-f1", "macro-f1"),
    "next-token": ("token-accuracy", "likelihood"),
    "prompt": ("token-accuracy", "likelihood", "accuracy", "exact-match", "f1", "rouge-l"),
    "image": ("accuracy", "macro-f1", "balanced-accuracy"),
}

OF_TEXTS: tuple[ScoreName, ...] = ("exact-match", "f1", "rouge-l")  # those of texts that the model generates
CHAT = "chat"  # the template that a model's tokenizer has
_MOST_CLIENTS = 1_000_000
_OF_PROMPTS = ("prompt", "response", "messages", "system", "template")
_OF_LANGUAGE = ("generate", "new_tokens")
_OF_IMAGES = ("image", "image_shape", "mean", "std", "augment", "crop_padding")
_OF_TEXTS = ("text",)
_OF_CHANNELS = ("mean", "std")
_Size = Annotated[int, Field(ge=1, le=65_536)]


class ExperimentTable(BaseModel):
    # Strict: neither a truth value nor a number in quotes is taken for a number.
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=True)


class Partition(ExperimentTable):
    """How the training examples are split over the clients (flwr-datasets partitioners)."""

    scheme: Literal["iid", "dirichlet", "quantity", "pathological", "natural"] = Field(
        "iid", description="iid; dirichlet: label skew; quantity: size skew; pathological: few labels; natural: by id"
    )
    clients: int = Field(
        100, ge=1, le=_MOST_CLIENTS, description="number of clients; with `natural`, the number of distinct ids"
    )
    alpha: float = Field(1.0, ge=1e-6, le=1e9, description="dirichlet: concentration; small is skewed")
    growth: Literal["linear", "square", "exponential"] = Field("linear", description="quantity: size by partition id")
    classes_per_client: int = Field(2, ge=1, le=_MOST_CLIENTS, description="pathological: labels each client holds")
    column: str | None = Field(None, description="natural: the column that names the client")
    min_examples: int | None = Field(None, ge=1, description="fewest training examples of a client; default: 1")
    below_min: Literal["redraw", "drop"] | None = Field(
        None,
        description="if a client would have fewer: redraw (dirichlet: up to 110 splits, pathological: 10), or drop "
        "the client and its examples; default: redraw",
    )


class TaskTable(ExperimentTable):
    """The texts or images, their labels and how they are split over the clients."""

    data: str = Field("docstrings", description="built-in name, local file or folder, hub id, or module:function")
    kind: TaskKind = Field(
        "classification",
        description="classification: one label a text; tagging: one a token; next-token: plain text; prompt: responses "
        "to prompts; image: one label an image",
    )
    format: Literal[
        "auto", "csv", "jsonl", "parquet", "saved", "conll", "text", "semeval2010-task8", "npz", "images", "hub"
    ] = Field("auto", description="auto: by file name; saved: `Dataset.save_to_disk`; images: folders named for labels")
    files: dict[Literal["train", "validation", "test"], str] = Field(
        default_factory=dict, description="file of each split, inside `data`; default: files named for the splits"
    )
    delimiter: str | None = Field(None, description="what separates the fields of a CSV; default: a comma, tab in .tsv")
    column_names: list[str] | None = Field(
        None, description="names of the columns of a CSV without a header line, or of a CoNLL file"
    )
    text: list[str] = Field(["text"], description="columns of the text, joined by a space; tagging: the token column")
    label: str = Field("label", description="column of the label")
    labels: list[str] | None = Field(None, description="the set of labels; default: those of the training split")
    options: Options = Field(default_factory=dict, description="keyword arguments of a data function or hub data set")
    prompt: str = Field("prompt", description="prompt: column of the prompt, or a text with {columns}")
    response: str = Field("response", description="prompt: column of the response")
    messages: str | None = Field(
        None, description="prompt: column of chat messages (role, content), in place of prompt and response"
    )
    system: str | None = Field(None, description="prompt: system message, for the model's chat template")
    template: str = Field(
        CHAT, description="prompt: chat, the model's own template, or a text with {prompt}, which the response follows"
    )
    pack: bool = Field(True, description="next-token: join a client's texts into blocks of max_length; else one a text")
    measure: ScoreName | None = Field(None, description="as evaluation.measure, which is the same key")
    generate: int = Field(
        100, ge=1, le=100_000, description="texts of a split that the model continues for exact-match, f1 and rouge-l"
    )
    new_tokens: int = Field(32, ge=1, le=32_768, description="the most tokens of a text that the model generates")
    image: str = Field("image", description="image: column of the images")
    image_shape: list[_Size] | None = Field(
        None, description="image: channels, height and width of all images; default: those of the first"
    )
    mean: list[float] | None = Field(
        None, description="image: mean of each channel, 0 to 1, that is subtracted; default: of the training split"
    )
    std: list[float] | None = Field(
        None, description="image: standard deviation, by which it is divided; default: of the training split"
    )
    augment: list[Literal["crop", "flip"]] = Field(
        [], description="image: crop: windows of padded training images; flip: half of them left to right"
    )
    crop_padding: int = Field(4, ge=1, le=1024, description="image: rows and columns of zeros that crop pads with")
    max_length: int = Field(64, ge=4, le=32_768, description="tokens a text or block, longer texts are cut")
    validation: float = Field(0.1, gt=0, lt=1, description="share of train held by the server, if there is no split")
    test: float = Field(0.2, gt=0, lt=1, description="share of train held out for the report, if there is no split")
    limit: int | None = Field(None, ge=1, description="use at most this many training examples")
    test_limit: int | None = Field(None, ge=1, description="test on at most this many examples, drawn at random")
    partition: Partition = Partition()

    @field_validator("text", mode="before")
    @classmethod
    def _one_or_more(cls, value: object) -> object:
        columns = [value] if isinstance(value, str) else value
        if not isinstance(columns, list):
            raise ValueError("expected a column, or a list of columns")  # noqa: TRY004  (pydantic reports these alone)
        return columns

    @field_validator("delimiter")
    @classmethod
    def _one_character(cls, value: str | None) -> str | None:
        if value in ("\\t", "tab"):  # a shell has no short way to write a tab
            return "\t"
        if value is not None and (len(value) != 1 or not value.isascii() or value in '"\r\n'):
            raise ValueError("expected one character, such as ';' or a tab")
        return value

    @field_validator("column_names")
    @classmethod
    def _named_once(cls, value: list[str] | None) -> list[str] | None:
        twice = {name for name in value or [] if (value or []).count(name) > 1}
        if twice:
            raise ValueError(f"names '{min(twice)}' twice")
        return value

    @model_validator(mode="after")
    def _of_its_kind(self) -> "TaskTable":
        for names, kinds, fits in (
            (_OF_PROMPTS, "prompt", self.kind == "prompt"),
            (_OF_LANGUAGE, "next-token or prompt", self.is_language),
            (_OF_IMAGES, "image", self.kind == "image"),
            (_OF_TEXTS, "classification, tagging or next-token", self.kind != "image"),
        ):
            for name in names:
                if not fits and getattr(self, name) != type(self).model_fields[name].default:
                    raise ValueError(f"{name} is for kind {kinds}, not for {self.kind}")
        if self.measure is not None and self.measure not in SCORES[self.kind]:
            raise ValueError(f"measure '{self.measure}': kind {self.kind} has {', '.join(SCORES[self.kind])}")
        if self.template != CHAT and self.template.count("{prompt}") != 1:
            raise ValueError("template: expected 'chat', or a text in which {prompt} stands once")
        if self.messages is not None and self.scores_labels:
            raise ValueError("messages: the label words of accuracy need prompt and response columns")
        return self

    @model_validator(mode="after")
    def _of_channels(self) -> "TaskTable":
        if self.image_shape is not None and len(self.image_shape) != 3:
            raise ValueError(f"image_shape = {self.image_shape}: expected channels, height and width")
        for name in _OF_CHANNELS:
            values = getattr(self, name)
            if values is not None and self.image_shape is not None and len(values) != self.image_shape[0]:
                raise ValueError(f"{name} = {values}: expected a number for each of {self.image_shape[0]} channels")
        if (self.mean is None) != (self.std is None):
            raise ValueError("mean and std: expected both or neither")
        if any(value <= 0 for value in self.std or []):
            raise ValueError(f"std = {self.std}: expected numbers above 0")
        return self

    @property
    def is_language(self) -> bool:
        """Whether the model learns to say the tokens of a text, and not a label."""
        return self.kind in ("next-token", "prompt")

    @property
    def scored_by(self) -> ScoreName:
        """The score of a model: what the best one and the stop rule are judged by."""
        if self.measure is None and self.kind == "prompt" and self.labels:
            return "accuracy"
        return self.measure or SCORES[self.kind][0]

    @property
    def scores_labels(self) -> bool:
        """Whether the responses are label words, scored by their likelihood."""
        return self.kind == "prompt" and self.scored_by == "accuracy"


def with_measure(table: dict[str, Any]) -> dict[str, Any]:
    """Copy an experiment's `evaluation.measure` into its task; one that is no measure is left to its own key to refuse.

    Raises:
        ValueError: the task says another measure, or its kind does not have this one.
    """
    evaluation, task = table.get("evaluation"), table.get("task", {})
    if not isinstance(evaluation, dict) or not isinstance(task, dict):
        return table
    measure = evaluation.get("measure")
    if measure not in get_args(ScoreName):
        return table
    if task.get("measure") not in (None, measure):
        raise ValueError(f"evaluation.measure = '{measure}' and task.measure = '{task['measure']}': give one of them")
    kind = task.get("kind", TaskTable.model_fields["kind"].default)
    if kind in get_args(TaskKind) and measure not in SCORES[kind]:
        raise ValueError(f"evaluation.measure = '{measure}': task.kind = '{kind}' has {', '.join(SCORES[kind])}")
    return table | {"task": task | {"measure": measure}}
