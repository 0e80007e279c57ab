"""A round's replies are averaged by their examples, with late ones of earlier rounds and without those unfit for it."""

from dataclasses import replace

import numpy as np
import pytest
from flwr.serverapp import strategy
from hypothesis import given
from hypothesis import strategies as st

from fedlab.messages.flower_private import CLIENT_RAISED, error_reply, with_id
from fedlab.messages.npy import views_of
from fedlab.messages.orders import query_message
from fedlab.messages.pack import from_record
from fedlab.messages.updates import Update, restored
from fedlab.results.records import ClientRecord
from fedlab.server.checkpoint import load_tree, save_tree
from strategies.aggregate import average, busy_nodes, fits, gather, objection
from strategies.cohort import CohortRules


def adapters(depth=2, width=8):
    return {"set": "bottleneck", "depth": depth, "width": width}


SENT = {"x": np.zeros(2, np.float32)}


def bill(partition_id):
    return ClientRecord(
        server_round=1, group="train", partition_id=partition_id, device="board", configuration=adapters(1, 8),
        num_examples=1, batches=1, train_loss=1.0, compute_seconds=1.0, download_seconds=0.0, upload_seconds=0.0,
        joules=1.0, bytes_down=1, bytes_up=1, peak_memory_bytes=1,
    )  # fmt: skip


def update(node_id=100, arrives_seconds=0.0, num_examples=1, **arrays):
    return Update(
        node_id=node_id,
        arrays=arrays or {"x": np.zeros(2, np.float32)},
        num_examples=num_examples,
        arrives_seconds=arrives_seconds,
    )


@pytest.fixture
def server(server):
    server.ledger.bill([bill(partition) for partition in server.partitions.values()])
    return server


@pytest.fixture
def gathered(server):
    """Return a function that gathers replies 10 s into the run."""

    def call(replies, *, coming=(), **rules):
        return gather(
            replies,
            SENT,
            coming=coming,
            rules=CohortRules(**rules),
            server=server,
            group="train",
            configuration={"set": "head"},
            now_seconds=10.0,
        )

    return call


@pytest.mark.parametrize(
    ("limit", "max_update_norm", "taken"),
    [(None, None, True), (4.0, None, False), (6.0, None, True), (4.0, 6.0, True), (6.0, 4.0, False)],
)
def test_the_servers_limit_holds_where_the_strategy_has_none(server, reply_with, floats, limit, max_update_norm, taken):
    gathered = gather(
        [reply_with({"x": floats(3.0, 4.0)})],
        SENT,
        coming=(),
        rules=CohortRules(max_update_norm=max_update_norm),
        server=replace(server, update_limit=lambda sent: limit),
        group="train",
        configuration={},
        now_seconds=10.0,
    )
    assert (gathered.arrays is not None) == taken


def test_replies_are_averaged_by_their_examples(gathered, reply_with, floats):
    replies = [
        reply_with({"x": floats(0.0, 4.0)}, num_examples=3),
        reply_with({"x": floats(8.0, 0.0)}, num_examples=1),
    ]
    found = gathered(replies)
    np.testing.assert_array_equal(from_record(found.arrays)["x"], [2.0, 3.0])
    assert found.coming == ()


def test_errors_are_left_out(gathered, reply_with, floats):
    failure = error_reply(with_id(query_message(101), "1"), CLIENT_RAISED, "no")
    found = gathered([failure, reply_with({"x": floats(2.0, 2.0)})])
    np.testing.assert_array_equal(from_record(found.arrays)["x"], [2.0, 2.0])


def test_what_is_turned_away_is_noted_with_its_client_and_not_averaged(gathered, reply_with, floats, server):
    replies = [reply_with({"x": floats(3.0, 4.1)}, node=103), reply_with({"x": floats(2.0, 2.0)}, node=104)]
    found = gathered(replies, max_update_norm=5.0)
    np.testing.assert_array_equal(from_record(found.arrays)["x"], [2.0, 2.0])
    refused = [record for record in server.ledger.clients if record.dropout]
    assert [(each.partition_id, each.dropout) for each in refused] == [(3, "refused")]
    assert refused[0].error == "turned away: is 5.08 from what was sent, 5 is the most"


def test_a_delta_is_added_to_what_was_sent(server, reply_with, floats):
    gathered = gather(
        [
            reply_with({"x": floats(1.0, 0.0)}, kind="delta", num_examples=3),
            reply_with({"x": floats(11.0, 22.0)}, node=101),
        ],
        {"x": floats(10.0, 20.0)},
        coming=(),
        rules=CohortRules(),
        server=server,
        group="train",
        configuration={},
        now_seconds=0.0,
    )
    np.testing.assert_array_equal(from_record(gathered.arrays)["x"], [11.0, 20.5])


def test_a_late_delta_counts_from_what_was_sent_with_its_order(server, reply_with, floats):
    rest = {"rules": CohortRules(), "server": server, "group": "train", "configuration": {}}
    late = reply_with({"x": floats(1.0, 1.0)}, kind="delta", late_seconds=5.0)
    first = gather([late], {"x": floats(10.0, 20.0)}, coming=(), now_seconds=0.0, **rest)
    second = gather([], {"x": floats(50.0, 50.0)}, coming=first.coming, now_seconds=5.0, **rest)
    np.testing.assert_array_equal(from_record(second.arrays)["x"], [11.0, 21.0])


@pytest.mark.parametrize("kind", ["model", "delta"])
def test_a_long_way_from_what_was_sent_is_turned_away_where_there_is_a_limit(kind, gathered, reply_with, floats):
    reply = reply_with({"x": floats(3.0, 4.0)}, kind=kind)  # 0 was sent
    assert gathered([reply]).arrays is not None
    assert gathered([reply], max_update_norm=5.01).arrays is not None
    assert gathered([reply], max_update_norm=4.99).arrays is None


@pytest.mark.filterwarnings("error")
def test_further_than_single_precision_can_say_is_turned_away_too(floats):
    said = objection({"x": floats(1e20, 0.0)}, SENT, max_update_norm=1e6)
    assert said == "is inf from what was sent, 1e+06 is the most"


@pytest.mark.filterwarnings("error")
def test_a_delta_that_leads_beyond_single_precision_is_turned_away(server, reply_with, floats):
    gathered = gather(
        [reply_with({"x": floats(3e38, 0.0)}, kind="delta"), reply_with({"x": floats(2.0, 2.0)}, node=101)],
        {"x": floats(3e38, 0.0)},
        coming=(),
        rules=CohortRules(),
        server=server,
        group="train",
        configuration={},
        now_seconds=0.0,
    )
    np.testing.assert_array_equal(from_record(gathered.arrays)["x"], [2.0, 2.0])
    assert server.ledger.clients[0].error == "turned away: leads to values that are not finite"


def test_a_round_with_too_few_fails_and_says_so(gathered, reply_with, floats, server):
    found = gathered([reply_with({"x": floats(2.0, 2.0)})], min_replies=2)
    assert found.arrays is None
    assert list(server.ledger.failed) == ["train"]
    assert list(server.ledger.notes) == ["train: 1 updates to average, 2 needed: the model stays"]


def test_a_round_without_replies_fails(gathered):
    assert gathered([]).arrays is None


def test_late_work_is_kept_until_it_has_come(gathered, reply_with, floats):
    in_time = reply_with({"x": floats(2.0, 2.0)}, node=100, late_seconds=0.0)
    late = reply_with({"x": floats(9.0, 9.0)}, node=101, late_seconds=5.0)
    found = gathered([in_time, late])
    np.testing.assert_array_equal(from_record(found.arrays)["x"], [2.0, 2.0])
    assert [(each.node_id, each.arrives_seconds) for each in found.coming] == [(101, 15.0)]


def test_late_work_that_has_come_is_averaged_with_the_rest(gathered, reply_with, floats):
    coming = [
        update(101, arrives_seconds=10.0, num_examples=3, x=floats(6.0, 6.0)),
        update(102, arrives_seconds=10.1, x=floats(9.0, 9.0)),
    ]
    found = gathered([reply_with({"x": floats(2.0, 2.0)})], coming=coming)
    np.testing.assert_array_equal(from_record(found.arrays)["x"], [5.0, 5.0])  # (3 x 6 + 2) / 4
    assert found.coming == (coming[1],)


def test_late_work_alone_may_make_a_round(gathered, floats):
    found = gathered([], coming=[update(101, arrives_seconds=3.0, x=floats(6.0, 6.0))])
    np.testing.assert_array_equal(from_record(found.arrays)["x"], [6.0, 6.0])


@given(st.lists(st.tuples(st.integers(1, 1000), st.floats(-1e3, 1e3, width=32)), min_size=1, max_size=6))
def test_an_average_is_flowers_own_to_the_last_bit(reply_with, told):
    replies = [
        reply_with({"x": np.array([value, -value], np.float32), "y": np.full((2, 2), value, np.float32)},
                   num_examples=examples)
        for examples, value in told
    ]  # fmt: skip
    theirs, _ = strategy.FedAvg().aggregate_train(1, replies)
    ours = average([
        Update(node_id=1, arrays=views_of(reply.content["arrays"]), num_examples=examples, arrives_seconds=0.0)
        for reply, (examples, _) in zip(replies, told, strict=True)
    ])  # fmt: skip
    assert list(ours) == list(theirs)
    for name, array in ours.items():
        np.testing.assert_array_equal(array, theirs[name].numpy())


def test_nodes_are_busy_until_their_work_has_come():
    assert busy_nodes([update(1, arrives_seconds=5.0), update(2, arrives_seconds=6.0)], 5.0) == {2}


def test_an_update_fits_a_model_of_its_configuration_even_if_others_have_the_same_arrays(gathered, reply_with, floats):
    (late,) = gathered([reply_with({"x": floats(1.0, 2.0)}, late_seconds=5.0)]).coming
    assert fits(late, {"set": "head"})
    assert not fits(late, {"set": "bottleneck", "depth": 0, "width": 16})


def test_an_update_survives_a_checkpoint(tmp_path, floats):
    before = Update(
        arrays={"x": floats(0.1, 0.2)}, num_examples=4, node_id=107, arrives_seconds=1 / 3, configuration={"depth": 2}
    )
    save_tree(tmp_path / "checkpoint", {"update": before.state()})
    after = restored(load_tree(tmp_path / "checkpoint")["update"])
    np.testing.assert_array_equal(after.arrays["x"], before.arrays["x"])
    assert {**vars(after), "arrays": None} == {**vars(before), "arrays": None}


def test_an_array_without_axes_is_averaged_too():
    alike = Update(arrays={"x": np.array(4.0, np.float32)}, num_examples=1)
    mean = average([alike, Update(arrays={"x": np.array(8.0, np.float32)}, num_examples=3)])
    assert (mean["x"].shape, float(mean["x"])) == ((), 7.0)


def test_replies_are_averaged_as_the_views_of_their_bytes(gathered, reply_with, floats):
    (late,) = gathered([reply_with({"x": floats(9.0, 9.0)}, late_seconds=5.0)]).coming
    assert not late.arrays["x"].flags.owndata
