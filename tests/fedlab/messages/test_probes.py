"""An order for a step says which batch and which directions, in a few bytes."""

import pytest
from flwr.app import ConfigRecord, Message, MessageType, RecordDict

from fedlab.errors import UserError
from fedlab.gradients.directions import probe_seed
from fedlab.messages.orders import order_content
from fedlab.messages.pack import to_record
from fedlab.messages.probes import StepOrder, add_step, arrays_of, read_step

ORDERS = {
    "a gradient": StepOrder(step=3, period=1, batch=2),
    "directions": StepOrder(step=3, cycle=1, probes=10, distribution="sphere", keeps=True),
    "the same for all": StepOrder(step=3, probes=2, shared=True),
    "chosen": StepOrder(step=3, probes=2, shared=True, chosen={7: (4, 9), 2: (0, 1)}),
    "spans": StepOrder(step=3, probes=2, spans={7: ((0, 5), (8, 9)), 2: ((5, 9),)}),
}


def sent(order):
    content = order_content(to_record({}), server_round=1)
    add_step(content, order)
    return Message(content, 7, MessageType.TRAIN)


@pytest.mark.parametrize("name", ORDERS)
def test_a_step_is_read_as_it_was_written(server_identity, name):
    assert read_step(sent(ORDERS[name])) == ORDERS[name]


def test_an_order_without_a_step_is_for_local_training(server_identity):
    message = Message(order_content(to_record({}), server_round=1), 7, MessageType.TRAIN)
    assert read_step(message) is None


def test_an_order_may_send_no_model(server_identity):
    assert arrays_of(Message(RecordDict(), 7, MessageType.TRAIN)) is None
    assert arrays_of(sent(ORDERS["directions"])) == {}


def test_seeds_are_keyed_by_step_cycle_partition_and_probe():
    order = StepOrder(step=3, cycle=1, probes=2)
    expected = [probe_seed(5, step=3, cycle=1, partition=7, probe=probe) for probe in (0, 1)]
    assert order.seeds(5, 7) == expected
    assert not set(order.seeds(5, 8)) & set(expected)


def test_shared_directions_are_the_same_for_all_and_chosen_ones_are_those_chosen():
    shared = StepOrder(step=3, probes=2, shared=True)
    assert shared.seeds(5, 7) == shared.seeds(5, 8)
    ten = StepOrder(step=3, probes=10, shared=True).seeds(5, 0)
    chosen = ORDERS["chosen"]
    assert chosen.seeds(5, 7) == [ten[4], ten[9]]
    assert chosen.seeds(5, 2) == [ten[0], ten[1]]


@pytest.mark.parametrize(
    "record",
    [
        {"step": -1},
        {"step": "one"},
        {"step": 1, "distribution": "cauchy"},
        {"step": 1, "partitions": [0], "chosen": 4},
        {"step": 1, "spans-0": [1, 2, 3]},
        {"step": 1, "spans-x": [1, 2]},
    ],
)
def test_what_is_no_step_is_refused(server_identity, record):
    message = sent(StepOrder(step=0))
    message.content["step"] = ConfigRecord(record)
    with pytest.raises(UserError, match="the order's step cannot be read"):
        read_step(message)
