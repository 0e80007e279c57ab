"""What was read of a task's data: sizes, labels, lengths, what was cut or left out, and what each client holds."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

UNLABELLED = "(no label)"  # of texts whose partition needs none


@dataclass(frozen=True, kw_only=True)
class SplitReport:
    """One split as it is used: after holding out and limits. Images have no tokens."""

    examples: int
    labels: dict[str, int]  # examples of each label; tagging: entities of each type
    median_tokens: float | None = None
    longest_tokens: int | None = None
    cut: int = 0  # examples longer than `task.max_length`
    lost_entities: int = 0  # tagging: entities with a word that was cut off or has no token
    counted_tokens: int | None = None  # language: tokens that count in the loss


@dataclass(frozen=True, kw_only=True)
class ClientLabels:
    """How many examples each client has, and of which label."""

    examples: list[int]
    without_client: int  # examples of clients that `partition.below_min = "drop"` left out
    labels: list[str]  # tagging: the most common entity type of a sentence, O without any
    counts: list[list[int]]  # of each client by label; of the first clients, if there are very many


@dataclass(frozen=True, kw_only=True)
class ImageReport:
    """The channels, height and width of all images, and the mean and deviation by which channels are normalised.

    `num_labels` is the number of labels that an image can have.
    """

    shape: list[int]
    num_labels: int
    mean: list[float]
    std: list[float]


@dataclass(frozen=True, kw_only=True)
class DataReport:
    """What was read, for people to check it."""

    data: str
    kind: str  # of the task
    max_length: int
    splits: dict[str, SplitReport]
    left_out: dict[str, dict[str, int]]  # examples of each split of the source, by the reason
    duplicates: dict[str, dict[str, int]]  # examples of a split whose text is also in an earlier one, or again in it
    clients: ClientLabels
    blocks: int | None = None  # into which the training texts are packed
    samples: list[dict[str, str]] = field(default_factory=list)  # language: prompt and response as the model sees them
    images: ImageReport | None = None
    copy: str | None = None  # the folder that the hub's data were read from

    def plain(self) -> dict[str, Any]:
        """Return the report as a JSON object."""
        return asdict(self)


def report_from(plain: Mapping[str, Any]) -> DataReport:
    """Return the report that `DataReport.plain` wrote as a JSON object."""
    splits = {split: SplitReport(**each) for split, each in plain["splits"].items()}
    images = None if plain.get("images") is None else ImageReport(**plain["images"])
    return DataReport(**{**plain, "splits": splits, "clients": ClientLabels(**plain["clients"]), "images": images})
