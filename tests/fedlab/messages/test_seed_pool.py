"""A model as a way along the directions of a pool of seeds: who rebuilds it gets the same, however it came there."""

import numpy as np
import pytest
from flwr.app import ConfigRecord, Message, MessageType

from fedlab.errors import UserError
from fedlab.gradients.directions import direction
from fedlab.messages.flower_private import record_bytes
from fedlab.messages.orders import order_content
from fedlab.messages.pack import to_record
from fedlab.messages.seed_pool import PoolOrder, add_pool, read_pool, sums_by_seed

WALKED = np.array([0.5, 0.0, -2.0], np.float32)


def sent(order):
    content = order_content(to_record({}), server_round=1)
    add_pool(content, order)
    return Message(content, 7, MessageType.TRAIN)


def test_a_pool_is_read_as_it_was_written_and_takes_4_bytes_a_seed(server_identity):
    found = read_pool(sent(PoolOrder(walked=WALKED, distribution="sign")))
    assert found.distribution == "sign"
    np.testing.assert_array_equal(found.walked, WALKED)
    large = sent(PoolOrder(walked=np.ones(4096, np.float32)))
    assert 4 * 4096 < record_bytes(large.content) < 18_000  # the authors' "under 18 kilobytes"


def test_other_orders_have_none(server_identity):
    assert read_pool(Message(order_content(to_record({}), server_round=1), 7, MessageType.TRAIN)) is None


def test_a_model_is_the_first_one_and_the_way_along_each_direction():
    order, start = PoolOrder(walked=WALKED), np.linspace(0, 1, 50, dtype=np.float32)
    directions = [direction(seed, 50, "gaussian") for seed in order.seeds(9)]
    expected = start + 0.5 * directions[0] - 2 * directions[2]
    np.testing.assert_allclose(order.model(start, 9), expected, rtol=1e-6, atol=1e-6)


def test_the_sum_of_many_ways_leads_where_they_lead_one_after_the_other():
    draws, start = np.random.default_rng(0), np.zeros(30, np.float32)
    ways = draws.normal(size=(20, 3)).astype(np.float32)
    there = start
    for way in ways:
        there = PoolOrder(walked=way).model(there, 9)
    np.testing.assert_allclose(PoolOrder(walked=ways.sum(0)).model(start, 9), there, rtol=1e-4, atol=1e-5)


def test_steps_are_added_up_by_seed():
    np.testing.assert_allclose(sums_by_seed([2, 0, 2], [0.5, 1.0, 0.25], 4), [1.0, 0.0, 0.75, 0.0])


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({"distribution": "cauchy", "walked": WALKED.tobytes()}, "cannot be read"),
        ({"distribution": "sign", "walked": b"123"}, "cannot be read"),
        ({"distribution": "sign", "walked": b""}, "cannot be read"),
        ({"distribution": "sign", "walked": 3}, "cannot be read"),
        ({"distribution": "sign", "walked": np.array([np.nan], np.float32).tobytes()}, "not finite"),
    ],
)
def test_what_cannot_be_is_refused(server_identity, record, said):
    content = order_content(to_record({}), server_round=1)
    content["pool"] = ConfigRecord(record)
    with pytest.raises(UserError, match=said):
        read_pool(Message(content, 7, MessageType.TRAIN))
