import numpy as np
import pytest
from flwr.app import ArrayRecord, ConfigRecord, Message, MessageType, RecordDict
from flwr.serverapp.strategy import FedAvg

from fedlab.errors import RunFailedError, UserError
from fedlab.messages.pack import to_record
from fedlab.server.strategy_calls import aggregated_arrays, ask, asked_orders, check_like

MODEL = {"w": np.zeros((2, 3), np.float32)}


def strategy(method, returns=None, raises=None):
    def answer(self, *arguments):
        if raises is not None:
            raise raises
        return returns

    return type("Mine", (FedAvg,), {method: answer})()


def orders(returns=None, raises=None, nodes=(1, 2)):
    mine = strategy("configure_train", returns, raises)
    return asked_orders(mine, "configure_train", 1, (ArrayRecord(), ConfigRecord()), None, dict.fromkeys(nodes, 0))


def message(node):
    return Message(RecordDict(), node, MessageType.TRAIN)


def test_messages_to_nodes_of_the_grid_are_sent(server_identity):
    assert [each.metadata.dst_node_id for each in orders(message(node) for node in (2, 1))] == [2, 1]


@pytest.mark.parametrize("returns", [None, 3, "messages", [3]], ids=repr)
def test_what_is_no_message_is_named(returns):
    with pytest.raises(UserError, match=r"^the strategy Mine: configure_train returned .*, expected .*messages"):
        orders(returns)


def test_a_message_to_a_node_that_is_not_there_is_named(server_identity):
    with pytest.raises(UserError, match="returned 'a message to node 7', expected messages to nodes of the grid"):
        orders([message(7)])


@pytest.mark.parametrize("raises", [KeyError("w"), SystemExit(1)], ids=repr)
def test_what_a_strategy_raises_is_one_line(raises):
    with pytest.raises(UserError, match=r"^the strategy Mine: configure_train raised .*test_strategy_calls.py, line"):
        orders(raises=raises)


def test_a_run_that_cannot_go_on_is_not_the_strategys_fault():
    with pytest.raises(RunFailedError, match="none is there"):
        orders(raises=RunFailedError("none is there"))


def test_a_fault_in_one_of_fedlabs_own_strategies_keeps_its_traceback():
    ours = strategy("summary", raises=KeyError("w"))
    type(ours).__module__ = "strategies.ours"
    with pytest.raises(KeyError):
        ask(ours, "summary")


@pytest.mark.parametrize("returns", [None, to_record(MODEL), (MODEL, None), (1, 2, 3)], ids=str)
def test_what_is_aggregated_is_a_pair_of_arrays_and_metrics(returns):
    with pytest.raises(UserError, match=r"^the strategy Mine: aggregate_train returned .*, expected a pair"):
        aggregated_arrays(strategy("aggregate_train", returns), 1, [])


def test_arrays_or_nothing_are_accepted():
    assert aggregated_arrays(strategy("aggregate_train", (None, None)), 1, []) is None
    assert aggregated_arrays(strategy("aggregate_train", (to_record(MODEL), None)), 1, []) == to_record(MODEL)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ({}, "no 'w'"),
        ({"w": np.zeros(6)}, r"'w' of shape \(6,\)"),
        ({**MODEL, "b": np.zeros(1)}, r"'b' of shape \(1,\)"),
    ],
    ids=["missing", "reshaped", "added"],
)
def test_a_model_has_the_arrays_of_the_one_before(model, said):
    with pytest.raises(UserError, match=said):
        check_like(strategy("summary"), model, MODEL)
