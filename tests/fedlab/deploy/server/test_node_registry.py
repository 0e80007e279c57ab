from types import SimpleNamespace

import pytest

from fedlab.deploy.server.node_registry import NodeRegistry, UnansweredOrders
from fedlab.messages.replies import add_board, query_reply


@pytest.fixture
def splits():
    """Into how many parts each node splits the data; the last has its own."""
    return {10: 1, 11: 3, 12: 3, 13: None}


@pytest.fixture
def grid(memory_grid, splits):
    """Node 10 holds partition 0, node 11 partition 1, and so on."""

    def answer(message):
        node = message.metadata.dst_node_id
        reply = query_reply(message, node - 10)
        add_board(reply, "rpi-4b", parts=splits[node])
        return reply

    return memory_grid(answer, list(splits))


@pytest.fixture
def said():
    return []


@pytest.fixture
def registry(grid, said):
    unanswered = UnansweredOrders(at_most_seconds=60.0, now_seconds=lambda: 0.0)
    return lambda parts: NodeRegistry(grid, unanswered=unanswered, tell=said.append, parts=parts)


def test_nodes_that_split_the_data_otherwise_are_left_out_with_the_reason(registry, said):
    assert registry(1).available() == [10, 13]
    assert [text for text in said if "left out" in text] == [
        "node 11 is left out: it holds partition 1 of 3, but the other nodes split the data into 1",
        "node 12 is left out: it holds partition 2 of 3, but the other nodes split the data into 1",
    ]


def test_nodes_that_split_the_data_as_expected_take_the_place_of_those_that_do_not(registry, said):
    assert registry(3).available() == [11, 12, 13]
    assert "node 10 is left out: it holds partition 0 of 1, but the other nodes split the data into 3" in said


def test_where_none_splits_it_as_expected_the_first_says_how(registry):
    assert registry(2).available() == [10, 13]


def test_a_node_that_comes_back_with_another_split_is_left_out(registry, grid, splits):
    made = registry(3)
    made.available()
    grid._nodes.remove(11)
    made.available()
    grid._nodes.append(11)
    splits[11] = 2
    assert made.available() == [12, 13]


def test_it_is_known_into_how_many_parts_the_node_of_a_partition_splits_the_data(registry):
    made = registry(3)
    made.available()
    assert [made.parts_of(partition) for partition in (1, 2, 3, 7)] == [3, 3, None, None]  # the last has its own data


def test_a_node_that_is_left_out_is_no_partition_of_the_run(registry):
    made = registry(1)
    made.available()
    assert made.partitions == {10: 0, 13: 3}


class Clock:
    seconds = 0.0

    def __call__(self):
        return self.seconds


def test_a_node_owes_until_it_answers():
    unanswered = UnansweredOrders(at_most_seconds=10.0, now_seconds=Clock())
    assert unanswered.enter(7) == 10.0
    assert unanswered.owes(7)
    assert unanswered.settle(7)
    assert not unanswered.owes(7)
    assert not unanswered.settle(7)


def test_it_counts_for_so_long_at_most_and_every_further_time_for_twice_as_long():
    clock = Clock()
    unanswered = UnansweredOrders(at_most_seconds=10.0, now_seconds=clock)
    for began, left in ((0.0, 10.0), (10.0, 20.0), (30.0, 40.0)):
        clock.seconds = began
        assert not unanswered.owes(7)
        assert unanswered.enter(7) == left
        clock.seconds = began + left - 1
        assert unanswered.owes(7)


def test_a_second_order_adds_nothing_to_what_is_owed():
    clock = Clock()
    unanswered = UnansweredOrders(at_most_seconds=10.0, now_seconds=clock)
    unanswered.enter(7)
    clock.seconds = 4.0
    assert unanswered.enter(7) == 6.0


def test_a_node_that_has_answered_starts_again_with_the_first_wait():
    clock = Clock()
    unanswered = UnansweredOrders(at_most_seconds=10.0, now_seconds=clock)
    unanswered.enter(7)
    unanswered.settle(7)
    assert unanswered.enter(7) == 10.0


def holding(memory_grid, said, partitions, boards, parts=1):
    """Return a registry of nodes that hold these partitions, and the grid they are in; both can change afterwards."""

    def answer(message):
        node = message.metadata.dst_node_id
        reply = query_reply(message, partitions[node])
        if boards[node]:
            add_board(reply, boards[node])
        return reply

    grid = memory_grid(answer, list(partitions))
    unanswered = UnansweredOrders(at_most_seconds=60.0, now_seconds=lambda: 0.0)
    return NodeRegistry(grid, unanswered=unanswered, tell=said.append, parts=parts), grid


def test_the_server_says_once_which_node_holds_which_partition_and_on_what_board(memory_grid, said):
    registry, _ = holding(memory_grid, said, {20: 4, 21: 5}, {20: "rpi-4b", 21: ""})
    registry.available()
    registry.available()
    assert said == ["node 20 holds partition 4, on rpi-4b", "node 21 holds partition 5"]


def test_the_server_says_it_again_only_if_a_node_comes_back_with_another_partition(memory_grid, said):
    partitions = {20: 4, 21: 5}
    registry, grid = holding(memory_grid, said, partitions, {20: "", 21: ""})
    for held in (4, 6):
        registry.available()
        grid._nodes.remove(20)
        registry.available()
        grid._nodes.append(20)
        partitions[20] = held
    registry.available()
    assert said == ["node 20 holds partition 4", "node 21 holds partition 5", "node 20 holds partition 6"]


@pytest.fixture
def real_time(monkeypatch):
    """Let real time pass only while the server sleeps; return when it slept."""
    slept = []
    time = SimpleNamespace(monotonic=lambda: sum(slept), sleep=slept.append)
    monkeypatch.setattr("fedlab.common.clock.time", time)
    return slept


def test_whom_the_server_waits_for_is_said_at_once_and_every_15_seconds(memory_grid, said, real_time):
    registry, _ = holding(memory_grid, said, {20: 4, 21: 5}, {20: "", 21: ""})
    assert registry.wait(3, at_most_seconds=40.0) == [20, 21]
    assert said[2:] == [
        "waiting for 3 nodes: 2 available, 40.0 s left",
        "waiting for 3 nodes: 2 available, 25.0 s left",
        "waiting for 3 nodes: 2 available, 10.0 s left",
    ]
    assert sum(real_time) == 40.0


def test_nodes_that_are_at_work_on_orders_that_were_given_up_are_counted_apart(memory_grid, said, real_time):
    registry, grid = holding(memory_grid, said, {20: 4, 21: 5, 22: 6}, {20: "", 21: "", 22: ""})
    registry.available()
    grid._answer = lambda message: None  # they do not come to the query that shows that they are done
    registry.give_up([20, 21])
    assert registry.wait(2, at_most_seconds=1.0) == [20, 21, 22]
    assert said[-1] == "waiting for 2 nodes: 1 available and 2 at work on abandoned orders, 1.00 s left"


def test_nodes_that_are_there_are_not_waited_for(memory_grid, said, real_time):
    registry, _ = holding(memory_grid, said, {20: 4, 21: 5}, {20: "", 21: ""})
    assert registry.wait(2, at_most_seconds=40.0) == [20, 21]
    assert (sum(real_time), [text for text in said if "waiting" in text]) == (0, [])
