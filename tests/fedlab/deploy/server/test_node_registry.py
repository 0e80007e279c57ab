import pytest

from fedlab.deploy.server.node_registry import Debts, Roster
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
def roster(grid, said):
    debts = Debts(at_most_seconds=60.0, now_seconds=lambda: 0.0)
    return lambda parts: Roster(grid, debts=debts, tell=said.append, parts=parts)


def test_nodes_that_split_the_data_otherwise_are_left_out_with_the_reason(roster, said):
    assert roster(1).there() == [10, 13]
    assert [text for text in said if "left out" in text] == [
        "node 11 is left out: it holds partition 1 of 3, and others split the data into 1",
        "node 12 is left out: it holds partition 2 of 3, and others split the data into 1",
    ]


def test_nodes_that_split_the_data_as_expected_take_the_place_of_those_that_do_not(roster, said):
    assert roster(3).there() == [11, 12, 13]
    assert "node 10 is left out: it holds partition 0 of 1, and others split the data into 3" in said


def test_where_none_splits_it_as_expected_the_first_says_how(roster):
    assert roster(2).there() == [10, 13]


def test_a_node_that_comes_back_with_another_split_is_left_out(roster, grid, splits):
    made = roster(3)
    made.there()
    grid._nodes.remove(11)
    made.there()
    grid._nodes.append(11)
    splits[11] = 2
    assert made.there() == [12, 13]


def test_it_is_known_into_how_many_parts_the_node_of_a_partition_splits_the_data(roster):
    made = roster(3)
    made.there()
    assert [made.parts_of(partition) for partition in (1, 2, 3, 7)] == [3, 3, None, None]  # the last has its own data


def test_a_node_that_is_left_out_is_no_partition_of_the_run(roster):
    made = roster(1)
    made.there()
    assert made.partitions == {10: 0, 13: 3}


class Clock:
    seconds = 0.0

    def __call__(self):
        return self.seconds


def test_a_node_owes_until_it_answers():
    debts = Debts(at_most_seconds=10.0, now_seconds=Clock())
    assert debts.enter(7) == 10.0
    assert debts.owes(7)
    assert debts.settle(7)
    assert not debts.owes(7)
    assert not debts.settle(7)


def test_it_counts_for_so_long_at_most_and_every_further_time_for_twice_as_long():
    clock = Clock()
    debts = Debts(at_most_seconds=10.0, now_seconds=clock)
    for began, left in ((0.0, 10.0), (10.0, 20.0), (30.0, 40.0)):
        clock.seconds = began
        assert not debts.owes(7)
        assert debts.enter(7) == left
        clock.seconds = began + left - 1
        assert debts.owes(7)


def test_a_second_order_adds_nothing_to_what_is_owed():
    clock = Clock()
    debts = Debts(at_most_seconds=10.0, now_seconds=clock)
    debts.enter(7)
    clock.seconds = 4.0
    assert debts.enter(7) == 6.0


def test_who_has_answered_begins_anew():
    clock = Clock()
    debts = Debts(at_most_seconds=10.0, now_seconds=clock)
    debts.enter(7)
    debts.settle(7)
    assert debts.enter(7) == 10.0
