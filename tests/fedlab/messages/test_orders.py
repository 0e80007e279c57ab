"""Orders carry a model and its terms unchanged, in records that Flower's own strategies use."""

import numpy as np
import pytest
from flwr.app import ArrayRecord, ConfigRecord, Message, MessageType, RecordDict
from flwr.serverapp import strategy

from fedlab.messages.flower_private import record_from_wire, record_to_wire, with_id
from fedlab.messages.orders import group_of, order_content, read_order, read_terms, server_round_of
from fedlab.messages.pack import to_record
from fedlab.messages.round_terms import RoundTerms
from fedlab.models.peft.bottleneck import Bottleneck, array_shapes, initial_arrays

pytestmark = pytest.mark.usefixtures("server_identity")


def order(arrays, *, node=7, kind=MessageType.TRAIN, **config):
    content = order_content(to_record(arrays), **{"server_round": 1, **config})
    return with_id(Message(content, node, kind), "1")


def assert_same(found, expected):
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


def test_a_models_arrays_arrive_with_the_shapes_of_its_configuration():
    sizes = {"blocks": 3, "hidden": 16, "labels": 4}
    config = Bottleneck(depth=2, width=8)
    arrays = initial_arrays(config, **sizes, generator=np.random.default_rng(0))
    found = read_order(order(arrays)).arrays
    assert {name: array.shape for name, array in found.items()} == array_shapes(config, **sizes)


def test_an_order_says_its_round_and_its_group():
    read = read_order(order({"x": np.ones(2, np.float32)}, server_round=12, group="deep"))
    assert (read.server_round, read.group, read.proximal_mu) == (12, "deep", 0.0)


def test_round_and_group_can_be_told_without_unpacking_the_arrays():
    message = order({}, server_round=3, group="wide")
    assert (server_round_of(message), group_of(message)) == (3, "wide")


@pytest.mark.parametrize(
    "terms",
    [
        RoundTerms(),
        RoundTerms(deadline_seconds=12.5),
        RoundTerms(wait_for=3),
        RoundTerms(deadline_seconds=1.0, wait_for=1, late="carry"),
    ],
)
def test_an_order_says_on_what_terms_its_round_is_held(terms):
    message = order({}, terms=terms)
    message.content = record_from_wire(record_to_wire(message.content))
    assert read_terms(message) == terms


def test_an_order_that_does_not_say_waits_for_all_and_is_no_longer_for_it():
    assert read_terms(Message(RecordDict(), 7, MessageType.TRAIN)) == RoundTerms()
    assert order({}, terms=RoundTerms()).content == order({}).content


def test_an_order_without_a_config_is_of_round_zero_and_no_group():
    message = Message(RecordDict({"arrays": ArrayRecord()}), 7, MessageType.TRAIN)
    read = read_order(message)
    assert (read.server_round, read.group, read.proximal_mu) == (0, "", 0.0)


def test_an_order_of_flowers_fedprox_brings_its_proximal_term(memory_grid):
    grid = memory_grid(lambda message: None, [7, 8])
    fedprox = strategy.FedProx(fraction_evaluate=0.0, proximal_mu=0.25)
    arrays = {"x": np.ones(2, np.float32)}
    messages = list(fedprox.configure_train(4, to_record(arrays), ConfigRecord(), grid))
    assert len(messages) == 2
    for message in messages:
        read = read_order(message)
        assert (read.server_round, read.proximal_mu) == (4, 0.25)
        assert_same(read.arrays, arrays)
