"""Flower's grid on a pool of Ray actors: clients that are not asked cost nothing."""

import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from flwr.app import Message

from fedlab.common.arrays import Arrays
from fedlab.common.clock import stopwatch
from fedlab.common.spans import collecting
from fedlab.errors import RunFailedError
from fedlab.messages.flower_private import (
    CLIENT_CRASHED,
    CLIENT_RAISED,
    assume_identity,
    envelope,
    error_reply,
    with_id,
)
from fedlab.messages.grids import AnsweringGrid
from fedlab.models.peft.base import SplitPoint
from fedlab.simulation.engine.actor import RUN_ID, Answer, Asked, Done
from fedlab.simulation.engine.packing import idle_actors, lone_pack, pack_messages
from fedlab.simulation.engine.state_log import StateLog
from fedlab.simulation.engine.workers import Call, Lost, WorkerPool, shared
from fedlab.training.evaluate import score, score_rows, shards, shards_to_write
from fedlab.training.workbench import Split, Workbench

FIRST_NODE_ID = 2  # 1 is the server's


class NodePartitions(Mapping[int, int]):
    """Node ids with the partitions they hold, worked out instead of stored."""

    def __init__(self, count: int) -> None:
        self._nodes = range(FIRST_NODE_ID, FIRST_NODE_ID + count)

    def __getitem__(self, node_id: int) -> int:
        """Return the partition a node holds."""
        if node_id not in self._nodes:
            raise KeyError(node_id)
        return node_id - FIRST_NODE_ID

    def __iter__(self) -> Iterator[int]:
        """Go through the nodes in the order of their partitions."""
        return iter(self._nodes)

    def __len__(self) -> int:
        """Return how many nodes there are."""
        return len(self._nodes)


class RayGrid(AnsweringGrid):
    """A grid whose nodes are the partitions of one machine's data, served by a pool of actors.

    Messages are answered when they are pushed. Client states are kept in `states` between messages, as encoded, so it
    does not matter which actor serves a client. Up to `pack` messages that hold the same go to an actor together; None
    says that clients do not train together, and a call is of as many as suits. `on_failure` is told of each client that
    failed, in one line and with its traceback. `actor_seconds` adds up what the actors spent real time on, and how long
    they waited for work; `busiest_seconds` what the busiest actor of each call did: no round can be shorter;
    `driver_seconds` what this process spent on them.
    """

    def __init__(
        self,
        pool: WorkerPool,
        workbench: Workbench,
        states: StateLog,
        *,
        pack: int | None,
        on_failure: Callable[[str, str | None], None],
    ) -> None:
        super().__init__("simulated")
        assume_identity(RUN_ID)
        self._pool = pool
        self._workbench = workbench
        self._pack = pack
        self._on_failure = on_failure
        self._told_of_idle_actors = False
        self._ids = itertools.count(1)
        self._states = states
        self.actor_seconds: Counter[str] = Counter()
        self.busiest_seconds: Counter[str] = Counter()
        self.driver_seconds: Counter[str] = Counter()

    def get_node_ids(self) -> range:
        """Return the ids of all nodes."""
        return range(FIRST_NODE_ID, FIRST_NODE_ID + len(self._workbench.partitions))

    def partitions(self) -> NodePartitions:
        """Return node ids with the partitions they hold, which a simulation knows without asking."""
        return NodePartitions(len(self._workbench.partitions))

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        """Have every message answered and return their ids."""
        sent = [with_id(message, str(next(self._ids))) for message in messages]
        contents = self._shared(message.content for message in sent)
        sizes = [len(self._workbench.partitions[_partition(message)]) for message in sent]
        most = self._pack or lone_pack(len(sent))
        packs = [[sent[place] for place in places] for places in pack_messages(sent, sizes, most)]
        self._tell_of_idle_actors(len(packs), len(sent))
        lost = self._answer(packs, contents)
        # One client that ends its actor must not take the others of its pack with it.
        alone = [[message] for pack in lost if len(pack) > 1 for message in pack]
        self._answer(alone, contents)
        return [message.metadata.message_id for message in sent]

    def measure(self, arrays: Arrays, split: Split, at: SplitPoint) -> float:
        """Return the score of a model, split there, on a split of the data held by the server; all actors compute."""
        predicted, written = shards(len(self._workbench.samples(split))), shards_to_write(self._workbench, split)
        found = self._measured(arrays, split, at, [("predict", predicted), ("write", written)])
        texts = np.concatenate(found[len(predicted) :]) if written else None
        return score(self._workbench, split, np.concatenate(found[: len(predicted)]), texts)

    def measure_clients(self, arrays: Arrays, at: SplitPoint) -> np.ndarray:
        """Return the score of a model, split there, on the training examples of each client, by partition id."""
        parts = shards(len(self._workbench.samples("train")))
        predictions = np.concatenate(self._measured(arrays, "train", at, [("predict", parts)]))
        rows = map(np.asarray, self._workbench.partitions)
        return np.array([float(score_rows(self._workbench, "train", own, predictions[own])) for own in rows])

    def _measured(
        self, arrays: Arrays, split: Split, at: SplitPoint, asked: Sequence[tuple[str, Sequence[tuple[int, int]]]]
    ) -> list[np.ndarray]:
        """Return what actors find of parts of a split, by the methods that are asked for, in that order."""
        reference = self._shared([arrays])[id(arrays)]
        found = self._run(
            [
                Call(method=method, arguments=(reference, split, *part, at), about=f"measuring {split}")
                for method, parts in asked
                for part in parts
            ]
        )
        for each in found:
            if isinstance(each, Lost):
                raise RunFailedError(each.reason)
        return found

    def state(self) -> dict[str, Any]:
        """Return where the clients' states stand, for a checkpoint."""
        return {"states": self._states.mark()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take the clients' states back."""
        self._states.restore(state["states"])

    def _tell_of_idle_actors(self, packs: int, clients: int) -> None:
        if self._pack is None or self._told_of_idle_actors:
            return
        if told := idle_actors(packs=packs, clients=clients, workers=self._pool.workers, most=self._pack):
            self._told_of_idle_actors = True
            self._on_failure(told, None)

    def _answer(self, packs: Sequence[Sequence[Message]], contents: Mapping[int, Any]) -> list[Sequence[Message]]:
        """Have packs answered and keep the replies; return the packs that were lost."""
        answers = self._run([self._call(pack, contents[id(pack[0].content)]) for pack in packs])
        for pack, answer in zip(packs, answers, strict=True):
            self._keep(pack, answer)
        return [pack for pack, answer in zip(packs, answers, strict=True) if isinstance(answer, Lost)]

    def _shared(self, values: Iterable[Any]) -> dict[int, Any]:
        with collecting() as spent:
            references = shared(values)
        self.driver_seconds.update(spent)
        return references

    def _run(self, calls: Sequence[Call]) -> list[Any]:
        """Return what the calls came to, or that they were lost."""
        elapsed = stopwatch()
        with collecting() as driver:
            done = self._pool.run(calls)
        available = elapsed() * self._pool.workers
        self.driver_seconds.update(driver)
        spent: dict[str, Counter[str]] = defaultdict(Counter)
        for call, each in zip(calls, done, strict=True):
            if isinstance(each, Done):
                spent[each.actor].update(each.seconds)
                if each.trouble is not None:
                    why, trace = each.trouble
                    self._on_failure(f"{call.about}: trained alone, not together, for {_one_line(why)}", trace)
        for seconds in spent.values():
            self.actor_seconds.update(seconds)
        waited: Any = max(0.0, available - sum(map(Counter.total, spent.values())))  # Counter's types know no seconds
        self.actor_seconds["wait"] += waited
        self.busiest_seconds.update(max(spent.values(), key=Counter.total, default={}))
        return [each.result if isinstance(each, Done) else each for each in done]

    def _call(self, pack: Sequence[Message], content: Any) -> Call:
        asked = [
            Asked(
                message=envelope(message),
                partition_id=_partition(message),
                state=self._states.get(_partition(message)),
            )
            for message in pack
        ]
        about = ", ".join(str(each.partition_id) for each in asked)
        return Call(method="handle", arguments=(asked, content), about=f"client {about}", size=len(pack))

    def _keep(self, pack: Sequence[Message], answers: Sequence[Answer] | Lost) -> None:
        """Keep the replies to a pack, and the states of its clients."""
        for place, message in enumerate(pack):
            partition_id = _partition(message)
            if isinstance(answers, Lost):
                if len(pack) == 1:
                    self._on_failure(f"client {partition_id}: {answers.reason}", None)
                reply = error_reply(message, CLIENT_CRASHED, answers.reason)
            else:
                reply = _answer_to(message, answers[place].reply)
                self._states.put(partition_id, answers[place].state)
                if reply.has_error():
                    reason = _one_line(reply.error.reason or "")
                    self._on_failure(f"client {partition_id}: {reason}", answers[place].traceback)
            self._replies[message.metadata.message_id] = reply


def _answer_to(message: Message, reply: object) -> Message:
    """Return a reply, or an error in its place if what a client returned does not answer the message."""
    if isinstance(reply, Message) and reply.metadata.reply_to_message_id == message.metadata.message_id:
        return reply
    return error_reply(message, CLIENT_RAISED, "what the client returned is not a reply to its message")


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _partition(message: Message) -> int:
    return message.metadata.dst_node_id - FIRST_NODE_ID
