"""Flower's grid on a pool of Ray actors: clients that are not asked cost nothing."""

import itertools
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import ray
import torch
from flwr.app import Context, Message, RecordDict, UserConfig
from flwr.serverapp import Grid

from fedlab.errors import RunFailedError
from fedlab.flower import (
    CLIENT_CRASHED,
    CLIENT_RAISED,
    assume_identity,
    envelope,
    error_reply,
    record_from_wire,
    record_to_wire,
    with_id,
)
from fedlab.loading import load_client
from fedlab.measuring import predict, score, shards
from fedlab.models.arrays import Arrays
from fedlab.workbench import Split, Workbench, open_workbench
from fedlab.workers import Call, Lost, WorkerPool, shared

RUN_ID = 1
FIRST_NODE_ID = 2  # 1 is the server's
Options = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class ClientSetup:
    """What an actor needs to be any client of the run."""

    reference: str  # of the client, as in the experiment file
    options: Options
    base_folder: Path
    run_config: Mapping[str, str]
    node_config: Mapping[str, str]
    num_partitions: int


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a client replied, or the traceback of what it raised; and its state afterwards."""

    reply: Message
    state: RecordDict
    traceback: str | None = None


class ClientActor:
    """Runs any client of the run, one message at a time, on one core; keeps what it has loaded between messages."""

    def __init__(self, setup: ClientSetup) -> None:
        torch.set_num_threads(1)
        self._setup = setup
        self._app = load_client(setup.reference, setup.options, setup.base_folder)

    def handle(self, message: Message, content: RecordDict, partition_id: int, state: RecordDict) -> Answer:
        """Let a client answer a message."""
        setup = self._setup
        message.content = content
        node_config: UserConfig = {
            **setup.node_config,
            "partition-id": partition_id,
            "num-partitions": setup.num_partitions,
        }
        context = Context(
            run_id=RUN_ID,
            node_id=message.metadata.dst_node_id,
            node_config=node_config,
            state=state,
            run_config=dict(setup.run_config),
        )
        try:
            return Answer(reply=self._app(message, context), state=context.state)
        except Exception as error:  # whatever a user's client raises is the run's to report
            reply = error_reply(message, CLIENT_RAISED, f"{type(error).__name__}: {error}")
            return Answer(reply=reply, state=state, traceback=traceback.format_exc())

    def predict(self, arrays: Arrays, split: Split, start: int, stop: int) -> np.ndarray:
        """Predict the labels of some rows of a split."""
        return predict(open_workbench(self._setup.run_config, self._setup.node_config), arrays, split, start, stop)


class RayGrid(Grid):
    """A grid whose nodes are the partitions of one machine's data, served by a pool of actors.

    Messages are answered when they are pushed. Client states are kept here between messages, so it does not matter
    which actor serves a client. `on_failure` is told of each client that failed, in one line and with its traceback.
    """

    def __init__(
        self, pool: WorkerPool, workbench: Workbench, *, on_failure: Callable[[str, str | None], None]
    ) -> None:
        assume_identity(RUN_ID)
        self._pool = pool
        self._workbench = workbench
        self._on_failure = on_failure
        self._ids = itertools.count(1)
        self._replies: dict[str, Message] = {}
        self._states: dict[int, RecordDict] = {}

    def set_run(self, run: object) -> None:
        """Do nothing: a pool serves one run."""

    @property
    def run(self) -> Any:
        """Refuse: there is no SuperLink to describe the run."""
        raise NotImplementedError("a simulated run has no description on a SuperLink")

    def create_message(
        self, content: RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None
    ) -> Message:
        """Return a new message."""
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def get_node_ids(self) -> range:
        """Return the ids of all nodes."""
        return range(FIRST_NODE_ID, FIRST_NODE_ID + len(self._workbench.partitions))

    def partitions(self) -> dict[int, int]:
        """Return node ids with the partitions they hold, which a simulation knows without asking."""
        return {node_id: node_id - FIRST_NODE_ID for node_id in self.get_node_ids()}

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        """Have every message answered and return their ids."""
        sent = [with_id(message, str(next(self._ids))) for message in messages]
        contents = shared(message.content for message in sent)
        answers = self._pool.run([self._call(message, contents[id(message.content)]) for message in sent])
        for message, answer in zip(sent, answers, strict=True):
            self._replies[message.metadata.message_id] = self._keep(message, answer)
        return [message.metadata.message_id for message in sent]

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        """Hand over the replies to these messages."""
        return [self._replies.pop(message_id) for message_id in message_ids if message_id in self._replies]

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        """Have every message answered and return the replies."""
        return self.pull_messages(self.push_messages(messages))

    def measure(self, arrays: Arrays, split: Split) -> float:
        """Return the score of a model on a split held by the server, computed by all actors."""
        reference = ray.put(arrays)
        calls = [
            Call(method="predict", arguments=(reference, split, *shard), about=f"measuring {split}")
            for shard in shards(len(self._workbench.tokens(split)))
        ]
        predictions = self._pool.run(calls)
        for prediction in predictions:
            if isinstance(prediction, Lost):
                raise RunFailedError(prediction.reason)
        return score(self._workbench, split, np.concatenate(predictions))

    def state(self) -> dict[str, bytes]:
        """Return the clients' states, for a checkpoint."""
        return {str(partition): record_to_wire(state) for partition, state in self._states.items()}

    def restore(self, state: Mapping[str, bytes]) -> None:
        """Take the clients' states back."""
        self._states = {int(partition): record_from_wire(data) for partition, data in state.items()}

    def _call(self, message: Message, content: Any) -> Call:
        partition_id = message.metadata.dst_node_id - FIRST_NODE_ID
        state = self._states.get(partition_id, RecordDict())
        arguments = (envelope(message), content, partition_id, state)
        return Call(method="handle", arguments=arguments, about=f"client {partition_id}")

    def _keep(self, message: Message, answer: Answer | Lost) -> Message:
        partition_id = message.metadata.dst_node_id - FIRST_NODE_ID
        if isinstance(answer, Lost):
            self._on_failure(f"client {partition_id}: {answer.reason}", None)
            return error_reply(message, CLIENT_CRASHED, answer.reason)
        if answer.reply.has_error():
            self._on_failure(f"client {partition_id}: {answer.reply.error.reason}", answer.traceback)
        self._states[partition_id] = answer.state
        return answer.reply
