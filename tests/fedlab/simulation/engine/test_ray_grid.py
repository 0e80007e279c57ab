"""Flower's grid on Ray actors: any ClientApp, any strategy, as many clients as one likes."""

from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest
import ray
from flwr.app import ArrayRecord, Message, MessageType, RecordDict
from flwr.serverapp.strategy import FedAdam, FedAvg

from fedlab.errors import RunFailedError
from fedlab.messages.flower_private import CLIENT_CRASHED, CLIENT_RAISED, with_id
from fedlab.messages.orders import order_content, query_message
from fedlab.messages.pack import from_record, to_record
from fedlab.models.base import weights_of
from fedlab.models.peft.bottleneck import Bottleneck
from fedlab.models.peft.head import HeadOnly
from fedlab.models.peft.whole_blocks import TopBlocks
from fedlab.simulation.engine.actor import ClientActor, ClientSetup
from fedlab.simulation.engine.ray_grid import RayGrid, _answer_to
from fedlab.simulation.engine.state_log import StateLog
from fedlab.simulation.engine.workers import WorkerPool
from fedlab.training.evaluate import measure, predict

pytestmark = pytest.mark.usefixtures("server_identity")

CLIENT = '''
"""Adds its partition's number to every array; counts what it has done; fails and dies when it is told to."""

import os
import time

from flwr.app import ArrayRecord, Array, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp


def make(*, step: float = 1.0) -> ClientApp:
    app = ClientApp()

    @app.train()
    def train(message, context):
        partition = context.node_config["partition-id"]
        config = message.content["config"]
        if partition == config.get("fails-at"):
            context.state["half done"] = ConfigRecord({"x": 1})
            raise ValueError(f"partition {partition} will not\\nand says so")
        if partition == config.get("dies-at"):
            time.sleep(0.5)  # answers on their way out would be lost with it
            os._exit(1)
        arrays = {name: Array(each.numpy() + step * partition) for name, each in message.content["arrays"].items()}
        seen = context.state.config_records.get("seen", ConfigRecord({"times": 0}))
        context.state["seen"] = ConfigRecord({"times": seen["times"] + 1})
        metrics = {"num-examples": 1 + partition, "times": seen["times"] + 1, "node": context.node_id}
        metrics["of"] = context.node_config["num-partitions"]
        config["marks"] = metrics["marks"] = config.get("marks", 0) + 1
        content = RecordDict({"arrays": ArrayRecord(arrays), "metrics": MetricRecord(metrics)})
        return Message(content, reply_to=message)

    @app.evaluate()
    def evaluate(message, context):
        mean = float(message.content["arrays"]["x"].numpy().mean())
        metrics = MetricRecord({"num-examples": 1, "mean": mean})
        return Message(RecordDict({"metrics": metrics}), reply_to=message)

    return app
'''


@dataclass(frozen=True)
class Partitions:
    """As much of a workbench as a grid needs to know its nodes: what each has, one to five texts."""

    count: int

    @property
    def partitions(self):
        return [range(1 + number % 5) for number in range(self.count)]


@pytest.fixture(scope="module")
def pool(ray_address, bundle, tmp_path_factory):
    """Start two actors that are clients of the file above; `troubles` lists what became of them."""
    folder = tmp_path_factory.mktemp("client")
    (folder / "client.py").write_text(CLIENT)
    setup = ClientSetup(
        reference="client.py:make",
        options={"step": 1.0},
        base_folder=folder,
        bundle=bundle,
        num_partitions=8,
    )
    actor, reference, troubles = ray.remote(num_cpus=0)(ClientActor), ray.put(setup), []
    pool = WorkerPool(lambda: actor.remote(reference), workers=2, hang_seconds=300.0, on_trouble=troubles.append)
    pool.troubles = troubles
    yield pool
    pool.close()


@pytest.fixture
def grid(pool, tmp_path):
    """Return a function that puts a grid of so many nodes on the actors; `failures` lists what it told."""

    def make(nodes=8, workbench=None, pack=3):
        failures = []
        grid = RayGrid(
            pool,
            workbench or Partitions(nodes),
            StateLog(tmp_path),
            pack=pack,
            on_failure=lambda line, trace: failures.append((line, trace)),
        )
        grid.failures = failures
        return grid

    return make


def order(grid, partition, value=0.0, **config):
    content = order_content(to_record({"x": np.full(3, value, np.float32)}), server_round=1)
    content["config"].update(config)
    return Message(content, node_of(grid, partition), MessageType.TRAIN)


def node_of(grid, partition):
    return next(node for node, held in grid.partitions().items() if held == partition)


def times(reply):
    return reply.content["metrics"]["times"]


def test_there_is_a_node_for_each_partition(grid):
    assert sorted(grid(5).partitions().values()) == [0, 1, 2, 3, 4]
    assert sorted(grid(5).get_node_ids()) == sorted(grid(5).partitions())


def test_each_client_answers_for_its_own_partition(grid):
    nodes = grid()
    replies = nodes.send_and_receive([order(nodes, partition, value=10.0) for partition in (5, 0, 3)])
    assert [float(from_record(reply.content["arrays"])["x"][0]) for reply in replies] == [15.0, 10.0, 13.0]
    for reply, partition in zip(replies, (5, 0, 3), strict=True):
        metrics = reply.content["metrics"]
        assert (metrics["num-examples"], metrics["of"]) == (1 + partition, 8)
        assert metrics["node"] == reply.metadata.src_node_id == node_of(nodes, partition)


def test_replies_can_be_pulled_once_by_the_ids_of_their_messages(grid):
    nodes = grid()
    ids = nodes.push_messages([order(nodes, 1), order(nodes, 2)])
    assert len(set(ids)) == 2
    replies = nodes.pull_messages([ids[1]])
    assert [reply.metadata.reply_to_message_id for reply in replies] == [ids[1]]
    assert [reply.metadata.reply_to_message_id for reply in nodes.pull_messages(ids)] == [ids[0]]
    assert nodes.pull_messages(ids) == []


def test_what_the_server_does_to_a_message_afterwards_reaches_no_client(grid):
    nodes = grid()
    content = order_content(to_record({"x": np.zeros(3, np.float32)}), server_round=1)
    messages = [Message(content, node_of(nodes, partition), MessageType.TRAIN) for partition in (1, 2)]
    ids = nodes.push_messages(messages)
    content["arrays"] = ArrayRecord()
    assert [float(from_record(reply.content["arrays"])["x"][0]) for reply in nodes.pull_messages(ids)] == [1.0, 2.0]


def test_a_client_that_raises_gives_an_error_reply_of_code_2_and_its_traceback_is_told(grid):
    nodes = grid()
    replies = nodes.send_and_receive([order(nodes, partition, **{"fails-at": 3}) for partition in (2, 3, 4)])
    assert [reply.has_error() for reply in replies] == [False, True, False]
    assert replies[1].error.code == CLIENT_RAISED == 2
    assert "partition 3 will not" in replies[1].error.reason
    assert replies[1].metadata.src_node_id == node_of(nodes, 3)
    ((line, trace),) = nodes.failures
    assert line == "client 3: ValueError: partition 3 will not and says so"
    assert "ValueError: partition 3 will not\nand says so" in trace
    assert "client.py" in trace


def test_a_client_that_raises_keeps_the_state_it_had_before(grid):
    nodes = grid()
    nodes.send_and_receive([order(nodes, 3)])
    nodes.send_and_receive([order(nodes, 3, **{"fails-at": 3})])
    (reply,) = nodes.send_and_receive([order(nodes, 3)])
    assert times(reply) == 2


def test_a_client_whose_actors_die_gives_an_error_reply_and_the_others_answer(grid, pool):
    nodes = grid(pack=1)
    replies = nodes.send_and_receive([order(nodes, partition, **{"dies-at": 1}) for partition in range(4)])
    assert [reply.has_error() for reply in replies] == [False, True, False, False]
    assert replies[1].error.code == CLIENT_CRASHED
    ((line, trace),) = nodes.failures
    assert line.startswith("client 1: worker")
    assert trace is None
    assert len(pool.troubles) == 2


@pytest.mark.parametrize("pack", [None, 1, 2, 4, 100])
def test_however_many_go_to_an_actor_together_each_answers_for_itself(grid, pack):
    nodes = grid(pack=pack)
    content = order_content(to_record({"x": np.zeros(3, np.float32)}), server_round=1)
    content["config"]["fails-at"] = 2
    partitions = [6, 2, 0, 5, 7, 1]
    messages = [Message(content, node_of(nodes, partition), MessageType.TRAIN) for partition in partitions]
    replies = nodes.send_and_receive(messages)
    values = [None if r.has_error() else float(from_record(r.content["arrays"])["x"][0]) for r in replies]
    assert values == [6.0, None, 0.0, 5.0, 7.0, 1.0]
    assert [reply.metadata.src_node_id for reply in replies] == [node_of(nodes, partition) for partition in partitions]


def test_a_client_that_writes_into_its_order_writes_into_that_of_no_other(grid):
    nodes = grid(pack=4)
    content = order_content(to_record({"x": np.zeros(3, np.float32)}), server_round=1)
    messages = [Message(content, node_of(nodes, partition), MessageType.TRAIN) for partition in range(4)]
    replies = nodes.send_and_receive(messages)
    assert [reply.content["metrics"]["marks"] for reply in replies] == [1, 1, 1, 1]


def test_a_client_finds_its_state_again_whichever_actor_serves_it(grid):
    nodes = grid()
    for expected in (1, 2, 3):
        replies = nodes.send_and_receive([order(nodes, partition) for partition in range(8)])
        assert [times(reply) for reply in replies] == [expected] * 8


def test_the_actors_time_is_told_by_kind_with_what_they_waited_and_what_transfers_took(grid):
    nodes = grid()
    nodes.send_and_receive([order(nodes, 1)])  # one message: the other actor waits
    assert nodes.actor_seconds["client"] > 0
    assert nodes.actor_seconds["wait"] > nodes.actor_seconds["client"]
    assert nodes.driver_seconds["transfer"] > 0


def test_states_survive_a_checkpoint(grid):
    before, after = grid(), grid()
    before.send_and_receive([order(before, partition) for partition in (0, 5)])
    before.send_and_receive([order(before, 5)])
    after.restore(before.state())
    replies = after.send_and_receive([order(after, partition) for partition in (0, 5, 7)])
    assert [times(reply) for reply in replies] == [2, 3, 1]


@pytest.mark.parametrize("pack", [None, 3])
def test_a_thousand_messages_to_a_thousand_nodes_are_all_answered(grid, pack):
    nodes = grid(1000, pack=pack)
    content = order_content(to_record({"x": np.zeros(3, np.float32)}), server_round=1)
    messages = [Message(content, node, MessageType.TRAIN) for node in nodes.get_node_ids()]
    replies = nodes.send_and_receive(messages)
    assert [float(from_record(reply.content["arrays"])["x"][0]) for reply in replies] == list(map(float, range(1000)))
    assert nodes.failures == []


def test_flowers_own_fedavg_runs_on_it_unmodified(grid):
    start = to_record({"x": np.zeros(2, np.float32)})
    result = FedAvg().start(grid(4), start, num_rounds=2)
    # Partitions 0 to 3 add 0 to 3 and weigh 1 to 4: each round adds (0 + 2 + 6 + 12) / 10 = 2.
    np.testing.assert_allclose(from_record(result.arrays)["x"], [4.0, 4.0])
    assert {at: metrics["mean"] for at, metrics in result.evaluate_metrics_clientapp.items()} == {1: 2.0, 2: 4.0}


def test_flowers_own_fedadam_runs_on_it_unmodified(grid):
    start = to_record({"x": np.zeros(2, np.float32)})
    strategy = FedAdam(eta=0.1, beta_1=0.9, beta_2=0.99, tau=0.001, fraction_evaluate=0.0)
    result = strategy.start(grid(4), start, num_rounds=1)
    # The clients' mean is 2 away: m = 0.1 x 2, v = 0.01 x 4; the rate is 0.1 x sqrt(1 - 0.99^2) / (1 - 0.9^2).
    expected = 0.1 * np.sqrt(1 - 0.99**2) / (1 - 0.9**2) * 0.2 / (0.2 + 0.001)
    np.testing.assert_allclose(from_record(result.arrays)["x"], [expected, expected], rtol=1e-6)


@pytest.fixture
def first_model(workbench):
    """Return a function that makes the arrays of a new model of which a set is trained, and where it is split."""

    def make(trained):
        network = workbench.network
        weights = partial(weights_of, network.encoder)
        arrays = trained.initial(network.sizes(2), np.random.default_rng(4), weights)
        return arrays, trained.split_point(network.encoder.shape.blocks)

    return make


def test_a_model_is_measured_by_all_actors_as_by_one_process(grid, workbench, first_model):
    arrays, at = first_model(Bottleneck(depth=1, width=8))
    nodes = grid(workbench=workbench)
    for split in ("validation", "test"):
        assert nodes.measure(arrays, split, at) == measure(workbench, arrays, split, at)


def test_each_client_is_scored_on_its_own_training_examples(grid, workbench, first_model):
    arrays, at = first_model(Bottleneck(depth=1, width=8))

    found = grid(workbench=workbench).measure_clients(arrays, at)

    predictions = predict(workbench, arrays, "train", 0, len(workbench.samples("train")), at).argmax(axis=1)
    right = predictions == np.asarray(workbench.samples("train").labels)
    assert found.tolist() == pytest.approx([right[own].mean() for own in workbench.partitions])


@pytest.mark.parametrize("depth", [1, 2])
def test_whole_blocks_are_measured_by_all_actors_as_by_one_process(grid, workbench, first_model, depth):
    (arrays, at), (head, features) = first_model(TopBlocks(depth=depth)), first_model(HeadOnly())
    nodes = grid(workbench=workbench)
    for split in ("validation", "test"):
        accuracy = measure(workbench, head, split, features)
        assert nodes.measure(arrays, split, at) == measure(workbench, arrays, split, at) == accuracy


def test_a_measurement_that_raises_fails_the_run_and_says_so(grid, workbench):
    nodes = grid(workbench=workbench)
    arrays = {"head.weight": np.zeros((2, 1), np.float32), "head.bias": np.zeros(2, np.float32)}
    with pytest.raises(RunFailedError, match="failed at measuring test"):
        nodes.measure(arrays, "test", HeadOnly().split_point(2))


def test_what_a_client_returns_is_a_reply_to_its_message_or_an_error():
    asked, other = with_id(query_message(4), "m1"), with_id(query_message(4), "m2")
    reply = Message(RecordDict(), reply_to=asked)
    assert _answer_to(asked, reply) is reply
    for wrong in (None, asked, Message(RecordDict(), reply_to=other)):
        found = _answer_to(asked, wrong)
        assert (found.error.code, found.metadata.reply_to_message_id) == (CLIENT_RAISED, "m1")
        assert found.error.reason == "what the client returned is not a reply to its message"
