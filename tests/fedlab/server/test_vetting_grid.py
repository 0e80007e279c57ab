"""No reply can end a run, or change an average by a lie: of every strategy, ours and Flower's, on any bytes."""

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MessageType, MetricRecord, RecordDict
from flwr.serverapp import strategy as flowers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedlab.billing.availability_wait import AvailabilityWait
from fedlab.billing.simulated import Bill
from fedlab.billing.timed_grid import TimedGrid
from fedlab.common.clock import VirtualClock
from fedlab.messages import npy
from fedlab.messages.flower_private import CLIENT_RAISED, error_reply, holding, quiet, seed_strategies
from fedlab.messages.orders import query_message, read_order
from fedlab.messages.pack import from_record, to_record
from fedlab.messages.replies import TrainReport, query_reply, train_reply
from fedlab.models.families import EncoderSizes
from fedlab.models.peft.base import ModelSizes
from fedlab.models.peft.bottleneck import Bottleneck, initial_arrays
from fedlab.network.availability import always
from fedlab.server.context import Server
from fedlab.server.example_limits import FirstAnswers, PartitionSizes, unknown_sizes
from fedlab.server.reply_checks import UpdateTerms
from fedlab.server.vetting_grid import VettingGrid, terms_of
from fedlab.workload.passes import bottleneck
from fedlab.workload.shape import ModelShape
from fedlab.workload.workload import Cost, Workload, training_passes
from strategies.adafl import AdaFL
from strategies.fedavg import FedAvg

SIZES = ModelSizes(
    encoder=EncoderSizes(
        shape=ModelShape(family="bert", blocks=2, hidden=8, intermediate=1), vocabulary=1, positions=1, embedding={}
    ),
    labels=2,
)

PARTITIONS = {50 + partition: partition for partition in range(7)}
NODES = list(PARTITIONS)
MODEL = initial_arrays(Bottleneck(depth=1, width=8), blocks=2, hidden=6, labels=2, generator=np.random.default_rng(0))
WORKLOAD = Workload(
    passes=training_passes(batches=1, batch_size=4, input_shape=(8,), model_blocks=2, depth=1, trained=bottleneck(8)),
    num_examples=20,
)


def honest(message):
    """Train by adding what the partition says; evaluate by it."""
    partition = PARTITIONS[message.metadata.dst_node_id]
    examples = 10 + partition
    arrays = {name: array + np.float32(0.1 * partition) for name, array in read_order(message).arrays.items()}
    work = replace(WORKLOAD, num_examples=examples)
    reply = train_reply(
        message, TrainReport(arrays=arrays, num_examples=examples, train_loss=1.0 + partition, workload=work)
    )
    if message.metadata.message_type == MessageType.EVALUATE:
        del reply.content["arrays"]
        reply.content["metrics"] = MetricRecord({"num-examples": examples, "eval-accuracy": 0.1 * partition})
    return reply


class Free:
    """Bills nothing but a second."""

    def device(self, partition_id):
        return "board"

    def bill(self, parts, terms):
        names = ("download_seconds", "upload_seconds", "compute_joules", "transfer_joules")
        counts = dict.fromkeys(("bytes_down", "bytes_up", "peak_memory_bytes"), 0)
        cost = Cost(compute_seconds=1.0, **dict.fromkeys(names, 0.0), **counts)
        return [
            Bill(cost=cost, round_ends_seconds=part.start_seconds + 1.0, latency_provenance="measured")
            for part in parts
        ]


@pytest.fixture(scope="module")
def world(memory_grid):
    """Return a function that makes a strategy, attached, and the grids above clients that answer so."""

    def make(strategy, answer=honest, **options):
        clock, refused = VirtualClock(), []
        server = Server(
            seed=3,
            clock=clock,
            sizes=SIZES,
            initial=Bottleneck(depth=1, width=8),
            partitions=PARTITIONS,
            measure=lambda arrays, split, configuration: (
                float(sum(np.abs(array).sum() for array in arrays.values())) % 1.0
            ),
            on_trial=lambda trial: None,
        )
        if hasattr(strategy, "attach"):
            strategy.attach(server)
        timed = TimedGrid(
            memory_grid(answer, NODES),
            clock=clock,
            physics=Free(),
            availability_wait=AvailabilityWait(always(), clock=clock, partitions=PARTITIONS),
            partitions=PARTITIONS,
            on_clients=server.ledger.bill,
        )
        limits = options.get("limits") or PartitionSizes(lambda partition: 10 + partition, PARTITIONS)
        terms = options.get("terms") or terms_of(strategy)
        grid = VettingGrid(timed, terms=terms, limits=limits, refuse=lambda *told: refused.append(told))
        grid.refused = refused
        return grid

    return make


MAKERS = {
    "fedavg": lambda: FedAvg(clients_per_round=7),
    "adafl": lambda: AdaFL(clients_per_round=7, base_seconds=1e-3),  # a trial of one round
    "FedAvg": flowers.FedAvg,
    "FedAvgM": lambda: flowers.FedAvgM(server_momentum=0.9),
    "FedAdam": flowers.FedAdam,
    "FedYogi": flowers.FedYogi,
    "FedMedian": flowers.FedMedian,
    "FedTrimmedAvg": flowers.FedTrimmedAvg,
    "FedProx": lambda: flowers.FedProx(proximal_mu=0.1),
    "Krum": flowers.Krum,
    "DP": lambda: flowers.DifferentialPrivacyServerSideFixedClipping(flowers.FedAvg(), 0.1, 1.0, 7),
}


def round_of(strategy, grid, server_round=1):
    """Run a round of training and evaluation; return the model and the metrics."""
    quiet()
    seed_strategies(5)
    config = ConfigRecord({"server-round": server_round})
    orders = list(strategy.configure_train(server_round, to_record(MODEL), config, grid))
    arrays, _ = strategy.aggregate_train(server_round, grid.send_and_receive(orders))
    orders = list(strategy.configure_evaluate(server_round, to_record(MODEL), config, grid))
    metrics = strategy.aggregate_evaluate(server_round, grid.send_and_receive(orders)) if orders else None
    return {} if arrays is None else from_record(arrays), metrics


# --- spoilt replies: each of these is no reply that could be averaged ---------------------------------------------


def setting(key, record):
    return lambda reply: holding(reply, RecordDict({**reply.content, key: record}))


def with_metrics(**metrics):
    def spoil(reply):
        plain = {name: value for name, value in reply.content["metrics"].items() if name != "num-examples"}
        changed = {name.replace("_", "-"): value for name, value in metrics.items()}
        return setting("metrics", MetricRecord(plain | changed))(reply)

    return spoil


def without(key):
    return lambda reply: holding(reply, RecordDict({name: each for name, each in reply.content.items() if name != key}))


def with_array(change, place=0):
    """Replace one array by what `change` makes of it."""

    def spoil(reply):
        record = reply.content["arrays"].copy() if "arrays" in reply.content else to_record(MODEL)
        name = list(record)[place % len(record)]
        record[name] = change(record[name])
        return setting("arrays", record)(reply)

    return spoil


def with_data(change, place=0):
    return with_array(lambda array: Array(array.dtype, array.shape, array.stype, change(array.data)), place)


def claiming(**claims):
    def change(array):
        fields = {"dtype": array.dtype, "shape": array.shape, "stype": array.stype, "data": array.data}
        return Array(**fields | claims)

    return with_array(change)


def poisoned(value):
    def change(array):
        values = array.numpy().copy()
        values.flat[0] = value
        return Array(values)

    return with_array(change)


def with_record(key, record):
    """Add a record; also arrays, where a reply has none."""
    return lambda reply: setting(key, record)(with_array(lambda array: array)(reply))


def names_swapped(reply):
    record = reply.content["arrays"] if "arrays" in reply.content else to_record(MODEL)
    pairs = zip(record.keys(), list(record.values())[::-1], strict=True)
    return setting("arrays", ArrayRecord(dict(pairs)))(reply)


def huge(data):
    header = b"{'descr':'<f4','fortran_order':True,'shape':(10000000000000,)}"
    header += b" " * (63 - (10 + len(header)) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header


NAN, INF = float("nan"), float("inf")
PICKLE = pickle.dumps(Path("/"))
SPOILS = st.one_of(
    st.builds(with_data, st.binary(max_size=400).map(lambda data: lambda _: data), st.integers(0, 9)),
    st.integers(0, 127).map(lambda length: with_data(lambda data: data[:length])),
    st.integers(1, 64).map(lambda count: with_data(lambda data: data[:-count])),
    st.binary(min_size=1, max_size=64).map(lambda more: with_data(lambda data: data + more)),
    st.sampled_from([with_data(huge), with_data(lambda _: PICKLE), names_swapped, without("metrics")]),
    st.sampled_from([{"stype": ""}, {"stype": "torch"}, {"dtype": "object"}, {"dtype": "float64"}]).map(
        lambda claims: claiming(**claims)
    ),
    st.lists(st.integers(0, 2**40), max_size=3).map(tuple).map(lambda shape: claiming(shape=shape)),
    st.sampled_from([np.float32(1.0), np.zeros(0, np.float32), np.zeros((2, 2), "U3"), np.ones(3, np.complex64)]).map(
        lambda values: with_array(lambda _: Array(np.asarray(values)))
    ),
    st.sampled_from([NAN, INF, -INF]).map(poisoned),
    st.sampled_from([0, -1, 10**15, 10**400, 18, NAN, INF, -INF, 1e300, 2.5, [3], []]).map(
        lambda value: with_metrics(num_examples=value)
    ),
    st.sampled_from([with_metrics(), with_metrics(num_examples=1), with_metrics(num_examples=1, train_loss=NAN)]),
    st.sampled_from(["gradient", "scalars", "nonsense", ""]).map(
        lambda kind: with_record("config", ConfigRecord({"kind": kind}))
    ),
    st.sampled_from([MetricRecord({"num-examples": 3}), ArrayRecord(), to_record(MODEL)]).map(
        lambda record: with_record("more", record)
    ),
    st.sampled_from([{"extra": 1.0}, {"train-loss": [1.0], "eval-accuracy": [1.0]}]).map(
        lambda metrics: lambda reply: setting("metrics", MetricRecord({**reply.content["metrics"], **metrics}))(reply)
    ),
)


@pytest.mark.parametrize("name", MAKERS)
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(spoils=st.lists(SPOILS, min_size=1, max_size=2))
def test_whatever_clients_send_the_model_is_that_of_the_honest_ones(world, name, spoils):
    bad = dict(zip(NODES[-len(spoils) :], spoils, strict=True))

    def hostile(message):
        node = message.metadata.dst_node_id
        return bad[node](honest(message)) if node in bad else honest(message)

    def silent(message):
        node = message.metadata.dst_node_id
        return error_reply(message, CLIENT_RAISED, "no") if node in bad else honest(message)

    found, expected = [], []
    for answer, results in ((hostile, found), (silent, expected)):
        strategy = MAKERS[name]()
        results.extend(round_of(strategy, world(strategy, answer)))
    assert list(found[0]) == list(expected[0])
    assert bool(expected[0]) == (name != "DP")  # that one leaves the model as it is where one client fails
    for array in expected[0]:
        np.testing.assert_array_equal(found[0][array], expected[0][array])
    assert found[1] == expected[1]


@given(place=st.integers(0, 127), byte=st.integers(0, 255))
def test_a_changed_byte_of_a_header_is_refused_or_changes_nothing(world, place, byte):
    def spoil(message):
        return with_data(lambda data: data[:place] + bytes([byte]) + data[place + 1 :])(honest(message))

    (reply,) = world(None, spoil, terms=UpdateTerms()).send_and_receive([order(NODES[3])])
    if not reply.has_error():
        for name, array in reply.content["arrays"].items():
            np.testing.assert_array_equal(array.numpy(), honest(order(NODES[3])).content["arrays"][name].numpy())


def order(node, kind=MessageType.TRAIN):
    return Message(RecordDict({"arrays": to_record(MODEL), "config": ConfigRecord({"server-round": 1})}), node, kind)


# --- the grid by itself -------------------------------------------------------------------------------------------


@pytest.fixture
def grid(world):
    """Return a function that makes a grid above clients that answer so, for a strategy that takes models."""
    return lambda answer=honest, **options: world(None, answer, **{"terms": UpdateTerms()} | options)


def test_a_refused_reply_is_an_error_and_its_node_told_of_with_the_reason(grid):
    some = grid(lambda message: with_metrics(num_examples=99)(honest(message)))
    (reply,) = some.send_and_receive([order(53)])
    assert some.refused == [(53, "num-examples is 99, but the client has 13")]
    assert reply.error.reason == "num-examples is 99, but the client has 13"
    assert reply.metadata.src_node_id == 53


def test_errors_and_answers_to_queries_pass(grid):
    some = grid(lambda message: query_reply(message, 3))
    (reply,) = some.send_and_receive([query_message(53)])
    assert set(reply.content) == {"client"}
    failing = grid(lambda message: error_reply(message, CLIENT_RAISED, "no"))
    (reply,) = failing.send_and_receive([order(53)])
    assert (reply.error.reason, failing.refused) == ("no", [])


def test_a_client_may_train_on_some_of_its_examples_only(grid):
    def some_of_them(message):
        reply = with_metrics(num_examples=4)(honest(message))
        return without("workload")(reply) if message.metadata.dst_node_id == 0 else reply

    (reply,) = grid(some_of_them).send_and_receive([order(53)])
    assert reply.error.reason == "num-examples is 4, but the workload says 13"
    (reply,) = grid(lambda message: worked(honest(message), 4)).send_and_receive([order(53)])
    assert reply.content["metrics"]["num-examples"] == 4


def worked(reply, examples):
    """Return a reply that says, also in its workload, that it is for so many examples."""
    changed = ConfigRecord({**reply.content["workload"], "num-examples": examples})
    return setting("workload", changed)(with_metrics(num_examples=examples)(reply))


def test_a_real_node_cannot_claim_more_than_it_did_first(grid):
    said = iter([6, 7, 5])
    some = grid(lambda message: worked(honest(message), next(said)), limits=FirstAnswers(unknown_sizes, PARTITIONS))
    reasons = []
    for _ in range(3):
        (reply,) = some.send_and_receive([order(53)])
        reasons.append(reply.error.reason if reply.has_error() else None)
    assert reasons == [None, "num-examples is 7, but the client has 6", None]


def test_a_refused_reply_is_not_a_first_answer(grid):
    replies = iter([lambda reply: poisoned(NAN)(worked(reply, 3)), lambda reply: worked(reply, 9)])
    some = grid(lambda message: next(replies)(honest(message)), limits=FirstAnswers(unknown_sizes, PARTITIONS))
    refused, taken = (next(iter(some.send_and_receive([order(53)]))) for _ in range(2))
    assert refused.has_error()
    assert taken.content["metrics"]["num-examples"] == 9


def plainly(reply):
    return reply


def test_replies_that_are_pulled_later_are_checked_by_their_message(grid):
    some = grid(lambda message: (poisoned(NAN) if message.metadata.dst_node_id == 52 else plainly)(honest(message)))
    first, second = some.push_messages([order(52), order(53)])
    (good,) = some.pull_messages([second])
    assert not good.has_error()
    (bad,) = some.pull_messages([first])
    assert bad.error.reason.endswith("has values that are not finite")
    assert some.pull_messages([first, second]) == []


def test_a_reply_to_an_evaluation_is_checked_too(grid):
    some = grid(lambda message: setting("arrays", to_record(MODEL))(honest(message)))
    (reply,) = some.send_and_receive([order(53, MessageType.EVALUATE)])
    assert reply.error.reason == "has 1 records of arrays, expected none"


def test_the_reply_of_another_node_is_not_taken_for_the_one_asked(grid):
    def mistaken(message):
        reply = honest(message)
        reply.metadata.__dict__["_src_node_id"] = 55
        return reply

    (reply,) = grid(mistaken).send_and_receive([order(53)])
    assert (reply.metadata.src_node_id, reply.error.reason) == (53, "the reply is another node's")


def test_a_failure_to_check_is_the_reply_s_fault(grid):
    class Broken(PartitionSizes):
        def limit(self, node_id, purpose):
            raise MemoryError("too much")

    some = grid(limits=Broken(unknown_sizes, PARTITIONS))
    (reply,) = some.send_and_receive([order(53)])
    assert reply.error.reason == "cannot be read: MemoryError: too much"


def test_the_content_that_messages_share_is_looked_at_once(grid, monkeypatch):
    looked = []
    monkeypatch.setattr("fedlab.server.vetting_grid.layouts_of", lambda content: looked.append(content) or {})
    content = order(50).content
    grid().send_and_receive([Message(content, node, MessageType.TRAIN) for node in NODES])
    assert looked == [content]


@pytest.mark.parametrize("name", ["fedavg", "adafl", "FedAvg", "FedAdam", "Krum", "FedMedian"])
def test_a_reply_is_parsed_once(world, name, monkeypatch):
    parsed, view_of = [], npy.view_of

    def counting(array, dtype, shape):
        parsed.append(id(array))
        return view_of(array, dtype, shape)

    strategy = MAKERS[name]()
    grid = world(strategy)
    orders = list(strategy.configure_train(1, to_record(MODEL), ConfigRecord({"server-round": 1}), grid))
    replies = [reply.content["arrays"] for reply in map(honest, orders)]
    monkeypatch.setattr("fedlab.server.reply_checks.view_of", counting)
    answers = grid.send_and_receive(orders)
    assert len(parsed) == len(set(parsed)) == sum(map(len, replies))
    monkeypatch.setattr("fedlab.messages.npy.view_of", lambda array, *rest: pytest.fail("parsed again"))
    monkeypatch.setattr(npy.CheckedArray, "__init__", lambda array, *rest: pytest.fail("checked again"))
    for answer in answers:
        for array in answer.content["arrays"].values():
            array.data = b"nothing is left to parse"
    assert strategy.aggregate_train(1, answers)[0] is not None


def test_a_strategy_says_what_it_takes_and_by_what_it_weights():
    assert terms_of(flowers.FedAvg()) == UpdateTerms()
    assert terms_of(flowers.FedAdam(weighted_by_key="tokens")) == UpdateTerms(weighted_by="tokens")
    inner = flowers.FedAvg(weighted_by_key="tokens")
    around = flowers.DifferentialPrivacyServerSideFixedClipping(inner, 0.1, 1.0, 7)
    assert terms_of(around).weighted_by == "tokens"
    for ours in (FedAvg(), AdaFL()):
        assert terms_of(ours) == UpdateTerms(takes=frozenset({"model", "delta"}))
