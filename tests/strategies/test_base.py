"""A strategy of ours has the server's side of the run and leaves the measuring to it."""

import numpy as np
import pytest
from flwr.app import ConfigRecord

from fedlab.messages.pack import to_record
from fedlab.server.context import Attached
from strategies.adafl import AdaFL
from strategies.fedavg import FedAvg


@pytest.fixture(params=[FedAvg, AdaFL])
def strategy(request):
    return request.param()


def test_a_strategy_has_the_servers_side_once_attached(strategy, server):
    assert isinstance(strategy, Attached)
    with pytest.raises(AssertionError, match="attach comes first"):
        _ = strategy.server
    strategy.attach(server)
    assert strategy.server is server


def test_clients_are_not_asked_to_evaluate(strategy, server, memory_grid):
    strategy.attach(server)
    grid = memory_grid(lambda message: None, server.partitions)
    arrays = to_record({"x": np.zeros(2, np.float32)})
    assert list(strategy.configure_evaluate(1, arrays, ConfigRecord(), grid)) == []
    assert strategy.aggregate_evaluate(1, []) is None
