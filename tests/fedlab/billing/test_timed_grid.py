"""A timed grid bills each message for its bytes and its work, and lets simulated time pass accordingly."""

from types import SimpleNamespace

import numpy as np
import pytest
from flwr.app import Array, ConfigRecord, Message, MessageType, MetricRecord, RecordDict
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedlab.billing.availability_wait import AvailabilityWait
from fedlab.billing.timed_grid import TimedGrid, find_partitions
from fedlab.common.clock import VirtualClock
from fedlab.errors import RunFailedError, UserError
from fedlab.messages.flower_private import (
    CLIENT_RAISED,
    CLIENT_UNAVAILABLE,
    REPLY_LATE,
    SERVER_NODE_ID,
    error_reply,
    record_to_wire,
)
from fedlab.messages.orders import order_content
from fedlab.messages.pack import to_record
from fedlab.messages.replies import query_reply, read_cost, workload_record
from fedlab.messages.round_terms import RoundTerms
from fedlab.network.availability import always, bernoulli, schedule_of_times, scheduled
from fedlab.network.links import constant
from fedlab.workload.encoding import plain_pass
from fedlab.workload.passes import bottleneck
from fedlab.workload.workload import Workload, training_passes

# Node ids as of Flower's runtimes: random, in no order of their partitions.
PARTITIONS = {901: 2, 17: 0, 333: 3, 250: 1}


def workload(batches=1):
    return Workload(
        passes=training_passes(
            batches=batches, batch_size=4, input_shape=(64,), model_blocks=4, depth=2, trained=bottleneck(8)
        ),
        num_examples=4 * batches,
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


def order(node, *, group="", server_round=1, size=0, kind=MessageType.TRAIN, **terms):
    arrays = to_record({"x": np.zeros(size, np.float32)})
    content = order_content(arrays, server_round=server_round, group=group, terms=RoundTerms(**terms))
    return Message(content, node, kind)


@pytest.fixture
def timed(memory_grid, plain_board, plain_physics):
    """Return a function that puts a timed grid over nodes, whose batches take 2 s and whose kilobytes 1 s.

    `told` lists what it reported, call by call; `inner` is the grid below.
    """

    def make(answer, *, clock=None, availability=None, physics=None, **options):
        told, clock = [], clock or VirtualClock()
        inner = memory_grid(answer, PARTITIONS, **options)
        grid = TimedGrid(
            inner,
            clock=clock,
            physics=physics or plain_physics([plain_board(f"board-{partition}") for partition in range(4)]),
            availability_wait=AvailabilityWait(availability or always(), clock=clock, partitions=PARTITIONS),
            partitions=PARTITIONS,
            on_clients=lambda records: told.append(list(records)),
        )
        grid.told, grid.inner = told, inner
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
    assert (cost.compute_seconds, cost.compute_joules, cost.peak_memory_bytes) == (6.0, 60.0, 30_000)  # 3 x 2 s, 10 W
    assert cost.transfer_joules == 4 * (cost.download_seconds + cost.upload_seconds)
    assert record.joules == cost.joules
    assert cost.download_seconds == record.bytes_down / 1000
    assert cost.upload_seconds == record.bytes_up / 1000


def test_a_record_tells_who_did_what_on_which_board(timed):
    grid = timed(reply_after([1, 3, 1, 1]))
    grid.send_and_receive([order(250, group="deep", server_round=5)])
    ((record,),) = grid.told
    assert (record.server_round, record.group, record.partition_id, record.device) == (5, "deep", 1, "board-1")
    assert (record.num_examples, record.batches) == (12, 3)
    assert (record.train_loss, record.error, record.dropout) == (0.25, None, None)
    assert record.cached_batches == 0
    assert record.passes == [plain_pass(each) for each in workload(3).passes]
    assert record.latency_provenance == "measured"
    assert (record.energy_provenance, record.memory_provenance) == ("assumed", "assumed")  # the board does not say


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
    assert clock.now("shallow") == pytest.approx(100.0 + shallow)
    assert clock.now("deep") == pytest.approx(100.0 + deepest)
    assert clock.now("idle") == 100.0
    assert clock.now() == pytest.approx(100.0 + ungrouped)


@pytest.mark.parametrize("a_pull", [None, 1])
@pytest.mark.parametrize("arrange", [list, sorted, lambda ids: ids[::-1]])
def test_replies_come_in_the_order_of_the_messages_whatever_order_they_arrive_in(timed, monkeypatch, arrange, a_pull):
    monkeypatch.setattr("fedlab.billing.timed_grid._POLL_SECONDS", 0.0)
    grid = timed(reply_after([1] * 4), arrange=arrange, a_pull=a_pull)
    nodes = [333, 17, 901, 250]
    replies = grid.send_and_receive([order(node) for node in nodes])
    assert [reply.metadata.src_node_id for reply in replies] == nodes


def test_records_come_in_the_order_of_the_messages_and_all_at_once(timed, monkeypatch):
    monkeypatch.setattr("fedlab.billing.timed_grid._POLL_SECONDS", 0.0)
    grid = timed(reply_after([1] * 4), arrange=lambda ids: ids[::-1], a_pull=1)
    grid.send_and_receive([order(node) for node in (333, 17, 901, 250)])
    assert [[record.partition_id for record in call] for call in grid.told] == [[3, 0, 2, 1]]


def test_a_node_that_stays_silent_is_not_waited_for_after_the_timeout(timed, real_time):
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
    assert (good.error, bad.error, bad.dropout) == (None, "ValueError: no", "failed")
    assert (bad.download_seconds, bad.compute_seconds, bad.upload_seconds, bad.joules) == (0, 0, 0, 0)
    assert (bad.bytes_down, bad.bytes_up, bad.num_examples, bad.train_loss) == (0, 0, 0, None)
    assert clock.now() == read_cost(replies[1]).seconds


def test_a_reply_without_a_workload_is_refused_and_its_client_named(timed):
    grid = timed(lambda message: Message(RecordDict(), reply_to=message))
    with pytest.raises(RunFailedError, match=r"client 2 reported no workload.*workload_record"):
        grid.send_and_receive([order(901)])


def with_a_shape_no_message_can_have(reply):
    reply.content["arrays"]["x"] = Array("float32", (2**40,), "numpy.ndarray", b"")


def with_an_endless_loss(reply):
    reply.content["metrics"]["train-loss"] = 10**400


def of_another_node(reply):
    reply.metadata.__dict__["_src_node_id"] = 17


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (with_a_shape_no_message_can_have, "the reply cannot be measured: ValueError: "),
        (with_an_endless_loss, "the reply cannot be measured: OverflowError: "),
        (of_another_node, "the reply is another node's"),
    ],
)
def test_a_reply_that_cannot_be_measured_is_refused_and_the_others_are_billed(timed, spoil, reason):
    answer = reply_after([1] * 4)

    def hostile(message):
        reply = answer(message)
        if message.metadata.dst_node_id == 901:
            spoil(reply)
        return reply

    grid = timed(hostile)
    bad, good = grid.send_and_receive([order(901), order(250)])
    assert bad.error.reason.startswith(reason)
    assert (bad.metadata.src_node_id, good.has_error()) == (901, False)
    assert [(each.partition_id, each.dropout) for each in grid.told[0]] == [(2, "refused"), (1, None)]


@pytest.mark.parametrize(("code", "dropout"), [(CLIENT_UNAVAILABLE, "gone"), (REPLY_LATE, "late")])
def test_an_error_by_which_the_superlink_answers_for_a_node_is_the_nodes(timed, code, dropout):
    answer = reply_after([1] * 4)

    def absent(message):
        if message.metadata.dst_node_id != 901:
            return answer(message)
        reply = error_reply(message, code, "no heartbeat")
        reply.metadata.__dict__["_src_node_id"] = SERVER_NODE_ID
        return reply

    grid = timed(absent)
    lost, good = grid.send_and_receive([order(901), order(250)])
    assert (lost.metadata.src_node_id, lost.error.reason) == (901, "no heartbeat")
    assert not good.has_error()
    assert [(each.partition_id, each.dropout) for each in grid.told[0]] == [(2, dropout), (1, None)]


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


def test_groups_without_lanes_of_their_own_share_the_main_line(timed):
    clock = VirtualClock()
    grid = timed(reply_after([5, 20, 1, 1]), clock=clock)
    replies = grid.send_and_receive([order(17, group="a"), order(250, group="b")])
    assert clock.now() == max(read_cost(reply).seconds for reply in replies)


def test_what_was_pushed_together_is_not_slower_for_being_pulled_one_by_one(timed):
    clock = VirtualClock()
    grid = timed(reply_after([5, 20, 1, 1]), clock=clock)
    short, long = grid.push_messages([order(17), order(250)])
    (longest,) = grid.pull_messages([long])
    grid.pull_messages([short])
    assert clock.now() == read_cost(longest).seconds


def test_who_is_done_first_waits_for_the_rounds_end(timed):
    grid = timed(reply_after([5, 20, 1, 1]))
    short, long = (read_cost(reply) for reply in grid.send_and_receive([order(17), order(250)]))
    assert short.idle_seconds == pytest.approx(long.seconds - short.seconds)
    first, second = grid.told[0]
    assert (first.idle_joules, second.idle_joules) == (short.idle_joules, 0.0)
    assert first.idle_joules == short.idle_seconds  # at 1 W


def test_work_that_does_not_fit_comes_back_as_an_error_that_says_so(timed, plain_board, plain_physics):
    boards = [plain_board(), plain_board("small", memory_bytes=20_000), plain_board(), plain_board()]
    clock = VirtualClock()
    grid = timed(reply_after([1, 9, 1, 1]), clock=clock, physics=plain_physics(boards))
    good, bad = grid.send_and_receive([order(17), order(250)])
    assert bad.error.reason == "out of memory: depth 2 needs 30.0 kB, small has 20.0 kB"
    assert bad.metadata.src_node_id == 250
    _, record = grid.told[0]
    assert (record.dropout, record.error) == ("memory", bad.error.reason)
    assert (record.batches, record.num_examples, record.train_loss, record.latency_provenance) == (0, 0, None, "")
    assert record.download_seconds > 0 == record.compute_seconds
    assert clock.now() == read_cost(good).seconds


def telling(record_of_250):
    """Return nodes that work for a batch, of which node 250 says this of its work."""
    honest = reply_after([1] * 4)

    def answer(message):
        reply = honest(message)
        if message.metadata.dst_node_id == 250:
            reply.content["workload"] = record_of_250
        return reply

    return answer


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"method": "adapter", "batches": 2.5}, "workload: expected a config record of passes and num-examples"),
        ({"passes": '[["forward",2.5,4,[64],[0,4]]]', "num-examples": 4}, "workload: count is 2.5, expected a whole"),
        (
            {"passes": '[["forward",1,4,[64],[0,99]]]', "num-examples": 4},
            "workload: blocks is 0 to 98, expected some of",
        ),
    ],
)
def test_one_client_that_talks_nonsense_of_its_work_is_refused_and_the_others_count(timed, said, reason):
    clock = VirtualClock()
    grid = timed(telling(ConfigRecord(said)), clock=clock)
    good, bad = grid.send_and_receive([order(17), order(250)])
    assert not good.has_error()
    assert bad.error.reason.startswith(reason)
    assert bad.metadata.src_node_id == 250
    _, record = grid.told[0]
    assert (record.dropout, record.error) == ("refused", bad.error.reason)
    assert (record.compute_seconds, record.num_examples, record.train_loss, record.batches) == (0.0, 0, None, 0)
    assert clock.now() >= read_cost(good).seconds > 2.0


def test_work_that_can_be_read_and_has_no_rule_ends_the_run_in_a_line(timed):
    said = {"passes": '[["forward",1,4,[64],[0,4],false,{"kind":"none"},"int8","npu"]]', "num-examples": 4}
    grid = timed(telling(ConfigRecord(said)))
    with pytest.raises(UserError, match="device profile board-1: no processor 'npu', accepted: default"):
        grid.send_and_receive([order(17), order(250)])


def there(*times):
    """Return availability of partitions by the (from, to) each is there."""
    return scheduled([schedule_of_times([each], None) for each in times])


def test_only_nodes_that_are_there_are_listed(timed):
    grid = timed(reply_after([1] * 4), availability=there((0, 9), (5, 9), (0, 9), (0, 9)))
    assert grid.get_node_ids() == [17, 901, 333]


def test_one_that_goes_away_before_it_is_done_is_lost_and_billed_until_then(timed):
    clock = VirtualClock()
    grid = timed(reply_after([10, 1, 1, 1]), clock=clock, availability=there((0, 8), (0, 99), (0, 99), (0, 99)))
    lost, good = grid.send_and_receive([order(17), order(250)])
    assert lost.error.reason == "went away after 8.00 s"
    record, _ = grid.told[0]
    assert record.seconds == pytest.approx(8.0)
    assert (record.dropout, record.batches) == ("gone", int(record.compute_seconds / 2))
    assert clock.now() == pytest.approx(8.0)
    assert read_cost(good).seconds < 8.0


def test_one_that_is_gone_at_the_start_is_not_asked_at_all(timed):
    asked = []

    def answer(message):
        asked.append(message.metadata.dst_node_id)
        return reply_after([1] * 4)(message)

    grid = timed(answer, availability=there((0, 99), (5, 9), (0, 99), (0, 99)))
    replies = grid.send_and_receive([order(901), order(250), order(17)])
    assert asked == [901, 17]
    assert [reply.has_error() for reply in replies] == [False, True, False]
    assert [reply.metadata.src_node_id for reply in replies] == [901, 250, 17]
    assert replies[1].error.reason == "was gone at the start"
    _, record, _ = grid.told[0]
    assert (record.partition_id, record.dropout, record.joules, record.bytes_down) == (1, "gone", 0.0, 0)


def test_messages_to_clients_that_are_gone_are_answered_on_demand_too(timed):
    grid = timed(reply_after([1] * 4), availability=there((0, 99), (5, 9), (0, 99), (0, 99)))
    ids = grid.push_messages([order(250), order(17)])
    assert len(set(ids)) == 2
    assert [reply.has_error() for reply in grid.pull_messages(ids)] == [True, False]
    assert grid.pull_messages(ids) == []


def test_queries_reach_clients_that_are_away(timed):
    grid = timed(
        lambda message: query_reply(message, PARTITIONS[message.metadata.dst_node_id]),
        availability=there((5, 9), (5, 9), (5, 9), (5, 9)),
    )
    grid.get_node_ids = grid.inner.get_node_ids
    assert find_partitions(grid) == PARTITIONS


def test_a_run_whose_clients_never_answer_ends(timed):
    grid = timed(reply_after([1] * 4), availability=bernoulli(1.0))
    with pytest.raises(RunFailedError, match="no client could be reached, 1000 times in a row"):
        [grid.send_and_receive([order(17)]) for _ in range(2000)]


def test_a_deadline_ends_the_round_and_late_work_comes_back_as_an_error(timed):
    clock = VirtualClock()
    grid = timed(reply_after([1, 30, 1, 1]), clock=clock)
    good, late = grid.send_and_receive([order(node, deadline_seconds=20.0) for node in (17, 250)])
    assert late.error.reason == "late: not done when the round was over, after 20.0 s"
    assert clock.now() == 20.0
    _, record = grid.told[0]
    assert (record.dropout, record.seconds) == ("late", pytest.approx(20.0))
    assert read_cost(good).idle_seconds == pytest.approx(20.0 - read_cost(good).seconds)


def test_late_work_that_is_carried_comes_back_with_its_delay(timed):
    clock = VirtualClock()
    grid = timed(reply_after([1, 30, 1, 1]), clock=clock)
    _, late = grid.send_and_receive([order(node, deadline_seconds=20.0, late="carry") for node in (17, 250)])
    assert clock.now() == 20.0
    assert read_cost(late).late_seconds == pytest.approx(read_cost(late).seconds - 20.0)
    _, record = grid.told[0]
    assert (record.error, record.late_seconds) == (None, read_cost(late).late_seconds)
    assert record.round_seconds == pytest.approx(20.0)


def test_the_round_ends_with_the_last_client_waited_for_in_each_group(timed):
    clock = VirtualClock()
    clock.fork(["shallow", "deep"])
    grid = timed(reply_after([1, 30, 2, 40]), clock=clock)
    messages = [order(17, group="shallow", wait_for=1), order(250, group="shallow", wait_for=1)]
    messages += [order(901, group="deep"), order(333, group="deep")]
    first, late, _, deepest = grid.send_and_receive(messages)
    assert late.has_error()
    assert clock.now("shallow") == pytest.approx(read_cost(first).seconds)
    assert clock.now("deep") == pytest.approx(read_cost(deepest).seconds)


ROUNDS = st.lists(
    st.tuples(st.lists(st.integers(0, 30), min_size=4, max_size=4), st.integers(0, 5000)), min_size=1, max_size=3
)


def run_through(timed, plain_physics, rounds, bandwidth):
    """Run rounds of four clients, and return the clock's end and all records."""
    clock = VirtualClock()
    work = iter(rounds)
    batches = []
    grid = timed(
        reply_after(batches),
        clock=clock,
        physics=plain_physics(link=constant(bandwidth)),
    )
    for _ in rounds:
        batches[:], size = next(work)
        grid.send_and_receive([order(node, size=size) for node in PARTITIONS])
    return clock.now(), [record for call in grid.told for record in call]


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(rounds=ROUNDS, bandwidth=st.floats(100, 1e6), factor=st.floats(1, 100), extra=st.integers(1, 9))
def test_more_work_never_costs_less_and_a_faster_link_never_more(
    timed, plain_physics, rounds, bandwidth, factor, extra
):
    seconds, records = run_through(timed, plain_physics, rounds, bandwidth)
    joules = sum(record.joules for record in records)

    fast_seconds, fast = run_through(timed, plain_physics, rounds, bandwidth * factor)
    assert fast_seconds <= seconds * (1 + 1e-9)
    assert sum(record.joules for record in fast) <= joules * (1 + 1e-9)

    harder = [([batches + extra for batches in each], size) for each, size in rounds]
    long_seconds, long = run_through(timed, plain_physics, harder, bandwidth)
    assert long_seconds > seconds
    assert sum(record.joules for record in long) > joules


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(rounds=ROUNDS, bandwidth=st.floats(100, 1e6))
def test_a_round_lasts_as_long_as_its_slowest_and_the_clock_is_the_sum_of_the_rounds(
    timed, plain_physics, rounds, bandwidth
):
    seconds, records = run_through(timed, plain_physics, rounds, bandwidth)
    by_round = [records[at : at + 4] for at in range(0, len(records), 4)]
    assert seconds == pytest.approx(sum(max(record.seconds for record in each) for each in by_round))
    for each in by_round:
        lasted = max(record.seconds for record in each)
        assert [record.round_seconds for record in each] == pytest.approx([lasted] * 4)


class RealTime:
    """Real time under a test's control: it passes while the grid sleeps, and only then."""

    def __init__(self):
        self.seconds = 0.0

    def monotonic(self):
        return self.seconds

    def sleep(self, seconds):
        self.seconds += seconds
        assert self.seconds < 3600, "the grid waits without end"


@pytest.fixture
def real_time(monkeypatch):
    time = RealTime()
    monkeypatch.setattr("fedlab.common.clock.time", SimpleNamespace(monotonic=time.monotonic, sleep=time.sleep))
    return time


def arriving_after(real_time, seconds):
    """Return an arrangement of replies: none has arrived before so many seconds have passed."""
    return lambda ids: ids if real_time.seconds >= seconds else []


@pytest.mark.parametrize("timeout", [1.5, 60.0, None])
def test_a_reply_that_arrives_within_the_time_limit_counts(timed, real_time, timeout):
    grid = timed(reply_after([1] * 4), arrange=arriving_after(real_time, 1.5))
    assert len(grid.send_and_receive([order(17), order(250)], timeout=timeout)) == 2
    assert real_time.seconds == 1.5  # the grid stops waiting as soon as all replies are there


def test_replies_are_waited_for_no_longer_than_the_time_limit(timed, real_time):
    grid = timed(reply_after([1] * 4), arrange=arriving_after(real_time, 1.6))
    assert grid.send_and_receive([order(17), order(250)], timeout=1.5) == []
    assert real_time.seconds == 1.5
    assert grid.told == [[]]


def test_replies_that_are_there_at_once_are_not_waited_for(timed, real_time):
    grid = timed(reply_after([1] * 4))
    assert len(grid.send_and_receive([order(17), order(250)], timeout=0.0)) == 2
    assert real_time.seconds == 0.0


def test_a_thousand_batches_in_a_row_may_reach_no_client_and_one_more_ends_the_run(timed):
    grid = timed(reply_after([1] * 4), availability=there((0, 0), (0, 1e9), (0, 0), (0, 0)))

    def reach(node):
        return [not reply.has_error() for reply in grid.send_and_receive([order(node), order(333)])]

    for _ in range(2):  # one batch that reaches a client starts the count from the beginning
        assert [reach(17) for _ in range(1000)] == [[False, False]] * 1000
        assert reach(250) == [True, False]
    assert [reach(17) for _ in range(1000)] == [[False, False]] * 1000
    with pytest.raises(RunFailedError, match="1000 times in a row"):
        reach(17)


def test_a_round_of_less_than_a_second_takes_no_longer_than_that(timed, plain_physics):
    clock = VirtualClock()
    grid = timed(reply_after([0] * 4), clock=clock, physics=plain_physics(link=constant(1e6)))
    (reply,) = grid.send_and_receive([order(17)])
    assert 0 < clock.now() == read_cost(reply).seconds < 0.01
