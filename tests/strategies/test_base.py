"""A strategy of ours has the server's side of the run and leaves the measuring to it."""

import inspect

import numpy as np
import pytest
from flwr.app import ConfigRecord

from fedlab.config.plugins import call_with_options, check_options
from fedlab.errors import UserError
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


def test_the_options_of_a_strategy_are_declared_once_and_still_known_by_name(strategy):
    names = set(inspect.signature(type(strategy)).parameters)
    assert {"clients_per_round", "over_selection", "deadline_seconds", "late"} <= names
    assert ("base_seconds" in names) == isinstance(strategy, AdaFL)
    check_options(type(strategy), {"min_replies": 2}, "strategy.options")
    with pytest.raises(UserError, match=r"clients_pre_round: did you mean 'clients_per_round'"):
        call_with_options(type(strategy), {"clients_pre_round": 2}, "strategy.options")


def test_an_option_that_does_not_exist_is_refused_in_code_too(strategy):
    with pytest.raises(TypeError, match="clients_pre_round"):
        type(strategy)(clients_pre_round=2)


def test_a_strategy_derived_from_ours_has_its_own_options():
    class Derived(FedAvg):
        def __init__(self, *, share: float = 0.5) -> None:
            super().__init__(clients_per_round=3)

    assert list(inspect.signature(Derived).parameters) == ["share"]
