"""What the built-in clients share: a ClientApp that trains the sets it can on its own partition, and evaluates any."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from clients.partition import answer_evaluate, partition_of
from fedlab.errors import UserError
from fedlab.messages.replies import query_reply
from fedlab.models.peft.base import SET, TrainableSet, from_configuration
from fedlab.training.local import LocalTraining
from fedlab.training.workbench import Workbench
from fedlab.workload.workload import Configuration


@dataclass(frozen=True, kw_only=True)
class AcceptedSets:
    """The trainable sets that orders to a client may name: the built-in ones, and `trusted` ones found from `base`."""

    trusted: Sequence[str] = ()
    base: Path = Path()

    def named(self, configuration: Configuration) -> TrainableSet:
        """Return the set of a configuration; raises UserError if the client may not or cannot make it."""
        return from_configuration(configuration, base=self.base, trusted=self.trusted)


class TrainingClient(ClientApp):
    """A ClientApp for training by gradient descent.

    `split_kinds` are the kinds of split points it can train above, `trains` says in words what that is.
    """

    split_kinds: frozenset[str]
    trains: str

    def __init__(self, settings: LocalTraining, sets: AcceptedSets) -> None:
        super().__init__()
        self._settings = settings
        self._sets = sets
        self.train()(self._train)
        self.evaluate()(self._evaluate)
        self.query()(lambda message, context: query_reply(message, partition_of(context)))

    @abstractmethod
    def _train(self, message: Message, context: Context) -> Message:
        """Answer an order to train."""

    def _evaluate(self, message: Message, context: Context) -> Message:
        return answer_evaluate(message, context, self._settings.batch_size, self._sets.named)

    def _trained_set(self, configuration: Configuration, workbench: Workbench) -> TrainableSet:
        """Return the set that an order names.

        Raises:
            UserError: this client cannot train it.
        """
        trained = self._sets.named(configuration)
        if trained.split_point(workbench.network.encoder.shape.blocks).kind not in self.split_kinds:
            raise UserError(f"this client trains {self.trains}, not the set '{configuration[SET]}'; see client.trains")
        return trained
