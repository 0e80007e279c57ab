"""The client that trains a network for images whole: by SGD with momentum, as torch does it, from augmented images."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from flwr.app import Message

from clients.full import full
from clients.partition import augmentation, batch_draws, examples_for
from fedlab.messages.flower_private import with_id
from fedlab.messages.orders import order_content
from fedlab.messages.pack import from_record, to_record
from fedlab.messages.replies import read_workload
from fedlab.models.peft.whole_blocks import Everything
from fedlab.training.evaluate import measure
from fedlab.training.local import LocalTraining, batch_rows

PARTITION, TRAINED = 3, Everything()
OPTIONS = {"learning_rate": 0.05, "momentum": 0.5, "schedule": "constant", "clip_norm": 1e9, "batch_size": 8}


@pytest.fixture
def ask(server_identity, image_bench, hosted):
    """Return a function that lets a client of a partition train or evaluate a model, and returns its reply."""

    def send(arrays, *, kind="train", server_round=1, partition=PARTITION, **options):
        content = order_content(to_record(arrays), server_round=server_round, configuration={"set": "everything"})
        return full(**OPTIONS | options)(with_id(Message(content, 7, kind), "1"), hosted(image_bench, partition))

    return send


@pytest.fixture
def new_arrays(image_bench):
    return image_bench.network.encoder.sizes.initial(np.random.default_rng(1))


def trained_arrays(reply):
    return from_record(reply.content["arrays"])


def test_a_round_is_that_of_torchs_sgd_on_the_augmented_batches(ask, image_bench, new_arrays):
    network = image_bench.network
    examples = examples_for(image_bench, PARTITION, TRAINED)
    vary = augmentation(image_bench, 1, PARTITION)
    parameters = {name: torch.tensor(array, requires_grad=True) for name, array in new_arrays.items()}
    optimizer = torch.optim.SGD(parameters.values(), lr=0.05, momentum=0.5)
    draws = batch_draws(image_bench, 1, PARTITION)
    for rows in batch_rows(len(examples.lengths), LocalTraining(batch_size=8), draws):
        pixels = vary(examples.states(rows, 1))
        logits = network.logits(pixels, torch.ones(len(rows)), parameters, examples.at)
        optimizer.zero_grad()
        F.cross_entropy(logits, examples.labels[torch.from_numpy(rows)]).backward()
        optimizer.step()
    found = trained_arrays(ask(new_arrays))
    assert list(found) == list(new_arrays)
    for name, parameter in parameters.items():
        np.testing.assert_allclose(found[name], parameter.detach().numpy(), rtol=1e-4, atol=1e-6)


def test_a_client_draws_alike_in_the_same_round_and_otherwise_in_another(ask, new_arrays):
    first, again, later = (trained_arrays(ask(new_arrays, server_round=number)) for number in (1, 1, 2))
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert any(not np.array_equal(first[name], later[name]) for name in first)


def test_its_work_is_a_forward_and_a_backward_pass_through_every_layer(ask, image_bench, new_arrays):
    workload = read_workload(ask(new_arrays))
    forward, backward = workload.passes
    count = len(image_bench.partitions[PARTITION])
    assert workload.num_examples == count
    assert (forward.count, forward.batch_size, forward.input_shape) == (-(-count // 8), 8, (1, 16, 16))
    assert forward.blocks == backward.blocks == range(4)  # two convolutions and two linear layers
    assert (backward.kind, backward.trained.kind, backward.format) == ("backward", "whole", "fp32")


def test_rounds_of_all_clients_learn_to_tell_the_stripes(ask, image_bench, new_arrays):
    arrays = new_arrays
    before = measure(image_bench, arrays, "test", TRAINED.split_point(4))
    for server_round in range(1, 5):
        replies = [trained_arrays(ask(arrays, server_round=server_round, partition=each)) for each in range(5)]
        arrays = {name: np.mean([reply[name] for reply in replies], axis=0, dtype=np.float32) for name in arrays}
    assert measure(image_bench, arrays, "test", TRAINED.split_point(4)) > max(0.9, before)


def test_a_model_is_evaluated_on_the_clients_own_images(ask, image_bench, new_arrays):
    reply = ask(new_arrays, kind="evaluate")
    count = len(image_bench.partitions[PARTITION])
    assert reply.content["metrics"]["num-examples"] == count
    hits = reply.content["metrics"]["eval-accuracy"] * count
    assert hits == pytest.approx(round(hits))
