"""FedSGD makes one step of the mean of the gradients of its cohort."""

import numpy as np
import pytest
from flwr.app import ConfigRecord

from fedlab.messages.pack import from_record, to_record
from fedlab.messages.probes import read_step
from fedlab.server.reply_checks import UpdateTerms
from fedlab.server.vetting_grid import terms_of
from strategies.fedsgd import FedSGD

START = {"x": np.array([1.0, 2.0], np.float32), "a": np.array([[3.0]], np.float32)}


@pytest.fixture
def attached(server):
    def make(**options):
        strategy = FedSGD(**{"clients_per_round": 3, **options})
        strategy.attach(server)
        return strategy

    return make


@pytest.fixture
def grid(memory_grid, server):
    return memory_grid(lambda message: None, server.partitions)


def ask(strategy, grid, server_round=1):
    return list(strategy.configure_train(server_round, to_record(START), ConfigRecord(), grid))


def nodes(messages):
    return [message.metadata.dst_node_id for message in messages]


def test_the_mean_of_gradients_is_not_weighted_by_examples(attached, grid, reply_with, floats):
    strategy = attached(learning_rate=0.5)
    ask(strategy, grid)
    replies = [
        reply_with({"x": floats(2, 0), "a": floats(4)[None]}, num_examples=9, kind="gradient"),
        reply_with({"x": floats(0, 4), "a": floats(0)[None]}, num_examples=1, kind="gradient"),
    ]
    arrays, _ = strategy.aggregate_train(1, replies)
    moved = from_record(arrays)
    assert list(moved) == list(START)
    np.testing.assert_allclose(moved["x"], [1 - 0.5 * 1, 2 - 0.5 * 2])
    np.testing.assert_allclose(moved["a"], [[3 - 0.5 * 2]])


def test_a_cohort_is_asked_for_so_many_steps_each_with_its_next_batch(attached, grid):
    strategy = attached(steps_per_cohort=2)
    rounds = [ask(strategy, grid, number) for number in (1, 2, 3)]
    steps = [read_step(messages[0]) for messages in rounds]
    assert [(step.step, step.period, step.batch) for step in steps] == [(0, 1, 0), (1, 1, 1), (2, 2, 0)]
    assert nodes(rounds[0]) == nodes(rounds[1]) != nodes(rounds[2])
    assert all(step.probes == 0 for step in steps)


def test_of_a_cohort_those_are_asked_that_are_there(attached, memory_grid, server):
    strategy = attached(steps_per_cohort=9)
    everyone = memory_grid(lambda message: None, server.partitions)
    cohort = nodes(ask(strategy, everyone))
    some = memory_grid(lambda message: None, cohort[1:] + [node for node in server.partitions if node not in cohort])
    assert nodes(ask(strategy, some, 2)) == cohort[1:]
    none = memory_grid(lambda message: None, [node for node in server.partitions if node not in cohort])
    assert len(nodes(ask(strategy, none, 3))) == 3


def test_only_gradients_are_taken(attached):
    assert terms_of(attached()) == UpdateTerms(takes=frozenset({"gradient"}), max_scalars=0)


def test_too_few_gradients_leave_the_model(attached, grid, reply_with, floats):
    strategy = attached(min_replies=2)
    ask(strategy, grid)
    assert strategy.aggregate_train(1, [reply_with({"x": floats(1, 1), "a": floats(1)[None]}, kind="gradient")]) == (
        None, None,
    )  # fmt: skip
    assert list(strategy.server.ledger.failed) == ["train"]


def test_a_resumed_run_steps_on_with_the_same_cohort_and_momentum(attached, grid, reply_with, floats):
    options = {"optimizer": "momentum", "steps_per_cohort": 3}
    strategy, resumed = attached(**options), attached(**options)
    reply = [reply_with({"x": floats(1, 1), "a": floats(1)[None]}, kind="gradient")]
    ask(strategy, grid)
    strategy.aggregate_train(1, reply)
    resumed.restore(strategy.state())
    found = []
    for each in (strategy, resumed):
        messages = ask(each, grid, 2)
        found.append((nodes(messages), read_step(messages[0]), from_record(each.aggregate_train(2, reply)[0])))
    assert found[0][:2] == found[1][:2]
    np.testing.assert_array_equal(found[0][2]["x"], found[1][2]["x"])
    np.testing.assert_allclose(found[0][2]["x"], START["x"] - 0.01 * 1.9)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"late": "carry"}, "late: 'carry' cannot be"),
        ({"steps_per_cohort": 0}, "steps_per_cohort: 0"),
        ({"optimizer": "lion"}, "optimizer: 'lion'"),
    ],
)
def test_what_cannot_be_is_refused(options, said):
    with pytest.raises(ValueError, match=said):
        FedSGD(**options)
