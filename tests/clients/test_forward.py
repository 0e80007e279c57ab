"""The forward client answers derivatives along the directions it is told; it can keep a model to be asked at again."""

from dataclasses import replace

import numpy as np
import pytest
from flwr.app import Message, MessageType

from clients.adapter import adapter
from clients.backprop import backprop
from clients.forward import forward
from fedlab.common.seeds import generator
from fedlab.errors import UserError
from fedlab.gradients.directions import direction
from fedlab.gradients.sums import Probed, weighted_sum
from fedlab.gradients.vectors import flat
from fedlab.messages.flower_private import record_bytes, with_id
from fedlab.messages.kept_model import lacks_model
from fedlab.messages.orders import order_content
from fedlab.messages.pack import from_record, to_record
from fedlab.messages.probes import StepOrder, add_step
from fedlab.messages.replies import read_workload
from fedlab.messages.seed_pool import PoolOrder, add_pool
from fedlab.messages.updates import kind_of
from fedlab.models.peft.bitfit import Biases
from fedlab.models.peft.bottleneck import Bottleneck
from fedlab.models.peft.lora import Lora
from fedlab.models.peft.whole_blocks import Everything, TopBlocks
from fedlab.workload.passes import Pass
from fedlab.workload.workload import Workload

SETS = [Bottleneck(depth=1, width=4), Biases(depth=2), Lora(depth=2, rank=2), TopBlocks(depth=1), Everything()]


def asked(model, order, *, with_model=True):
    """Return an order for a step at a model."""
    content = order_content(to_record(model.arrays), server_round=1, configuration=model.configuration)
    if not with_model:
        del content["arrays"]
    add_step(content, order)
    return with_id(Message(content, 7, MessageType.TRAIN), "1")


def answer(device, model, order, **how):
    return device.app(asked(model, order, **how), device.context)


def values_of(reply):
    return flat(from_record(reply.content["arrays"]))


@pytest.fixture
def device(device_with):
    return device_with(forward)


@pytest.fixture
def true_gradient(device_with, new_model):
    """Return a function: the gradient of a client's batch by backpropagation."""
    make = device_with(backprop)
    return lambda model, order, **options: values_of(answer(make(**options), model, order))


@pytest.mark.parametrize("trained", SETS, ids=lambda trained: str(trained.configuration["set"]))
def test_the_derivatives_are_those_of_the_batchs_loss(device, true_gradient, new_model, workbench, trained):
    model, order = new_model(trained), StepOrder(step=4, cycle=1, probes=3, batch=1)
    reply = answer(device(estimator="exact"), model, order)
    gradient = true_gradient(model, StepOrder(step=4, batch=1))
    expected = [direction(seed, len(gradient), "gaussian") @ gradient for seed in order.seeds(workbench.seed, 3)]
    assert kind_of(reply.content) == "scalars"
    np.testing.assert_allclose(values_of(reply), expected, rtol=2e-4, atol=1e-4 * np.abs(expected).max())


def test_an_answer_is_a_few_hundred_bytes_however_large_the_model(device, new_model):
    reply = answer(device(), new_model(Everything()), StepOrder(step=0, probes=10))
    assert record_bytes(reply.content) < 1000
    assert values_of(reply).shape == (10,)


def test_the_work_is_counted_in_forward_passes_through_all_blocks(device, new_model):
    reply = answer(device(batch_size=4), new_model(SETS[0]), StepOrder(step=0, probes=3))
    (only,) = read_workload(reply).passes
    assert (only.kind, only.count, only.batch_size, only.blocks, only.cached) == ("forward", 6, 4, range(2), False)
    assert only.held_values == flat(new_model(SETS[0]).arrays).size
    assert read_workload(reply).num_examples == 4


def test_with_a_cache_the_frozen_blocks_run_once_a_batch(device, new_model, workbench):
    client = device(batch_size=4, cache=True, processor="npu", format="int8", estimator="one-sided")
    reply = answer(client, new_model(SETS[0]), StepOrder(step=0, probes=3))
    shape = (workbench.tokens("train").input_ids.shape[1],)
    held = flat(new_model(SETS[0]).arrays).size
    common = {
        "kind": "forward", "batch_size": 4, "input_shape": shape, "format": "int8", "processor": "npu",
        "held_values": held,
    }  # fmt: skip
    first = Pass(count=1, blocks=range(2), **common)
    assert read_workload(reply) == Workload(
        passes=(first, Pass(count=3, blocks=range(1, 2), cached=True, **common)), num_examples=4
    )


def test_a_batch_of_another_number_has_other_texts_and_a_period_draws_them_anew(true_gradient, new_model):
    model = new_model(SETS[0])
    norms = {
        (period, batch): np.linalg.norm(true_gradient(model, StepOrder(step=0, period=period, batch=batch)))
        for period in (0, 1)
        for batch in (0, 1, 4)
    }
    assert len({round(float(norm), 9) for norm in norms.values()}) == 4
    assert norms[0, 0] == norms[0, 4]  # of 14 texts there are 4 batches of 4


def test_a_client_asked_again_needs_no_model(device, new_model):
    client, model = device(), new_model(SETS[0])
    first, again = StepOrder(step=0, probes=2, keeps=True), StepOrder(step=0, cycle=1, probes=2, keeps=True)
    answer(client, model, first)
    bare = answer(client, model, again, with_model=False)
    np.testing.assert_array_equal(values_of(bare), values_of(answer(device(), model, again)))
    assert record_bytes(asked(model, again, with_model=False).content) < 400


def test_a_client_that_kept_no_model_says_so(device, new_model):
    client, model = device(), new_model(SETS[0])
    answer(client, model, StepOrder(step=0, probes=2))
    reply = answer(client, model, StepOrder(step=0, cycle=1, probes=2), with_model=False)
    assert lacks_model(reply)
    assert read_workload(reply) == Workload(passes=(), num_examples=0)


def test_a_client_that_kept_the_model_of_another_step_says_so_instead_of_measuring_there(device, new_model):
    client, model, order = device(), new_model(SETS[0]), StepOrder(step=3, cycle=1, probes=2, keeps=True)
    answer(client, model, StepOrder(step=4, probes=2, keeps=True))
    assert lacks_model(answer(client, model, order, with_model=False))
    answer(client, model, order)  # now it is sent the model, and keeps it
    assert not lacks_model(answer(client, model, replace(order, cycle=2), with_model=False))


def test_of_clients_asked_side_by_side_only_those_that_lack_the_model_say_so(device, new_model):
    devices, model = [device(partition=each) for each in (1, 2)], new_model(SETS[0])
    first, again = StepOrder(step=0, probes=2, keeps=True), StepOrder(step=0, cycle=1, probes=2, keeps=True)
    answer(devices[1], model, first)
    messages = [asked(model, again, with_model=False) for _ in devices]
    lacking, measured = devices[0].app.train_together(messages, [each.context for each in devices])
    assert (lacks_model(lacking), lacks_model(measured)) == (True, False)
    np.testing.assert_array_equal(values_of(measured), values_of(answer(devices[1], model, again, with_model=False)))


def test_a_client_started_again_without_its_state_lacks_the_first_model_of_a_pool(device, new_model):
    model, client, pool = new_model(SETS[0]), device(**LOCAL), PoolOrder(walked=np.zeros(6, np.float32))
    assert lacks_model(client.app(asked_along(model, pool, 2, with_model=False), client.context))


def test_a_strategy_that_names_no_directions_gets_the_gradient_that_the_clients_own_give(device, new_model, workbench):
    model, options = new_model(SETS[0]), {"probes": 4, "distribution": "sign"}
    dense = answer(device(**options), model, StepOrder(step=2))
    assert kind_of(dense.content) == "gradient"
    order = StepOrder(step=2, probes=4, distribution="sign")
    scalars = values_of(answer(device(), model, order))
    pairs = [
        Probed(seed=seed, derivative=float(each))
        for seed, each in zip(order.seeds(workbench.seed, 3), scalars, strict=True)
    ]
    gradient = values_of(dense)
    np.testing.assert_allclose(gradient, weighted_sum(pairs, len(gradient), "sign") / 4, rtol=1e-4, atol=1e-6)


def test_clients_asked_side_by_side_answer_what_each_does_alone(device, new_model):
    devices, model = [device(partition=each) for each in (1, 2, 5)], new_model(SETS[1])
    order = StepOrder(step=0, probes=2)
    messages = [asked(model, order) for _ in devices]
    together = devices[0].app.train_together(messages, [each.context for each in devices])
    for each, reply in zip(devices, together, strict=True):
        alone = values_of(answer(each, model, order))
        np.testing.assert_allclose(values_of(reply), alone, atol=2e-4 * np.abs(alone).max())


def test_the_seed_of_the_experiment_partition_and_step_decide_the_directions(device, new_model):
    model = new_model(SETS[0])
    first = values_of(answer(device(), model, StepOrder(step=0, probes=2)))
    assert not np.array_equal(first, values_of(answer(device(), model, StepOrder(step=1, probes=2))))
    np.testing.assert_array_equal(first, values_of(answer(device(), model, StepOrder(step=0, probes=2))))


def test_without_a_step_it_descends_locally_by_its_own_directions(device, device_with, new_model, workbench):
    model = new_model(SETS[0])
    options = {"batch_size": 14, "learning_rate": 0.01, "probes": 2, "schedule": "constant", "estimator": "exact"}
    trained = device(**options).trained(model, server_round=3)
    whole = device_with(adapter)(batch_size=14, learning_rate=1.0, clip_norm=1e9, schedule="constant")
    gradient = flat(model.arrays) - flat(whole.trained(model, server_round=3))
    seeds = StepOrder(step=3, probes=2).seeds(workbench.seed, 3)
    directions = [direction(seed, len(gradient), "gaussian") for seed in seeds]
    estimate = np.mean([(each @ gradient) * each for each in directions], axis=0)
    assert list(trained) == list(model.arrays)
    np.testing.assert_allclose(flat(trained), flat(model.arrays) - 0.01 * estimate, atol=1e-5)


def test_local_steps_are_billed_as_forward_passes(device, new_model):
    reply = device(batch_size=4, epochs=2, probes=3, learning_rate=0.001)(new_model(SETS[0]))
    (only,) = read_workload(reply).passes
    assert (only.kind, only.count, read_workload(reply).num_examples) == ("forward", 2 * 4 * 6, 14)
    assert kind_of(reply.content) == "model"


def asked_along(model, pool, server_round, *, with_model):
    content = order_content(to_record(model.arrays), server_round=server_round, configuration=model.configuration)
    if not with_model:
        del content["arrays"]
    add_pool(content, pool)
    return with_id(Message(content, 7, MessageType.TRAIN), "1")


LOCAL = {"batch_size": 4, "learning_rate": 0.01, "probes": 2, "schedule": "constant"}


def test_a_client_that_joins_late_has_the_model_of_one_that_was_there_all_the_time(device, new_model, workbench):
    model, early, late = new_model(SETS[0]), device(**LOCAL), device(**LOCAL)
    beginning = PoolOrder(walked=np.zeros(6, np.float32))
    first = early.app(asked_along(model, beginning, 1, with_model=True), early.context)
    gone = PoolOrder(walked=values_of(first))
    second = early.app(asked_along(model, gone, 2, with_model=False), early.context)
    replayed = late.app(asked_along(model, gone, 2, with_model=True), late.context)
    np.testing.assert_array_equal(values_of(second), values_of(replayed))
    assert kind_of(second.content) == "scalars"
    # Who was there kept what its steps led to: the same weights, but for the order of rounding.
    same_seeds = [each for each, step in zip(gone.seeds(workbench.seed), gone.walked, strict=True) if step]
    assert same_seeds
    pairs = [
        Probed(seed=seed, derivative=float(step))
        for seed, step in zip(gone.seeds(workbench.seed), gone.walked, strict=True)
    ]
    own = flat(model.arrays) + weighted_sum(pairs, flat(model.arrays).size, "gaussian")
    np.testing.assert_allclose(gone.model(flat(model.arrays), workbench.seed), own, rtol=1e-6, atol=1e-7)


def test_along_a_pool_of_seeds_it_takes_the_steps_of_local_training(device, new_model, workbench):
    model, client = new_model(SETS[0]), device(**LOCAL)
    pool = PoolOrder(walked=np.zeros(5, np.float32), distribution="sign")
    reply = client.app(asked_along(model, pool, 1, with_model=True), client.context)
    draws = generator(workbench.seed, "pool-numbers", 1, 3)
    drawn = [draws.integers(5, size=2) for _ in range(4)]  # of 14 texts there are 4 batches
    assert set(np.flatnonzero(values_of(reply))) == {int(number) for each in drawn for number in each}
    assert read_workload(reply).num_examples == 14
    assert sum(each.count for each in read_workload(reply).passes) == 4 * 2 * 2


def test_a_step_along_the_pool_is_down_the_derivative_of_its_direction(device, true_gradient, new_model, workbench):
    model, pool = new_model(SETS[0]), PoolOrder(walked=np.zeros(5, np.float32))
    client = device(**LOCAL | {"batch_size": 14, "probes": 1, "estimator": "exact"})
    walked = values_of(client.app(asked_along(model, pool, 1, with_model=True), client.context))
    (number,) = np.flatnonzero(walked)
    gradient = true_gradient(model, StepOrder(step=0), batch_size=14)
    expected = -0.01 * direction(pool.seeds(workbench.seed)[number], len(gradient), "gaussian") @ gradient
    assert walked[number] == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"estimator": "guess"}, "client.options.estimator: 'guess' is unknown"),
        ({"probes": 0}, "client.options.probes: 0 is not a whole number from 1 to 100000"),
        ({"distribution": "cauchy"}, "client.options.distribution: 'cauchy' is unknown; accepted: gaussian, sphere"),
        ({"format": "fp8"}, "client.options.format: 'fp8' is unknown; accepted: fp32"),
        ({"cache": 1}, "client.options.cache: 1 is not true or false"),
        ({"processor": ""}, "client.options.processor: '' is not a name"),
    ],
)
def test_what_cannot_be_is_refused(options, said):
    with pytest.raises(UserError, match=said):
        forward(**options)
