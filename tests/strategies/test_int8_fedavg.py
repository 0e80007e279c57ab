"""Q-FedAvg and Q-FedUpdate: int8 to the clients and back, floats on the server."""

import numpy as np
import pytest
from flwr.app import ConfigRecord

from fedlab.messages.integer_arrays import EXPONENTS, quantised_arrays
from fedlab.messages.orders import read_order
from fedlab.messages.pack import from_record, to_record
from fedlab.server.context import Resumable
from strategies.int8_fedavg import QFedAvg, QFedUpdate

START = {"x": np.array([1.0, -0.5, 0.003], np.float32), "y": np.array([4.0], np.float32)}
# r = 1: exponent 0 - 7; 127, round(-63.5), 0. r = 4: exponent 2 - 7.
SENT = {"x": [127, -64, 0], "y": [127], EXPONENTS: [-7, -5]}


@pytest.fixture
def grid(memory_grid, server):
    return memory_grid(lambda message: None, server.partitions)


@pytest.fixture
def asked(server, grid):
    """Return a function that attaches a strategy and has it send the start."""

    def send(kind, **options):
        strategy = kind(clients_per_round=2, **options)
        assert isinstance(strategy, Resumable)
        strategy.attach(server)
        return strategy, list(strategy.configure_train(1, to_record(START), ConfigRecord(), grid))

    return send


def returned(x, y):
    return {"x": np.array(x, np.int8), "y": np.array(y, np.int8), EXPONENTS: np.array([-7, -5], np.int8)}


@pytest.mark.parametrize("kind", [QFedAvg, QFedUpdate])
def test_clients_are_sent_mantissas_with_exponents(asked, kind):
    _, messages = asked(kind)
    assert len(messages) == 2
    for message in messages:
        arrays = read_order(message).arrays
        assert {name: array.tolist() for name, array in arrays.items()} == SENT
        assert all(array.dtype == np.int8 for array in arrays.values())


def test_q_fedavg_averages_what_mantissas_stand_for(asked, reply_with):
    strategy, _ = asked(QFedAvg)
    replies = [
        reply_with(returned([127, -64, 8], [126]), node=100, num_examples=3),
        reply_with(returned([123, -64, 0], [122]), node=101, num_examples=1),
    ]
    found = from_record(strategy.aggregate_train(1, replies)[0])
    np.testing.assert_allclose(found["x"], [126 / 128, -64 / 128, 6 / 128])
    np.testing.assert_allclose(found["y"], [125 / 32])
    assert found["x"].dtype == np.float32
    assert EXPONENTS not in found


def test_q_fedupdate_adds_the_mean_difference_to_its_floats(asked, reply_with):
    strategy, _ = asked(QFedUpdate)
    replies = [
        reply_with(returned([127, -64, 8], [126]), node=100, num_examples=3),
        reply_with(returned([123, -64, 0], [122]), node=101, num_examples=1),
    ]
    found = from_record(strategy.aggregate_train(1, replies)[0])
    np.testing.assert_allclose(found["x"], [1.0 - 1 / 128, -0.5, 0.003 + 6 / 128], rtol=1e-6)
    np.testing.assert_allclose(found["y"], [4.0 - 2 / 32])


def test_changes_below_a_level_add_up_in_q_fedupdate_alone(asked, reply_with, grid):
    # One of ten clients moves a weight by one level a round: the mean is a tenth of a level.
    after = {}
    for kind in (QFedAvg, QFedUpdate):
        strategy, _ = asked(kind)
        arrays = to_record(START)
        for server_round in range(1, 9):
            messages = list(strategy.configure_train(server_round, arrays, ConfigRecord(), grid))
            sent = read_order(messages[0]).arrays
            moved = {**sent, "x": sent["x"] + np.array([0, 0, 1], np.int8)}
            replies = [reply_with(moved, node=100, num_examples=1), reply_with(dict(sent), node=101, num_examples=9)]
            arrays = strategy.aggregate_train(server_round, replies)[0]
        after[kind] = int(quantised_arrays(from_record(arrays))["x"][2])
    assert after == {QFedAvg: 0, QFedUpdate: 1}


def test_exponents_that_a_client_changed_are_not_read(asked, reply_with):
    strategy, _ = asked(QFedAvg)
    forged = returned([127, -64, 8], [126]) | {EXPONENTS: np.array([120, 120], np.int8)}
    found = from_record(strategy.aggregate_train(1, [reply_with(forged, node=100)])[0])
    np.testing.assert_allclose(found["x"], [127 / 128, -0.5, 8 / 128])


def test_a_round_with_too_few_replies_leaves_the_floats(asked, reply_with):
    strategy, _ = asked(QFedUpdate, min_replies=2)
    assert strategy.aggregate_train(1, [reply_with(returned([1, 1, 1], [1]))]) == (None, None)
