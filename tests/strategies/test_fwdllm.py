"""FwdLLM steps once the directions probed agree, and asks the same clients for more until then."""

from dataclasses import replace

import numpy as np
import pytest
from flwr.app import ConfigRecord, Message, MetricRecord, RecordDict

from fedlab.errors import UserError
from fedlab.gradients.directions import direction
from fedlab.gradients.sums import masked
from fedlab.gradients.vectors import flat
from fedlab.messages.flower_private import record_bytes
from fedlab.messages.kept_model import lacking_reply, without_kept
from fedlab.messages.pack import from_record, to_record
from fedlab.messages.probes import arrays_of, read_step
from fedlab.messages.updates import add_kind
from fedlab.server.resending_grid import ResendingGrid
from fedlab.server.strategy_memory import memory_of
from fedlab.server.tree_values import packed, unpacked
from strategies.fwdllm import FwdLLM

SIZE = 40
TARGET = np.random.default_rng(0).normal(size=SIZE)
START = {
    "block.0.w": np.zeros((2, 9), np.float32),
    "block.1.w": np.zeros(18, np.float32),
    "head.b": np.zeros(4, np.float32),
}
SEED = 5


class Federation:
    """Clients whose loss is |x - target|^2 / 2, each with a target of its own, and the server's model."""

    def __init__(self, strategy, server, memory_grid, *, spread=0.0, lost=()):
        self.steps, self.spread, self.lost = [], spread, lost
        self.strategy, self.model = strategy, START
        strategy.attach(replace(server, on_step=self.steps.append))
        self.partitions, self.notes = server.partitions, []
        self.grid = ResendingGrid(memory_grid(self.answer, server.partitions), note=self.notes.append)
        self.kept, self.server_round = {}, 0

    def gradient(self, partition, model):
        offset = self.spread * np.random.default_rng(partition).normal(size=SIZE)
        return flat(model) - TARGET - offset

    def answer(self, message):
        partition, order = self.partitions[message.metadata.dst_node_id], read_step(message)
        if partition in self.lost:
            return None
        sent = arrays_of(message)
        if sent is None and partition not in self.kept:
            return lacking_reply(message)
        self.kept[partition] = sent or self.kept[partition]
        gradient = self.gradient(partition, self.kept[partition])
        spans = order.spans.get(partition, ())
        derivatives = [
            masked(direction(seed, SIZE, order.distribution), spans) @ gradient for seed in order.seeds(SEED, partition)
        ]
        metrics = MetricRecord({"num-examples": 8, "train-loss": float(gradient @ gradient / 2)})
        arrays = to_record({"derivatives": np.array(derivatives, np.float32)})
        content = RecordDict({"arrays": arrays, "metrics": metrics})
        add_kind(content, "scalars")
        return Message(content, reply_to=message)

    def round(self):
        self.server_round += 1
        configured = self.strategy.configure_train(self.server_round, to_record(self.model), ConfigRecord(), self.grid)
        messages = list(configured)
        arrays, _ = self.strategy.aggregate_train(self.server_round, list(self.grid.send_and_receive(messages)))
        self.model = self.model if arrays is None else from_record(arrays)
        return messages

    def rounds(self, count):
        return [self.round() for _ in range(count)]

    @property
    def distance(self):
        return float(np.linalg.norm(flat(self.model) - TARGET))


@pytest.fixture
def federation(server, memory_grid):
    def make(*, spread=0.0, lost=(), **options):
        strategy = FwdLLM(**{"clients_per_round": 3, "probes": 2, **options})
        return Federation(strategy, server, memory_grid, spread=spread, lost=lost)

    return make


def asked(messages):
    return [message.metadata.dst_node_id for message in messages]


def test_a_step_is_that_of_the_mean_of_derivative_times_direction(federation):
    run = federation(pacing="none", learning_rate=0.1)
    (messages,) = run.rounds(1)
    order = read_step(messages[0])
    seeds = [seed for node in asked(messages) for seed in order.seeds(SEED, node - 100)]
    directions = [direction(seed, SIZE, "gaussian") for seed in seeds]
    estimate = np.mean([(each @ -TARGET) * each for each in directions], axis=0)
    assert len(seeds) == 6
    np.testing.assert_allclose(flat(run.model), -0.1 * estimate, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "options",
    [
        {"pacing": "none", "probes": 8, "learning_rate": 0.1},
        {"pacing": "cosine", "probes": 4, "learning_rate": 0.1},
        {"pacing": "variance", "threshold": 0.5, "probes": 4, "learning_rate": 0.1, "most_cycles": 20},
        {"optimizer": "adam", "probes": 8, "learning_rate": 0.1},
        {"sampling_ratio": 0.1, "pacing": "none", "probes": 8, "learning_rate": 0.05},
        {"shared_seeds": True, "probes": 24, "pacing": "none", "learning_rate": 0.1},
        {"blocks_a_client": 1, "probes": 8, "learning_rate": 0.1},
        {"distribution": "sign", "probes": 8, "learning_rate": 0.1},
    ],
    ids=lambda options: "-".join(f"{key}={value}" for key, value in options.items()),
)
def test_it_comes_near_the_optimum(federation, options):
    run = federation(**options)
    run.rounds(80)
    assert run.distance < 0.1 * np.linalg.norm(TARGET)


def test_of_shared_directions_the_server_need_know_sums_over_the_clients_alone(federation):
    run = federation(shared_seeds=True, pacing="none", learning_rate=0.1, spread=1.0, probes=4)
    (messages,) = run.rounds(1)
    order = read_step(messages[0])
    directions = np.array([direction(seed, SIZE, "gaussian") for seed in order.seeds(SEED, 0)])
    gradients = np.array([run.gradient(node - 100, START) for node in asked(messages)])
    sums = (gradients @ directions.T).sum(0)  # of each direction over the clients, as secure aggregation gives them
    np.testing.assert_allclose(flat(run.model), -0.1 * sums @ directions / (3 * 4), rtol=1e-4, atol=1e-5)


def test_of_split_layers_each_value_is_that_of_the_clients_that_move_it(federation):
    run = federation(blocks_a_client=1, pacing="none", learning_rate=0.1, probes=400, clients_per_round=2)
    run.rounds(1)
    # P = 40 and N = 800: each value is near its own step.
    np.testing.assert_allclose(flat(run.model), 0.1 * TARGET, atol=0.1 * 0.9)


def test_too_few_directions_are_followed_by_more_from_the_same_clients_without_the_model(federation):
    run = federation(threshold=1e6, most_cycles=3)
    first, second, third, fourth = run.rounds(4)
    orders = [read_step(messages[0]) for messages in (first, second, third, fourth)]
    assert [(order.step, order.cycle, order.batch) for order in orders] == [(0, 0, 0), (0, 1, 0), (0, 2, 0), (1, 0, 0)]
    assert asked(first) == asked(second) == asked(third)
    assert all(order.keeps for order in orders)
    assert [arrays_of(messages[0]) is None for messages in (first, second, third, fourth)] == [False, True, True, False]
    assert record_bytes(without_kept(second[0].content)) < 400
    assert [record.verdict for record in run.steps] == ["repeated", "repeated", "capped", "repeated"]
    assert [record.probes for record in run.steps] == [6, 12, 18, 6]


def test_the_model_stands_still_while_a_step_is_repeated(federation):
    run = federation(threshold=1e6, most_cycles=2)
    run.round()
    assert run.model is START
    run.round()
    assert run.distance != np.linalg.norm(TARGET)


def test_of_clients_that_disagree_more_directions_are_asked(federation):
    probes = {}
    for spread in (0.0, 3.0):
        run = federation(spread=spread, probes=16, most_cycles=50, learning_rate=0.2, threshold=1.0)
        run.rounds(60)
        steps = [record for record in run.steps if record.verdict != "repeated"]
        probes[spread] = np.mean([record.probes for record in steps[-5:]])
    assert probes[0.0] == 48
    assert probes[3.0] >= probes[0.0]


def test_guided_steps_alternate_with_plain_ones_and_never_guide(federation):
    run = federation(sampling_ratio=0.5, pacing="none")
    messages = run.rounds(4)
    orders = [read_step(each[0]) for each in messages]
    assert [bool(order.chosen) for order in orders] == [False, True, False, True]
    assert [record.guided for record in run.steps] == [False, True, False, True]
    assert all(len(chosen) == 2 and max(chosen) < 12 for chosen in orders[1].chosen.values())
    assert set(orders[1].chosen) == {node - 100 for node in asked(messages[1])}


def test_a_repeated_guided_step_draws_other_candidates(federation):
    run = federation(sampling_ratio=0.1, threshold=1e6, most_cycles=2)
    messages = run.rounds(4)
    guided, again = (read_step(each[0]) for each in messages[2:])
    assert (guided.cycle, again.cycle) == (0, 1)
    assert guided.seeds(SEED, next(iter(guided.chosen))) != again.seeds(SEED, next(iter(again.chosen)))


def test_a_client_that_is_lost_takes_part_no_more_and_the_step_goes_on(federation):
    run = federation(threshold=1e6, most_cycles=2, clients_per_round=9, lost=(4,))
    run.rounds(2)
    assert [record.clients for record in run.steps] == [8, 8]
    assert [record.verdict for record in run.steps] == ["repeated", "capped"]


def test_a_step_whose_clients_are_all_gone_is_given_up(federation, memory_grid):
    run = federation(threshold=1e6, most_cycles=5)
    gone = asked(run.round())
    run.grid = memory_grid(run.answer, [node for node in run.partitions if node not in gone])
    messages = run.round()
    assert read_step(messages[0]).step == 1
    assert arrays_of(messages[0]) is not None
    assert run.steps[-1].probes == 6


def test_clients_that_have_lost_the_model_of_a_repeated_step_change_nothing_but_the_messages(federation):
    options = {"threshold": 1e6, "most_cycles": 3}
    left_alone, forgetful = federation(**options), federation(**options)
    left_alone.rounds(4)
    forgetful.round()
    forgetful.kept.pop(next(iter(forgetful.kept)))
    forgetful.rounds(3)
    np.testing.assert_array_equal(flat(forgetful.model), flat(left_alone.model))
    assert forgetful.steps == left_alone.steps
    assert forgetful.notes == ["1 clients had not kept the model, and were sent it again"]


def test_a_reply_of_another_number_of_derivatives_is_turned_away(federation, reply_with, floats):
    run = federation(pacing="none")
    messages = run.strategy.configure_train(1, to_record(START), ConfigRecord(), run.grid)
    replies = [reply_with({"d": floats(1, 2, 3)}, node=asked(messages)[0], kind="scalars")]
    assert run.strategy.aggregate_train(1, replies) == (None, None)


@pytest.mark.parametrize(
    "options",
    [
        {"threshold": 1e6, "most_cycles": 4},
        {"sampling_ratio": 0.2, "optimizer": "adam", "pacing": "none", "steps_per_cohort": 3},
        {"blocks_a_client": 1, "threshold": 1e6, "most_cycles": 3, "optimizer": "momentum"},
    ],
    ids=["pool", "reference", "spans"],
)
@pytest.mark.parametrize("stopped", [1, 2, 3, 5])
def test_a_resumed_run_takes_the_same_steps(federation, options, stopped):
    whole, first, second = (federation(**options) for _ in range(3))
    whole.rounds(8)
    first.rounds(stopped)
    arrays = {}
    kept = packed(memory_of(first.strategy).state(), "strategy", arrays)
    memory_of(second.strategy).restore(unpacked(kept, arrays))
    second.model, second.kept, second.server_round = first.model, first.kept, stopped
    second.rounds(8 - stopped)
    np.testing.assert_array_equal(flat(second.model), flat(whole.model))
    assert first.steps + second.steps == whole.steps


def test_a_watched_array_that_is_not_trained_is_refused(federation):
    with pytest.raises(UserError, match="watched = 'c': no such array is trained"):
        federation(watched="c").round()
    assert federation(watched="head.b").round()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"probes": 0}, "probes: 0, expected 1 to 100000"),
        ({"distribution": "cauchy"}, "distribution: 'cauchy', expected one of gaussian, sphere, sign"),
        ({"sampling_ratio": 0.0}, "sampling_ratio: 0.0, expected 0.001 to 1"),
        ({"sampling_ratio": 0.1, "shared_seeds": True}, "goes with neither shared_seeds nor blocks_a_client"),
        ({"blocks_a_client": -1}, "blocks_a_client: -1"),
        ({"pacing": "fast"}, "pacing: 'fast'"),
    ],
)
def test_what_cannot_be_is_refused(options, said):
    with pytest.raises(ValueError, match=said):
        FwdLLM(**options)
