"""A timed grid bills each message for its bytes and its work, and lets simulated time pass accordingly."""

import numpy as np
import pytest
from flwr.app import ConfigRecord, Message, MessageType, MetricRecord, RecordDict

from fedlab.clock import VirtualClock
from fedlab.errors import RunFailedError
from fedlab.flower import CLIENT_RAISED, error_reply, record_to_wire
from fedlab.grid import TimedGrid, find_partitions
from fedlab.messages import order_content, query_reply, read_cost, to_record, workload_record
from fedlab.workload import Cost, Workload

# Node ids as of Flower's runtimes: random, in no order of their partitions.
PARTITIONS = {901: 2, 17: 0, 333: 3, 250: 1}
SECONDS_A_BATCH = 2.0
BYTES_A_SECOND = 1000.0


def workload(batches=1):
    return Workload(
        method="adapter",
        depth=2,
        width=8,
        batches=batches,
        cached_batches=0,
        batch_size=4,
        sequence_length=64,
        num_examples=4 * batches,
    )


def charge(work, *, partition_id, server_round, bytes_down, bytes_up):
    """Bill two seconds a batch and a second a kilobyte; a joule for each second, and the round's number."""
    compute = SECONDS_A_BATCH * work.batches
    return Cost(
        compute_seconds=compute,
        download_seconds=bytes_down / BYTES_A_SECOND,
        upload_seconds=bytes_up / BYTES_A_SECOND,
        joules=compute + server_round,
        bytes_down=bytes_down,
        bytes_up=bytes_up,
        peak_memory_bytes=partition_id,
    )


def reply_after(batches):
    """Return a node that answers an order after so many batches, by partition, with a kilobyte more than the last."""

    def answer(message):
        partition = PARTITIONS[message.metadata.dst_node_id]
        content = RecordDict(
            {
                "arrays": to_record({"x": np.zeros(250 * partition, np.float32)}),
                "metrics": MetricRecord({"num-examples": 1, "train-loss": partition / 4}),
                "workload": workload_record(workload(batches[partition])),
            }
        )
        return Message(content, reply_to=message)

    return answer


def order(node, *, group="", server_round=1, size=0, kind=MessageType.TRAIN):
    arrays = to_record({"x": np.zeros(size, np.float32)})
    return Message(order_content(arrays, server_round=server_round, group=group), node, kind)


@pytest.fixture
def timed(memory_grid):
    """Return a function that puts a timed grid over nodes; `told` lists what it reported, call by call."""

    def make(answer, *, clock=None, **options):
        told = []
        grid = TimedGrid(
            memory_grid(answer, PARTITIONS, **options),
            clock=clock or VirtualClock(),
            charge=charge,
            partitions=PARTITIONS,
            device_of=lambda partition: f"board-{partition}",
            on_clients=lambda records: told.append(list(records)),
        )
        grid.told = told
        return grid

    return make


def test_nodes_are_listed_by_partition(timed):
    assert timed(reply_after([1] * 4)).get_node_ids() == [17, 250, 901, 333]


def test_bytes_are_those_of_the_messages_as_encoded(timed):
    message = order(901, size=1000)
    grid = timed(reply_after([1] * 4))
    expected_down = len(record_to_wire(message.content))

    (reply,) = grid.send_and_receive([message])

    del reply.content["cost"]
    ((record,),) = grid.told
    assert record.bytes_down == expected_down > 4000
    assert record.bytes_up == len(record_to_wire(reply.content)) > 2000


def test_bytes_are_measured_when_the_message_is_sent(timed):
    message = order(17)
    size = len(record_to_wire(message.content))

    def answer(received):
        received.content["config"]["added later"] = "x" * 100
        return reply_after([1] * 4)(received)

    grid = timed(answer)
    grid.send_and_receive([message])
    ((record,),) = grid.told
    assert record.bytes_down == size


def test_a_reply_says_what_it_cost(timed):
    grid = timed(reply_after([1, 3, 1, 1]))
    (reply,) = grid.send_and_receive([order(250, server_round=5)])
    cost = read_cost(reply)
    ((record,),) = grid.told
    assert (cost.compute_seconds, cost.joules, cost.peak_memory_bytes) == (6.0, 11.0, 1)  # 3 x 2 s; 6 J and round 5
    assert cost.download_seconds == record.bytes_down / 1000
    assert cost.upload_seconds == record.bytes_up / 1000


def test_a_record_tells_who_did_what_on_which_board(timed):
    grid = timed(reply_after([1, 3, 1, 1]))
    grid.send_and_receive([order(250, group="deep", server_round=5)])
    ((record,),) = grid.told
    assert (record.server_round, record.group, record.partition_id, record.device) == (5, "deep", 1, "board-1")
    assert (record.depth, record.width, record.num_examples, record.batches) == (2, 8, 12, 3)
    assert (record.train_loss, record.error) == (0.25, None)


def test_a_message_without_a_group_is_recorded_under_its_type(timed):
    grid = timed(reply_after([1] * 4))
    grid.send_and_receive([order(17), order(250, kind=MessageType.EVALUATE)])
    assert [record.group for record in grid.told[0]] == ["train", "evaluate"]


def test_a_round_costs_its_slowest_participant(timed):
    clock = VirtualClock()
    grid = timed(reply_after([1, 50, 2, 3]), clock=clock)
    replies = grid.send_and_receive([order(node) for node in PARTITIONS])
    slowest = next(reply for reply in replies if reply.metadata.src_node_id == 250)
    assert read_cost(slowest).compute_seconds == 100.0
    assert clock.now() == read_cost(slowest).seconds


def test_a_short_computation_behind_a_long_upload_may_be_the_slowest(timed):
    clock = VirtualClock()
    grid = timed(reply_after([2, 1, 1, 1]), clock=clock)  # partition 3 uploads 3 kB more than 0, at a second each
    replies = grid.send_and_receive([order(17), order(333)])
    assert read_cost(replies[0]).compute_seconds > read_cost(replies[1]).compute_seconds
    assert clock.now() == read_cost(replies[1]).seconds


def test_rounds_add_up(timed):
    clock = VirtualClock()
    grid = timed(reply_after([1] * 4), clock=clock)
    seconds = [read_cost(grid.send_and_receive([order(17)])[0]).seconds for _ in range(3)]
    assert clock.now() == pytest.approx(sum(seconds))


def test_groups_advance_their_own_lanes_by_their_own_slowest(timed):
    clock = VirtualClock()
    clock.advance(100.0)
    clock.fork(["shallow", "deep", "idle"])
    grid = timed(reply_after([10, 20, 30, 40]), clock=clock)
    messages = [order(901, group="deep"), order(17, group="shallow"), order(333, group="deep"), order(250)]

    deep, shallow, deepest, ungrouped = (read_cost(reply).seconds for reply in grid.send_and_receive(messages))

    assert deepest > deep
    assert clock.now("shallow") == 100.0 + shallow
    assert clock.now("deep") == 100.0 + deepest
    assert clock.now("idle") == 100.0
    assert clock.now() == 100.0 + ungrouped


@pytest.mark.parametrize("a_pull", [None, 1])
@pytest.mark.parametrize("arrange", [list, sorted, lambda ids: ids[::-1]])
def test_replies_come_in_the_order_of_the_messages_whatever_order_they_arrive_in(timed, monkeypatch, arrange, a_pull):
    monkeypatch.setattr("fedlab.grid._POLL_SECONDS", 0.0)
    grid = timed(reply_after([1] * 4), arrange=arrange, a_pull=a_pull)
    nodes = [333, 17, 901, 250]
    replies = grid.send_and_receive([order(node) for node in nodes])
    assert [reply.metadata.src_node_id for reply in replies] == nodes


def test_records_come_in_the_order_of_the_messages_and_all_at_once(timed, monkeypatch):
    monkeypatch.setattr("fedlab.grid._POLL_SECONDS", 0.0)
    grid = timed(reply_after([1] * 4), arrange=lambda ids: ids[::-1], a_pull=1)
    grid.send_and_receive([order(node) for node in (333, 17, 901, 250)])
    assert [[record.partition_id for record in call] for call in grid.told] == [[3, 0, 2, 1]]


def test_a_node_that_stays_silent_is_not_waited_for_after_the_timeout(timed):
    clock = VirtualClock()
    answer = reply_after([1] * 4)
    grid = timed(lambda message: None if message.metadata.dst_node_id == 17 else answer(message), clock=clock)
    replies = grid.send_and_receive([order(17), order(250)], timeout=0.0)
    assert [reply.metadata.src_node_id for reply in replies] == [250]
    assert [record.partition_id for record in grid.told[0]] == [1]
    assert clock.now() == read_cost(replies[0]).seconds


def test_an_error_reply_is_recorded_with_its_reason_and_not_charged(timed):
    clock = VirtualClock()
    answer = reply_after([1] * 4)

    def fail_at_two(message):
        if PARTITIONS[message.metadata.dst_node_id] != 2:
            return answer(message)
        return error_reply(message, CLIENT_RAISED, "ValueError: no")

    grid = timed(fail_at_two, clock=clock)
    replies = grid.send_and_receive([order(901, server_round=3), order(17, server_round=3)])

    assert [reply.has_error() for reply in replies] == [True, False]
    bad, good = grid.told[0]
    assert (bad.server_round, bad.partition_id, bad.device) == (3, 2, "board-2")
    assert (good.error, bad.error) == (None, "ValueError: no")
    assert (bad.download_seconds, bad.compute_seconds, bad.upload_seconds, bad.joules) == (0, 0, 0, 0)
    assert (bad.bytes_down, bad.bytes_up, bad.num_examples, bad.train_loss) == (0, 0, 0, None)
    assert clock.now() == read_cost(replies[1]).seconds


def test_a_reply_without_a_workload_is_refused_and_its_client_named(timed):
    grid = timed(lambda message: Message(RecordDict(), reply_to=message))
    with pytest.raises(RunFailedError, match=r"client 2 reported no workload.*workload_record"):
        grid.send_and_receive([order(901)])


def test_queries_are_free(timed):
    clock = VirtualClock()
    grid = timed(lambda message: query_reply(message, PARTITIONS[message.metadata.dst_node_id]), clock=clock)
    assert find_partitions(grid) == PARTITIONS
    assert clock.now() == 0.0
    assert [record for call in grid.told for record in call] == []


def test_replies_that_are_pulled_later_are_billed_then(timed):
    clock = VirtualClock()
    grid = timed(reply_after([1] * 4), clock=clock)
    ids = grid.push_messages([order(901), order(17)])
    assert clock.now() == 0.0
    replies = grid.pull_messages(reversed(ids))
    assert [reply.metadata.src_node_id for reply in replies] == [17, 901]
    assert clock.now() == max(read_cost(reply).seconds for reply in replies)
    assert grid.pull_messages(ids) == []


def test_a_node_that_cannot_say_its_partition_ends_the_search_for_partitions(memory_grid):
    grid = memory_grid(lambda message: error_reply(message, CLIENT_RAISED, "KeyError: 'partition-id'"), [7])
    with pytest.raises(RunFailedError, match="which partition it holds: KeyError"):
        find_partitions(grid)


def test_strategies_share_one_content_among_messages_and_each_is_billed_for_all_of_it(timed):
    content = order_content(to_record({"x": np.zeros(100, np.float32)}), server_round=1)
    size = len(record_to_wire(content))
    grid = timed(reply_after([1] * 4))
    grid.send_and_receive([Message(content, node, MessageType.TRAIN) for node in PARTITIONS])
    assert [record.bytes_down for record in grid.told[0]] == [size] * 4


def test_flowers_extra_records_in_a_message_count_too(timed):
    grid = timed(reply_after([1] * 4))
    plain, longer = order(17), order(250)
    longer.content["more"] = ConfigRecord({"note": "x" * 500})
    grid.send_and_receive([plain, longer])
    first, second = grid.told[0]
    assert second.bytes_down - first.bytes_down > 500
