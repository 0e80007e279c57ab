"""FedKSeed averages ways along the directions of a pool, and sends the first model to each client once."""

import numpy as np
import pytest
from flwr.app import ConfigRecord

from fedlab.gradients.directions import direction
from fedlab.gradients.vectors import flat
from fedlab.messages.pack import from_record, to_record
from fedlab.messages.probes import arrays_of
from fedlab.messages.seed_pool import read_pool
from fedlab.server.strategy_memory import memory_of
from fedlab.server.tree_values import packed, unpacked
from strategies.fedkseed import FedKSeed

START = {"x": np.array([1.0, 2.0, 3.0], np.float32), "a": np.array([[4.0]], np.float32)}
SEED = 5


@pytest.fixture
def attached(server):
    def make(**options):
        strategy = FedKSeed(**{"clients_per_round": 3, "pool": 4, **options})
        strategy.attach(server)
        return strategy

    return make


@pytest.fixture
def grid(memory_grid, server):
    return memory_grid(lambda message: None, server.partitions)


def ask(strategy, grid, server_round=1, arrays=START):
    return list(strategy.configure_train(server_round, to_record(arrays), ConfigRecord(), grid))


def test_the_model_goes_the_mean_of_the_clients_ways_by_their_examples(attached, grid, reply_with, floats):
    strategy = attached()
    (order, *_) = [read_pool(message) for message in ask(strategy, grid)]
    replies = [
        reply_with({"walked": floats(1, 0, 0, 0)}, node=100, num_examples=3, kind="scalars"),
        reply_with({"walked": floats(0, 0, -2, 0)}, node=101, num_examples=1, kind="scalars"),
    ]
    arrays, _ = strategy.aggregate_train(1, replies)
    moved = from_record(arrays)
    seeds = order.seeds(SEED)
    expected = flat(START) + 0.75 * direction(seeds[0], 4, "gaussian") - 0.5 * direction(seeds[2], 4, "gaussian")
    assert list(moved) == list(START)
    np.testing.assert_allclose(flat(moved), expected, rtol=1e-6)


def test_a_client_gets_the_first_model_until_it_has_answered_and_afterwards_the_way_alone(
    attached, grid, reply_with, floats
):
    strategy = attached(clients_per_round=9)
    first = ask(strategy, grid)
    assert all(list(arrays_of(message)) == list(START) for message in first)
    arrays, _ = strategy.aggregate_train(1, [reply_with({"walked": floats(1, 2, 3, 4)}, node=104, kind="scalars")])
    second = ask(strategy, grid, 2, from_record(arrays))
    without = [message.metadata.dst_node_id for message in second if arrays_of(message) is None]
    assert without == [104]
    assert sorted(message.metadata.dst_node_id for message in second) == sorted(grid.get_node_ids())
    sent = next(arrays_of(message) for message in second if arrays_of(message) is not None)
    np.testing.assert_array_equal(sent["x"], START["x"])  # the first model, not the last one
    for message in second:
        assert np.array_equal(read_pool(message).walked, [1, 2, 3, 4])
        rebuilt = read_pool(message).model(flat(START), SEED)
        np.testing.assert_array_equal(rebuilt, flat(from_record(arrays)))


def test_ways_of_another_length_are_turned_away_and_too_few_leave_the_model(attached, grid, reply_with, floats, server):
    strategy = attached(clients_per_round=9)
    ask(strategy, grid)
    arrays, _ = strategy.aggregate_train(1, [reply_with({"walked": floats(1, 2)}, node=101, kind="scalars")])
    assert arrays is None
    assert list(server.ledger.notes) == ["train: 0 updates to average, 1 needed: the model stays"]
    assert all(arrays_of(message) is not None for message in ask(strategy, grid, 2))


def test_a_resumed_run_goes_on_from_the_same_model(attached, grid, reply_with, floats):
    def reply(strategy, server_round):
        walked = floats(*np.random.default_rng(server_round).normal(size=4))
        arrays, _ = strategy.aggregate_train(server_round, [reply_with({"walked": walked}, node=102, kind="scalars")])
        return from_record(arrays)

    through, stopped, resumed = attached(), attached(), attached()
    for strategy in (through, stopped):
        ask(strategy, grid)
        model = reply(strategy, 1)
    arrays = {}
    tree = packed(memory_of(stopped).state(), "strategy", arrays)
    memory_of(resumed).restore(unpacked(tree, arrays))
    orders = [ask(strategy, grid, 2, model) for strategy in (through, resumed)]
    without_model = [[arrays_of(each) is None for each in messages] for messages in orders]
    assert without_model[0] == without_model[1]
    np.testing.assert_array_equal(flat(reply(through, 2)), flat(reply(resumed, 2)))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"pool": 0}, "pool: 0, expected 1 to 100000"),
        ({"distribution": "cauchy"}, "distribution: 'cauchy', expected one of gaussian, sphere, sign"),
        ({"late": "carry"}, "late: 'carry' is not for fedkseed"),
    ],
)
def test_what_cannot_be_is_refused(options, said):
    with pytest.raises(ValueError, match=said):
        FedKSeed(**options)
