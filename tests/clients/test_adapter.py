"""The adapter client trains what it is given on its own partition, and reports what that took."""

import itertools

import numpy as np
import pytest
import torch
from flwr.app import ConfigRecord, MessageType

from clients.adapter import adapter
from fedlab.errors import UserError
from fedlab.messages.replies import read_workload
from fedlab.models.peft.bottleneck import Bottleneck, array_shapes
from fedlab.models.peft.head import HeadOnly
from fedlab.models.peft.whole_blocks import Everything, TopBlocks
from fedlab.workload.passes import bottleneck
from fedlab.workload.workload import Workload, forward_passes, training_passes

TEXTS = 14  # 160 texts less 16 and 32 held out, over 8 clients
BATCHES = 4  # of 4 texts, the last of 2


@pytest.fixture(scope="module")
def first_model(new_model):
    """Return a function that makes a new model with adapters."""
    return lambda depth, width=8: new_model(Bottleneck(depth=depth, width=width))


@pytest.fixture
def device(device_with):
    return device_with(adapter)


def cached(reply):
    work = read_workload(reply)
    return work.batches, work.cached_batches


def test_the_partition_is_as_large_as_these_tests_assume(workbench):
    assert {len(partition) for partition in workbench.partitions} == {TEXTS}


@pytest.mark.parametrize(("depth", "width"), [(0, 8), (1, 8), (2, 16)])
def test_a_reply_has_the_arrays_it_was_given_trained(device, first_model, depth, width):
    model = first_model(depth, width)
    start, trained = model.arrays, device().trained(model)
    expected = array_shapes(Bottleneck(depth=depth, width=width), blocks=2, hidden=128, labels=2)
    assert {name: array.shape for name, array in trained.items()} == expected
    assert list(trained) == list(start)
    assert all(array.dtype == np.float32 and np.isfinite(array).all() for array in trained.values())
    assert not np.array_equal(trained["head.weight"], start["head.weight"])
    if depth:
        assert not np.array_equal(trained["block.1.up.weight"], start["block.1.up.weight"])


def test_a_reply_says_on_how_many_examples_and_with_what_loss(device, first_model):
    metrics = device()(first_model(0)).content["metrics"]
    assert metrics["num-examples"] == TEXTS
    assert 0.0 < metrics["train-loss"] < 5.0


def test_a_workload_counts_what_was_done(device, first_model, workbench):
    reply = device(epochs=2)(first_model(2, 16))
    assert read_workload(reply) == Workload(
        passes=training_passes(
            batches=2 * BATCHES,
            cached_batches=BATCHES,
            batch_size=4,
            input_shape=(workbench.tokens("train").input_ids.shape[1],),
            model_blocks=2,
            depth=2,
            trained=bottleneck(16),
        ),
        num_examples=TEXTS,
    )


def test_the_first_epoch_at_a_new_depth_runs_every_block_and_later_ones_start_from_the_cache(device, first_model):
    client = device(epochs=3)
    first, second = client(first_model(1)), client(first_model(1), server_round=2)
    assert cached(first) == (3 * BATCHES, 2 * BATCHES)
    assert cached(second) == (3 * BATCHES, 3 * BATCHES)


def test_another_depth_invalidates_the_cache_and_so_does_the_way_back(device, first_model):
    client = device()
    depths = [0, 0, 2, 2, 1, 2]
    shares = [cached(client(first_model(depth)))[1] for depth in depths]
    assert shares == [0, BATCHES, 0, BATCHES, 0, 0]


def test_another_width_leaves_the_cache_as_it_is(device, first_model):
    client = device()
    client(first_model(1, 8))
    assert cached(client(first_model(1, 16))) == (BATCHES, BATCHES)


def test_the_cache_is_the_devices_own(device, first_model):
    one, other = device(), device(partition=4)
    one(first_model(1))
    assert cached(other(first_model(1))) == (BATCHES, 0)


def test_evaluating_neither_fills_nor_spends_the_cache(device, first_model):
    client = device()
    client(first_model(2), kind=MessageType.EVALUATE)
    assert cached(client(first_model(2))) == (BATCHES, 0)
    client(first_model(1), kind=MessageType.EVALUATE)
    assert cached(client(first_model(2))) == (BATCHES, BATCHES)


def test_a_device_without_a_cache_runs_every_block_every_time(device, first_model):
    client = device(cache=False, epochs=2)
    assert [cached(client(first_model(1))) for _ in range(2)] == [(2 * BATCHES, 0)] * 2


def test_the_cache_changes_what_is_billed_and_not_what_is_learnt(device, first_model, distance):
    with_cache, without = device(), device(cache=False)
    for _ in range(2):
        first, second = with_cache.trained(first_model(1)), without.trained(first_model(1))
        assert distance(first, second) == 0.0


def test_a_cache_filled_beforehand_serves_the_first_round(device, first_model):
    client = device(cached_depths=3)
    work = read_workload(client.prefill(depth=0))
    assert [(each.kind, each.count, each.blocks) for each in work.passes] == [("forward", BATCHES, range(2))]
    assert [cached(client(first_model(depth))) for depth in (0, 2)] == [(BATCHES, BATCHES)] * 2


def test_a_cache_filled_beforehand_for_one_depth_does_not_serve_another(device, first_model):
    client = device()
    client.prefill(depth=1)
    assert cached(client(first_model(2))) == (BATCHES, 0)


def test_filling_the_cache_beforehand_changes_nothing_that_is_learnt(device, first_model, distance):
    filled, other = device(), device()
    filled.prefill(depth=1)
    assert distance(filled.trained(first_model(1)), other.trained(first_model(1))) == 0.0


def test_a_client_that_keeps_no_cache_cannot_fill_it(device):
    with pytest.raises(ValueError, match=r"client\.options\.cache is false"):
        device(cache=False).prefill(depth=1)


def test_the_processor_changes_what_is_billed_and_not_what_is_learnt(device, first_model, distance):
    plain, other = device(), device(processor="npu")
    assert {each.processor for each in read_workload(other(first_model(1))).passes} == {"npu"}
    assert distance(plain.trained(first_model(1)), other.trained(first_model(1))) == 0.0


def test_checkpointing_changes_what_is_billed_and_not_what_is_learnt(device, first_model, distance):
    plain, saving = device(), device(checkpointing=True)
    billed = [each.checkpointing for each in read_workload(saving(first_model(1))).passes]
    assert billed == [False, True]  # the forward pass, and the backward pass that runs it again
    assert not any(each.checkpointing for each in read_workload(plain(first_model(1))).passes)
    assert distance(plain.trained(first_model(1)), saving.trained(first_model(1))) == 0.0


def test_max_batches_ends_the_epochs_early(device, first_model):
    assert cached(device(max_batches=3)(first_model(1))) == (3, 0)
    assert cached(device(max_batches=6, epochs=3)(first_model(1))) == (6, 2)


def test_the_batch_size_decides_the_number_of_batches(device, first_model):
    work = read_workload(device(batch_size=5)(first_model(0)))
    assert {(each.count, each.batch_size) for each in work.passes} == {(3, 5)}


def test_the_same_order_gives_the_same_arrays_to_the_bit(device, first_model, distance):
    first, second = (device().trained(first_model(2)) for _ in range(2))
    assert distance(first, second) == 0.0


def test_round_and_partition_each_give_another_order_of_batches(device, first_model, distance):
    replies = [device().trained(first_model(0), server_round=server_round) for server_round in (1, 2)]
    replies.append(device(partition=4).trained(first_model(0)))
    assert all(distance(a, b) > 0 for a, b in itertools.combinations(replies, 2))


def test_training_lowers_the_loss(device, first_model):
    client, model = device(learning_rate=0.02, clip_norm=None), first_model(1)
    model.arrays["head.bias"][:] = [4.0, -4.0]  # sure of label 0, and wrong about half of the texts
    losses = client.losses(model, rounds=3)
    assert 0.0 < losses[-1] < losses[0] / 1.5


def test_a_proximal_term_keeps_the_arrays_nearer_to_where_they_started(device, first_model, distance):
    start = first_model(1)
    client = device(clip_norm=None, epochs=4)
    away = {mu: distance(client.trained(start, proximal_mu=mu), start.arrays) for mu in (0.0, 0.5, 5.0)}
    assert away[0.0] > 1.05 * away[0.5] > 1.05 * away[5.0]


def test_a_proximal_term_changes_no_first_step(device, first_model, distance):
    start = first_model(1)
    client = device(max_batches=1)
    one, other = (client.trained(start, proximal_mu=mu) for mu in (0.0, 5.0))
    assert distance(one, other) == 0.0 < distance(one, start.arrays)


def test_evaluation_scores_the_model_on_the_clients_own_texts(device, first_model, labels):
    model = first_model(0)
    model.arrays["head.weight"][:] = 0.0
    model.arrays["head.bias"][:] = [1.0, 0.0]  # whatever the text, label 0
    reply = device()(model, kind=MessageType.EVALUATE)
    assert reply.content["metrics"]["eval-accuracy"] == pytest.approx(np.mean(labels == 0))
    assert 0 < np.mean(labels == 0) < 1
    assert reply.content["metrics"]["num-examples"] == TEXTS


def test_evaluation_is_a_workload_of_its_own_and_sends_no_arrays(device, first_model, workbench):
    reply = device()(first_model(2, 16), kind=MessageType.EVALUATE)
    assert read_workload(reply) == Workload(
        passes=forward_passes(
            batches=BATCHES, batch_size=4, input_shape=(workbench.tokens("train").input_ids.shape[1],), model_blocks=2
        ),
        num_examples=TEXTS,
    )
    assert not reply.content.array_records


def test_the_head_alone_is_trained_like_adapters_of_depth_0(device, new_model, first_model, distance):
    assert distance(device().trained(new_model(HeadOnly())), device().trained(first_model(0))) == 0.0


@pytest.mark.parametrize("trained", [TopBlocks(depth=0), TopBlocks(depth=1), Everything()])
def test_whole_blocks_are_refused_in_one_line(device, new_model, trained):
    name = trained.configuration["set"]
    with pytest.raises(UserError, match=f"^this client trains adapters, .*, not the set '{name}'; see client.trains$"):
        device()(new_model(trained))


def test_an_order_that_names_no_set_is_refused(device, first_model):
    model = first_model(1)
    with pytest.raises(UserError, match=r"^the order names no trainable set: pass `configuration` to order_content$"):
        device()((model.arrays, None))
    with pytest.raises(UserError, match=r"^the order names no trainable set"):
        device()((model.arrays, None), kind=MessageType.EVALUATE)


@pytest.mark.filterwarnings("error")
def test_neither_training_nor_evaluating_warns_of_arrays_that_cannot_be_written_to(device, first_model):
    client = device()
    torch.set_warn_always(True)
    try:
        client(first_model(1))
        client(first_model(1), kind=MessageType.EVALUATE)
    finally:
        torch.set_warn_always(False)


def test_asked_which_partition_it_holds_a_client_says_so(device):
    assert device(partition=5).partition() == 5


def test_what_a_client_remembers_is_plain_enough_to_travel(device, first_model):
    client = device()
    client(first_model(1))
    assert all(isinstance(record, ConfigRecord) for record in client.context.state.values())


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"optimizer": "adam"}, r"client\.options\.optimizer: 'adam' is unknown; accepted: sgd, adamw"),
        ({"schedule": "cosine"}, r"client\.options\.schedule: 'cosine' is unknown"),
        ({"learning_rate": 0.0}, r"client\.options\.learning_rate: 0\.0"),
        ({"epochs": -1}, r"client\.options\.epochs: -1"),
        ({"batch_size": "4"}, r"client\.options\.batch_size: '4'"),
    ],
)
def test_an_option_that_cannot_be_is_refused_by_name(option, message):
    with pytest.raises(UserError, match=message):
        adapter(**option)
