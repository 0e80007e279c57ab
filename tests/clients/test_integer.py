"""The client that trains a network for images in integers: int8 in, int8 out, billed as int8."""

import numpy as np
import pytest
from flwr.app import Message

from clients.integer import integer
from fedlab.errors import UserError
from fedlab.messages.flower_private import with_id
from fedlab.messages.integer_arrays import EXPONENTS, dequantised_arrays, quantised_arrays
from fedlab.messages.orders import order_content
from fedlab.messages.pack import from_record, to_record
from fedlab.messages.replies import read_shifts, read_workload
from fedlab.models.peft.whole_blocks import Everything
from fedlab.training.evaluate import measure

PARTITION = 3


@pytest.fixture
def ask(server_identity, image_bench, hosted):
    """Return a function that lets a client of a partition train a model, and returns its reply."""

    def send(arrays, *, kind="train", server_round=1, partition=PARTITION, **options):
        content = order_content(to_record(arrays), server_round=server_round, configuration={"set": "everything"})
        client = integer(**{"mu": 2, "batch_size": 8} | options)
        return client(with_id(Message(content, 7, kind), "1"), hosted(image_bench, partition))

    return send


@pytest.fixture
def floats(image_bench):
    return image_bench.network.encoder.sizes.initial(np.random.default_rng(1))


def arrays_of(reply):
    return from_record(reply.content["arrays"])


def test_a_reply_has_the_mantissas_trained_and_the_exponents_it_was_sent(ask, floats):
    sent = quantised_arrays(floats)
    reply = ask(sent)
    found = arrays_of(reply)
    assert list(found) == list(sent)
    assert all(array.dtype == np.int8 for array in found.values())
    assert np.array_equal(found[EXPONENTS], sent[EXPONENTS])
    steps = {name: int(np.abs(found[name].astype(int) - sent[name]).max()) for name in floats}
    assert min(steps.values()) > 0
    assert 0 < reply.content["metrics"]["train-loss"] < 50


def test_a_client_draws_alike_in_the_same_round_and_otherwise_in_another(ask, floats):
    sent = quantised_arrays(floats)
    first, again, later = (arrays_of(ask(sent, server_round=number)) for number in (1, 1, 2))
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert any(not np.array_equal(first[name], later[name]) for name in first)


def test_a_schedule_holds_from_its_rounds_on(ask, floats):
    sent = quantised_arrays(floats)
    schedule = [[0, 4], [3, 0]]
    for server_round, mu in ((1, 4), (3, 4), (4, 0), (9, 0)):
        found = arrays_of(ask(sent, server_round=server_round, mu=schedule, max_batches=1))
        expected = arrays_of(ask(sent, server_round=server_round, mu=mu, max_batches=1))
        assert all(np.array_equal(found[name], expected[name]) for name in found)


def test_its_work_is_billed_in_int8(ask, floats, image_bench):
    workload = read_workload(ask(quantised_arrays(floats)))
    forward, backward = workload.passes
    count = len(image_bench.partitions[PARTITION])
    assert workload.num_examples == count
    assert (forward.count, forward.batch_size, forward.format) == (-(-count // 8), 8, "int8")
    assert (backward.kind, backward.trained.kind, backward.format) == ("backward", "whole", "int8")
    on_dsp = read_workload(ask(quantised_arrays(floats), processor="dsp"))
    assert {each.processor for each in on_dsp.passes} == {"dsp"}
    assert {each.processor for each in workload.passes} == {"default"}


def test_rounds_of_all_clients_learn_to_tell_the_stripes(ask, image_bench, floats):
    arrays = floats
    for server_round in range(1, 5):
        sent = quantised_arrays(arrays)
        replies = [arrays_of(ask(sent, server_round=server_round, partition=each)) for each in range(5)]
        models = [dequantised_arrays(reply, sent[EXPONENTS]) for reply in replies]
        arrays = {name: np.mean([model[name] for model in models], axis=0, dtype=np.float32) for name in arrays}
    assert measure(image_bench, arrays, "test", Everything().split_point(4)) > 0.9


def test_floats_are_refused_with_the_strategies_that_send_int8(ask, floats):
    with pytest.raises(UserError, match=r"^this client trains int8 mantissas .* such as q-fedavg or q-fedupdate$"):
        ask(floats)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"algorithm": "octo"}, r"^client\.options\.algorithm: 'octo' is not of integers alone; accepted: niti,"),
        ({"algorithm": "nity"}, r"^algorithm 'nity': expected one of"),
        ({"mu": 9}, "mu schedule: mu 9, expected a whole number from -7 to 7"),
        ({"mu": [[1, 2]]}, r"mu schedule: epochs \[1\], expected rising ones that begin with 0"),
        ({"mu": 1.5}, r"client\.options\.mu: 1\.5 is not a whole number"),
        ({"batch_size": 0}, r"client\.options\.batch_size: 0 is not a positive whole number"),
    ],
)
def test_a_wrong_option_gets_one_line(options, said):
    with pytest.raises(UserError, match=said):
        integer(**options)


@pytest.mark.parametrize(
    ("options", "recorded"),
    [({}, False), ({"record_shifts": True}, True), ({"rescaling": "adaptive"}, True)],
)
def test_shifts_are_recorded_where_they_are_reused_or_asked_for(ask, floats, options, recorded):
    shifts = read_shifts(ask(quantised_arrays(floats), batch_size=2, **options))
    assert bool(shifts) == recorded
    steps = {each.found + each.reused for each in shifts}
    assert steps <= {15}  # 30 images
    assert (sum(each.reused for each in shifts) > 0) == ("rescaling" in options)
    assert {each.tensor for each in shifts} <= {
        "0.activation", "3.activation", "3.error", "7.activation", "7.error", "9.activation", "9.error",
    }  # fmt: skip


def test_a_client_that_is_not_asked_to_sends_the_same_message_as_before(ask, floats):
    assert "shifts" not in ask(quantised_arrays(floats)).content
