"""A grid that bills what passes through it."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from flwr.app import Message, MessageType, RecordDict
from flwr.serverapp import Grid

from fedlab.clock import Clock, stopwatch
from fedlab.errors import RunFailedError
from fedlab.flower import record_bytes
from fedlab.messages import (
    add_cost,
    group_of,
    query_message,
    read_query_reply,
    read_train_loss,
    read_workload,
    server_round_of,
)
from fedlab.records import ClientRecord
from fedlab.workload import Cost, Workload

_POLL_SECONDS = 0.5


class Charge(Protocol):
    """The physics: what a client's part costs."""

    def __call__(
        self, workload: Workload, *, partition_id: int, server_round: int, bytes_down: int, bytes_up: int
    ) -> Cost:
        """Return the cost of a workload done on this partition's device, over its link."""


@dataclass(frozen=True, kw_only=True)
class _Sent:
    message: Message
    bytes_down: int
    group: str
    server_round: int


class TimedGrid(Grid):
    """Charge every message that trains or evaluates, and advance the clock by the slowest participant.

    Bytes are those of the messages as encoded; the client reports what it did; `charge` turns both into a cost,
    which is written on the reply and told to `on_clients`. Groups of one call to `send_and_receive` run side by side:
    each advances its own lane of the clock, if the clock has been forked for it. Replies come back in the order of
    the messages they answer, whatever order they arrive in.
    """

    def __init__(
        self,
        grid: Grid,
        *,
        clock: Clock,
        charge: Charge,
        partitions: Mapping[int, int],
        device_of: Callable[[int], str],
        on_clients: Callable[[Sequence[ClientRecord]], None],
    ) -> None:
        self._grid = grid
        self._clock = clock
        self._charge = charge
        self._partitions = partitions
        self._device_of = device_of
        self._on_clients = on_clients
        self._sent: dict[str, _Sent] = {}
        self._found: Iterable[int] | None = None
        self._nodes: list[int] = []

    def set_run(self, run: object) -> None:
        """Pass on."""
        self._grid.set_run(run)  # type: ignore[arg-type]

    @property
    def run(self) -> object:  # type: ignore[override]
        """Pass on."""
        return self._grid.run

    def create_message(
        self, content: RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None
    ) -> Message:
        """Pass on."""
        return self._grid.create_message(content, message_type, dst_node_id, group_id, ttl)

    def get_node_ids(self) -> Sequence[int]:
        """Return the nodes in the order of their partitions, so that seeded draws pick the same clients."""
        found = self._grid.get_node_ids()
        if found != self._found:  # sorting a hundred thousand nodes every round would be most of the round
            self._found = found
            self._nodes = sorted(found, key=self._partitions.__getitem__)
        return self._nodes

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        """Send messages, and note how large they are."""
        outgoing = list(messages)
        # Strategies share one content among many messages: measure each content once.
        sizes = {
            id(content): record_bytes(content) for content in {id(m.content): m.content for m in outgoing}.values()
        }
        sent = [_note(message, sizes[id(message.content)]) for message in outgoing]
        ids = list(self._grid.push_messages(outgoing))
        self._sent |= dict(zip(ids, sent, strict=True))
        return ids

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        """Return the replies that are there, billed, in the order of `message_ids`."""
        wanted = list(message_ids)
        replies = self._pull(wanted)
        self._bill(replies)
        return [replies[message_id] for message_id in wanted if message_id in replies]

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        """Send messages and wait for the replies, at most `timeout` real seconds; bill those that came."""
        ids = self.push_messages(messages)
        elapsed_seconds = stopwatch()
        replies = self._pull(ids)
        while len(replies) < len(ids) and (timeout is None or elapsed_seconds() < timeout):
            time.sleep(_POLL_SECONDS)
            replies |= self._pull([message_id for message_id in ids if message_id not in replies])
        self._bill(replies)
        return [replies[message_id] for message_id in ids if message_id in replies]

    def _pull(self, message_ids: Sequence[str]) -> dict[str, Message]:
        return {reply.metadata.reply_to_message_id: reply for reply in self._grid.pull_messages(message_ids)}

    def _bill(self, replies: Mapping[str, Message]) -> None:
        """Charge replies that came together: their senders worked side by side."""
        records: list[ClientRecord] = []
        lanes: dict[str, float] = defaultdict(float)
        for message_id in [each for each in self._sent if each in replies]:
            sent = self._sent.pop(message_id)
            if sent.message.metadata.message_type == MessageType.QUERY:
                continue
            record = self._charged(sent, replies[message_id])
            records.append(record)
            seconds = record.download_seconds + record.compute_seconds + record.upload_seconds
            lanes[sent.group] = max(lanes[sent.group], seconds)
        for group, seconds in lanes.items():
            self._clock.advance(seconds, lane=group if group in self._clock.lanes() else None)
        self._on_clients(records)

    def _partition(self, sent: "_Sent") -> int:
        return self._partitions[sent.message.metadata.dst_node_id]

    def _charged(self, sent: "_Sent", reply: Message) -> ClientRecord:
        partition_id = self._partition(sent)
        device = self._device_of(partition_id)
        if reply.has_error():
            reason = reply.error.reason or "no reason given"
            nothing_done = {"depth": 0, "width": 1, "num_examples": 0, "batches": 0, "train_loss": None}
            return _record_of(sent, partition_id, device, _NOTHING, error=reason, **nothing_done)
        workload = read_workload(reply)
        if workload is None:
            raise RunFailedError(
                f"client {partition_id} reported no workload, so its time is unknown: "
                "put messages.workload_record(...) into its reply under the key 'workload'"
            )
        cost = self._charge(
            workload,
            partition_id=partition_id,
            server_round=sent.server_round,
            bytes_down=sent.bytes_down,
            bytes_up=record_bytes(reply.content),
        )
        add_cost(reply, cost)
        return _record_of(
            sent,
            partition_id,
            device,
            cost,
            depth=workload.depth,
            width=workload.width,
            num_examples=workload.num_examples,
            batches=workload.batches,
            train_loss=read_train_loss(reply),
        )


def find_partitions(grid: Grid) -> dict[int, int]:
    """Ask every node which partition it holds: node id to partition id.

    Node ids of Flower's runtimes are random; partition ids are what seeded draws are made over.

    Raises:
        RunFailedError: a node does not answer.
    """
    nodes = list(grid.get_node_ids())
    replies = list(grid.send_and_receive([query_message(node) for node in nodes]))
    for reply in replies:
        if reply.has_error():
            raise RunFailedError(f"a client did not say which partition it holds: {reply.error.reason}")
    return {reply.metadata.src_node_id: read_query_reply(reply) for reply in replies}


def _note(message: Message, bytes_down: int) -> _Sent:
    server_round = server_round_of(message)
    return _Sent(message=message, bytes_down=bytes_down, group=group_of(message), server_round=server_round)


def _record_of(sent: _Sent, partition_id: int, device: str, cost: Cost, **rest: Any) -> ClientRecord:
    return ClientRecord(
        server_round=sent.server_round,
        group=sent.group or sent.message.metadata.message_type,
        partition_id=partition_id,
        device=device,
        **vars(cost),
        **rest,
    )


_NOTHING = Cost(
    compute_seconds=0.0,
    download_seconds=0.0,
    upload_seconds=0.0,
    joules=0.0,
    bytes_down=0,
    bytes_up=0,
    peak_memory_bytes=0,
)
