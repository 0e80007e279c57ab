"""The client that trains whole blocks trains what it is given on its own partition, and reports what that took."""

import numpy as np
import pytest
from flwr.app import MessageType

from clients.full import full
from fedlab.errors import UserError
from fedlab.messages.replies import read_workload
from fedlab.messages.trains_together import TrainsTogether
from fedlab.models.peft.bottleneck import Bottleneck
from fedlab.models.peft.head import HeadOnly
from fedlab.models.peft.whole_blocks import Everything, TopBlocks
from fedlab.workload.passes import WHOLE
from fedlab.workload.workload import Workload, training_passes

TEXTS = 14  # 160 texts less 16 and 32 held out, over 8 clients
BATCHES = 4  # of 4 texts, the last of 2


@pytest.fixture(scope="module")
def first_model(new_model):
    """Return a function that makes a new model of the encoder's two blocks, of which the top ones are trained."""
    return lambda depth: new_model(TopBlocks(depth=depth))


@pytest.fixture
def device(device_with):
    return device_with(full)


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_a_reply_has_the_arrays_it_was_given_trained(device, first_model, depth):
    model = first_model(depth)

    start, trained = model.arrays, device().trained(model)

    assert {name: array.shape for name, array in trained.items()} == {
        name: array.shape for name, array in start.items()
    }
    assert list(trained) == list(start)
    assert all(array.dtype == np.float32 and np.isfinite(array).all() for array in trained.values())
    assert not [name for name, array in trained.items() if np.array_equal(array, start[name])]


@pytest.mark.parametrize(("depth", "method"), [(0, "freeze"), (1, "freeze"), (2, "full")])
def test_a_workload_counts_what_was_done_without_a_cache(device, first_model, workbench, depth, method):
    client = device(epochs=2)
    for server_round in (1, 2):
        reply = client(first_model(depth), server_round=server_round)
        assert read_workload(reply) == Workload(
            passes=training_passes(
                batches=2 * BATCHES,
                batch_size=4,
                input_shape=(workbench.tokens("train").input_ids.shape[1],),
                model_blocks=2,
                depth=depth,
                trained=WHOLE,
            ),
            num_examples=TEXTS,
        )
        assert reply.content["metrics"]["num-examples"] == TEXTS
        assert 0.0 < reply.content["metrics"]["train-loss"] < 5.0


def test_adapters_are_refused_in_one_line(device, new_model):
    refusal = r"^this client trains whole blocks, not the set 'bottleneck'; see client\.trains$"
    with pytest.raises(UserError, match=refusal):
        device()(new_model(Bottleneck(depth=1, width=8)))


@pytest.mark.parametrize("head", [HeadOnly(), Bottleneck(depth=0, width=8)])
def test_the_head_alone_is_trained_whatever_the_set_is_called(device, new_model, first_model, distance, head):
    reply = device()(new_model(head))
    assert read_workload(reply).trained_blocks == 0
    assert distance(device().trained(new_model(head)), device().trained(first_model(0))) == 0.0


def test_everything_is_the_same_as_all_blocks(device, new_model, first_model, distance):
    assert read_workload(device()(new_model(Everything()))).trained_blocks == 2
    assert distance(device().trained(new_model(Everything())), device().trained(first_model(2))) == 0.0


def test_the_same_order_gives_the_same_arrays_to_the_bit(device, first_model, distance):
    first, second = (device().trained(first_model(2)) for _ in range(2))
    assert distance(first, second) == 0.0


def test_round_and_partition_each_give_another_order_of_batches(device, first_model, distance):
    first, later = (device().trained(first_model(1), server_round=server_round) for server_round in (1, 2))
    other = device(partition=4).trained(first_model(1))
    assert min(distance(first, later), distance(first, other), distance(later, other)) > 0


def test_a_client_is_billed_for_the_processor_that_its_options_name(device, first_model):
    passes = read_workload(device(processor="npu")(first_model(1))).passes
    assert {each.processor for each in passes} == {"npu"}


def test_checkpointing_is_billed(device, first_model):
    passes = read_workload(device(checkpointing=True)(first_model(1))).passes
    assert [each.checkpointing for each in passes] == [False, True]


def test_max_batches_ends_the_epochs_early(device, first_model):
    assert read_workload(device(max_batches=3)(first_model(1))).batches == 3


def test_training_lowers_the_loss(device, first_model):
    client, model = device(learning_rate=0.02, clip_norm=None), first_model(2)
    model.arrays["head.bias"][:] = [4.0, -4.0]  # sure of label 0, and wrong about half of the texts
    losses = client.losses(model, rounds=3)
    assert 0.0 < losses[-1] < losses[0] / 1.5


def test_a_proximal_term_keeps_the_arrays_nearer_to_where_they_started(device, first_model, distance):
    start, client = first_model(1), device(clip_norm=None, learning_rate=0.02, epochs=4)
    away = {mu: distance(client.trained(start, proximal_mu=mu), start.arrays) for mu in (0.0, 5.0)}
    assert away[0.0] > 1.05 * away[5.0]


@pytest.mark.parametrize("depth", [1, 2])
def test_evaluation_scores_the_model_on_the_clients_own_texts(device, first_model, labels, depth):
    model = first_model(depth)
    model.arrays["head.weight"][:] = 0.0
    model.arrays["head.bias"][:] = [1.0, 0.0]  # whatever the text, label 0

    reply = device()(model, kind=MessageType.EVALUATE)

    assert reply.content["metrics"]["eval-accuracy"] == pytest.approx(np.mean(labels == 0))
    workload = read_workload(reply)
    assert [(each.kind, each.count, each.blocks) for each in workload.passes] == [("forward", BATCHES, range(2))]
    assert not reply.content.array_records


def test_asked_which_partition_it_holds_a_client_says_so(device):
    assert device(partition=5).partition() == 5


def test_clients_are_trained_one_at_a_time_and_remember_nothing(device, first_model):
    client = device()
    client(first_model(1))
    assert not isinstance(client.app, TrainsTogether)
    assert len(client.context.state) == 0


def test_an_option_that_cannot_be_is_refused_by_name():
    with pytest.raises(UserError, match=r"client\.options\.epochs: -1"):
        full(epochs=-1)
