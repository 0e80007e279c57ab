"""What a process trains and measures with, and how a client gets it from the process that hosts it.

Whoever hosts clients (a Ray actor, the app of a deployed node, the profiler) knows where data and weights lie, and
hands an opener to each client with its context. A client calls `open_workbench(context)` and knows nothing of this.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from flwr.app import Context

from fedlab.data.task import Partitions, SampleSet, Task
from fedlab.data.token_texts import TokenTexts
from fedlab.data.tokens import IGNORED_LABEL, TokenSet
from fedlab.errors import UserError
from fedlab.models.split import Network
from fedlab.models.split_model import SplitModel
from fedlab.training.activation_store import ActivationStore
from fedlab.workload.passes import Format, format_of

Split = Literal["train", "validation", "test"]


@dataclass(frozen=True, kw_only=True)
class Workbench:
    """The model, the tokenised texts or the images, their split over the clients, and the states computed so far."""

    network: SplitModel
    task: Task
    seed: int
    activations: ActivationStore
    tokenizer_file: Path | None = None  # of `tokenizers`; None: nothing is decoded

    @property
    def texts(self) -> TokenTexts:
        """Return what decodes tokens; it is read each time."""
        assert self.tokenizer_file is not None, "the bundle of a language task has its tokenizer"
        return TokenTexts.read(self.tokenizer_file)

    @property
    def partitions(self) -> Partitions:
        """Return which training examples each client has."""
        return self.task.partitions

    @property
    def label_names(self) -> tuple[str, ...]:
        """Return the labels by their ids."""
        return self.task.label_names

    @property
    def transformer(self) -> Network:
        """Return the model of a task of texts, which is one of a transformer."""
        assert isinstance(self.network, Network), "only texts are asked for it"
        return self.network

    def tokens(self, split: Split) -> TokenSet:
        """Return the tokens of a split of texts."""
        found = self.samples(split)
        assert isinstance(found, TokenSet), "only texts are asked for tokens"
        return found

    def samples(self, split: Split) -> SampleSet:
        """Return the examples of a split."""
        splits = {"train": self.task.train, "validation": self.task.validation, "test": self.task.test}
        return splits[split]

    @property
    def weights_format(self) -> Format:
        """Return the number format in which passes are billed, by the precision of the frozen weights."""
        encoder = self.network.encoder
        return format_of(encoder.precision, is_decoder=encoder.shape.is_decoder)

    def scored_tokens(self, split: Split) -> int | None:
        """Return for how many tokens of a text the head over the vocabulary is run: of the mean text, rounded up.

        0 for a head of labels on a decoder; None for an encoder, whose costs do not depend on it.
        """
        if not self.network.encoder.shape.is_decoder:
            return None
        if not self.network.says_tokens:
            return 0
        labels = self.samples(split).labels
        return -(-int((labels != IGNORED_LABEL).sum()) // max(1, len(labels)))


Opener = Callable[[], Workbench]  # called for every message: it opens once and returns the same workbench again


class HostedContext(Context):
    """A client's context that carries the opener of the process that hosts the client."""

    def __init__(self, context: Context, opener: Opener) -> None:
        super().__init__(
            run_id=context.run_id,
            node_id=context.node_id,
            node_config=context.node_config,
            state=context.state,
            run_config=context.run_config,
            series_id=context.series_id,
        )
        self.opener = opener


def open_workbench(context: Context) -> Workbench:
    """Return the workbench of the process that hosts a client.

    Raises:
        UserError: the context is not the one that the client was called with.
    """
    if not isinstance(context, HostedContext):
        raise UserError(
            "open_workbench: this context has no workbench; expected the context that fedlab calls the client with "
            "(see fedlab.training.workbench.HostedContext)"
        )
    return context.opener()
