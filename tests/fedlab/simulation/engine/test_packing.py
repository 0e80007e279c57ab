"""Packs of clients: the same whoever serves them, even, and of like size."""

import numpy as np
import pytest
from flwr.app import Message, MessageType, RecordDict
from hypothesis import given
from hypothesis import strategies as st

from fedlab.messages.flower_private import assume_identity
from fedlab.messages.pack import to_record
from fedlab.simulation.engine.packing import default_pack, even_packs, idle_actors, lone_pack, pack_messages
from fedlab.workload.shape import ModelShape


@pytest.fixture(autouse=True)
def _identity():
    assume_identity(1)


def content(arrays: int) -> RecordDict:
    return RecordDict({"arrays": to_record({str(place): np.zeros(1, np.float32) for place in range(arrays)})})


def orders(contents, message_type=MessageType.TRAIN):
    return [Message(each, place + 2, message_type) for place, each in enumerate(contents)]


def test_only_wide_decoders_are_trained_one_client_at_a_time_on_a_processor():
    wide, narrow = (
        ModelShape(family="llama", blocks=30, hidden=hidden, intermediate=4 * hidden) for hidden in (576, 64)
    )
    encoder = ModelShape(family="bert", blocks=12, hidden=768, intermediate=3072)
    assert [default_pack("cpu", shape) for shape in (wide, narrow, encoder)] == [1, 4, 4]
    assert default_pack("cuda", wide) == 32


def test_packs_are_as_few_as_will_do_and_even():
    assert even_packs(range(5), 4) == [[0, 1], [2, 3, 4]]
    assert even_packs(range(4), 4) == [[0, 1, 2, 3]]
    assert even_packs([], 4) == []


@given(count=st.integers(0, 60), most=st.integers(1, 9))
def test_packs_hold_everything_once_and_differ_by_one_at_most(count, most):
    packs = even_packs(range(count), most)

    assert [item for pack in packs for item in pack] == list(range(count))
    assert len({len(pack) for pack in packs} - {0}) <= 2
    assert all(0 < len(pack) <= most for pack in packs)
    assert max(map(len, packs), default=0) - min(map(len, packs), default=0) <= 1


def test_only_messages_that_hold_the_same_go_together():
    one, other = content(2), content(2)

    packs = pack_messages(orders([one, other, one, other]), [10] * 4, 4)

    assert sorted(packs) == [[0, 2], [1, 3]]


def test_clients_of_like_size_go_together_and_the_most_work_goes_first():
    shared = content(2)

    packs = pack_messages(orders([shared] * 4), [5, 100, 6, 90], 2)

    assert packs == [[1, 3], [2, 0]]


def test_deeper_models_go_before_shallower_ones_of_as_many_examples():
    shallow, deep = content(2), content(10)

    assert pack_messages(orders([shallow, deep]), [50, 50], 4) == [[1], [0]]


@pytest.mark.parametrize(("megabytes", "sizes"), [(15, [4, 4]), (30, [2, 2, 2, 2]), (90, [1] * 8)])
def test_large_models_go_in_packs_of_64_megabytes_at_most(megabytes, sizes):
    large = RecordDict({"arrays": to_record({"x": np.zeros(megabytes * 10**6, np.uint8)})})

    assert [len(pack) for pack in pack_messages(orders([large] * 8), [10] * 8, 4)] == sizes


def test_actors_that_packs_leave_idle_are_told_of_with_the_pack_that_would_not():
    assert idle_actors(packs=4, clients=15, workers=16, most=4) == (
        "11 of 16 actors have no work in rounds of 15 clients, which train in packs of 4:"
        " engine.pack = 1 would use them"
    )
    assert "engine.pack = 2 would" in idle_actors(packs=4, clients=15, workers=6, most=4)


@pytest.mark.parametrize(("packs", "clients", "workers", "most"), [(4, 15, 4, 4), (1, 3, 8, 4), (15, 15, 32, 1)])
def test_nothing_is_said_of_idle_actors_where_packs_are_not_why(packs, clients, workers, most):
    assert idle_actors(packs=packs, clients=clients, workers=workers, most=most) is None


@pytest.mark.parametrize(("messages", "pack"), [(1, 1), (15, 1), (63, 1), (64, 2), (100, 3), (512, 16), (100_000, 16)])
def test_clients_that_do_not_train_together_go_in_at_least_32_calls_of_at_most_16(messages, pack):
    assert lone_pack(messages) == pack
