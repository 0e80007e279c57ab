"""Whole runs over nodes that answer in this process, as real ones would."""

import itertools
import json

import numpy as np
import pytest
from flwr.app import Array, Context, RecordDict
from safetensors.numpy import load_file

from clients.app import answer
from fedlab.deploy.server.run import _most_examples, run_measured
from fedlab.errors import RunFailedError, UserError
from fedlab.messages.flower_private import CLIENT_CRASHED, error_reply
from fedlab.messages.pack import from_record, to_record
from fedlab.results.display import QuietDisplay
from fedlab.results.folder import RunFolder

SMALL = "backbone.name=bert-tiny task.max_length=16 task.limit=48 client.depth=1"
NODES = {10: 0, 11: 1, 12: 2}


@pytest.fixture
def run(memory_grid, day_and_night, tmp_path, monkeypatch):
    """Return a function that runs settings on three nodes; `lost` tells which answers get lost, `sent` what is sent."""
    monkeypatch.setenv("FEDLAB_CACHE", str(tmp_path / "cache"))

    def run_settings(settings, *, lost=lambda order: False, sent=lambda order, reply: reply, **config):
        settings = f"task.data={day_and_night} {SMALL} {settings}"
        run_config = {"experiment": "experiments/quickstart.toml", "settings": settings, "out": str(tmp_path / "runs")}
        run_config |= {"nodes": 3, "wait-seconds": 0.01} | config
        contexts = {
            node: Context(
                run_id=1,
                node_id=node,
                node_config={"partition-id": partition, "num-partitions": run_config["nodes"]},
                state=RecordDict(),
                run_config=run_config,
            )
            for node, partition in NODES.items()
        }
        orders = itertools.count()

        def answered(message):
            order = next(orders)
            if lost(order):
                return error_reply(message, CLIENT_CRASHED, "its process was killed")
            return sent(order, answer(message, contexts[message.metadata.dst_node_id]))

        return run_measured(memory_grid(answered, NODES), run_config, QuietDisplay())

    return run_settings


def records(folder, name):
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


def test_adafl_runs_on_the_wall_clock_and_bills_what_was_measured(run, tmp_path):
    summary = run("rounds=3 strategy.name=adafl strategy.options={clients_per_round=3,base_seconds=0.001}")
    folder = tmp_path / "runs" / "quickstart"
    assert (summary["rounds"], summary["run_dir"]) == (3, str(folder))
    assert summary["trials"] == 3  # each round takes longer than a trial
    clients = records(folder, "clients.jsonl")
    assert {each["latency_provenance"] for each in clients} == {"measured"}
    assert min(each["compute_seconds"] for each in clients) > 0
    times = [each["simulated_seconds"] for each in records(folder, "rounds.jsonl")]
    assert times == sorted(times)
    assert "holds partition 2" in (folder / "run.log").read_text()


FEDAVG = "strategy.name=fedavg strategy.options={clients_per_round=3,min_replies=2}"


def test_a_round_goes_on_without_a_client_that_was_killed(run, tmp_path):
    run(f"rounds=2 {FEDAVG}", lost=lambda order: order == 4)  # three queries, then the second of the first round
    lost = [each for each in records(tmp_path / "runs" / "quickstart", "clients.jsonl") if each["dropout"]]
    assert [(each["server_round"], each["dropout"]) for each in lost] == [(1, "gone")]


def test_a_round_without_its_quorum_leaves_the_model_as_it_was(run, tmp_path):
    run(f"rounds=2 {FEDAVG}", lost=lambda order: order in (3, 4))
    failed = [each["groups"][0]["failed"] for each in records(tmp_path / "runs" / "quickstart", "rounds.jsonl")]
    assert failed == [True, False]


@pytest.mark.parametrize("value", [300.0, 1e20])
def test_an_update_that_is_finite_and_far_out_is_turned_away_unasked(run, tmp_path, value):
    def sent(order, reply):
        if order == 4:  # three queries, then the second of the first round
            arrays = from_record(reply.content["arrays"])
            arrays["head.bias"] = arrays["head.bias"].copy()
            arrays["head.bias"][0] = value
            reply.content["arrays"] = to_record(arrays)
        return reply

    run(f"rounds=1 {FEDAVG}", sent=sent)
    folder = tmp_path / "runs" / "quickstart"
    errors = [each["error"] for each in records(folder, "clients.jsonl")]
    assert [error is None for error in errors].count(True) == 2
    assert next(error for error in errors if error).startswith("turned away: is ")
    assert np.abs(load_file(folder / "final.safetensors")["head.bias"]).max() < 1


def test_no_reply_can_end_a_run_or_weigh_more_than_its_node_has(run, tmp_path):
    def sent(order, reply):
        if order == 4:  # three queries, then the second of the first round
            reply.content["metrics"]["num-examples"] = 10**15
        if order == 7:
            reply.content["arrays"]["head.bias"] = Array("float32", (10**9,), "numpy.ndarray", b"\x93NUMPY")
        return reply

    run(f"rounds=2 {FEDAVG}", sent=sent)
    errors = [each["error"] for each in records(tmp_path / "runs" / "quickstart", "clients.jsonl") if each["error"]]
    assert len(errors) == 2
    assert errors[0].startswith("turned away: num-examples is 1000000000000000, but the client has ")
    assert errors[1].startswith("turned away: head.bias has the shape (1000000000,), expected ")


def test_a_deployed_run_is_tracked_and_its_tracker_cannot_stop_it(run, tmp_path):
    own = tmp_path / "own.py"
    own.write_text("class Own:\n    def on_round(self, record):\n        raise OSError('no disk')\n")
    summary = run(f"rounds=2 {FEDAVG} tracking.to={own}:Own")
    assert summary["rounds"] == 2
    log = (tmp_path / "runs" / "quickstart" / "run.log").read_text()
    assert log.count(f"tracker {own}:Own failed in on_round: OSError: no disk") == 1


@pytest.mark.parametrize(
    ("parts", "partition_id", "most"), [(3, 0, 14), (3, 2, 9), (3, 5, 36), (4, 0, 36), (None, 0, None)]
)
def test_a_node_has_its_partition_or_at_most_all_of_the_data_or_its_own(parts, partition_id, most):
    assert _most_examples(lambda partition: parts, [14, 13, 9], partition_id) == most


def test_a_run_with_a_name_is_gone_on_with_and_ends_as_if_it_had_not_been_cut_off(run, tmp_path):
    whole = run(f"rounds=3 {FEDAVG}", run="whole")

    def broken(order):
        if order == 9:  # in the third round
            raise KeyboardInterrupt
        return False

    with pytest.raises(KeyboardInterrupt):
        run(f"rounds=3 {FEDAVG}", lost=broken, run="cut")
    resumed = run(f"rounds=3 {FEDAVG}", run="cut")
    assert resumed["arrays_digest"] == whole["arrays_digest"]
    assert [each["server_round"] for each in records(tmp_path / "runs" / "cut", "rounds.jsonl")] == [1, 2, 3]


def test_a_run_that_has_ended_or_was_another_is_not_gone_on_with(run):
    run(f"rounds=1 {FEDAVG}", run="done")
    with pytest.raises(UserError, match="this run has ended"):
        run(f"rounds=1 {FEDAVG}", run="done")


def test_a_run_that_has_ended_goes_on_to_more_rounds_and_equals_one_that_was_never_shorter(run, tmp_path):
    whole = run(f"rounds=3 {FEDAVG}", run="whole")
    run(f"rounds=2 {FEDAVG}", run="short")
    longer = run(f"rounds=3 {FEDAVG}", run="short")
    assert longer["arrays_digest"] == whole["arrays_digest"]
    assert [each["server_round"] for each in records(tmp_path / "runs" / "short", "rounds.jsonl")] == [1, 2, 3]
    with pytest.raises(UserError, match="has done 3 rounds, more than rounds = 2"):
        run(f"rounds=2 {FEDAVG}", run="short")


def test_another_experiment_under_the_name_of_a_run_is_refused(run, tmp_path):
    run(f"rounds=1 {FEDAVG}", run="first")
    (tmp_path / "runs" / "first" / "summary.json").unlink()
    with pytest.raises(UserError, match="begun with another seed"):
        run(f"rounds=1 seed=9 {FEDAVG}", run="first")


def test_a_run_says_that_it_was_deployed(run, tmp_path):
    run(f"rounds=1 {FEDAVG}", run="done")
    assert RunFolder(tmp_path / "runs" / "done").deployed()


def test_late_work_that_is_to_be_carried_is_refused_before_anybody_is_waited_for(run):
    with pytest.raises(UserError, match="late = 'carry': in simulations only"):
        run("""rounds=1 strategy.name=fedavg 'strategy.options={late="carry"}'""", nodes=5, **{"least-nodes": 5})


def test_scores_of_clients_are_refused_before_anybody_is_waited_for(run):
    with pytest.raises(UserError, match=r"evaluation\.clients_every: in simulations only"):
        run(f"rounds=1 evaluation.clients_every=1 {FEDAVG}", nodes=5, **{"least-nodes": 5})


def test_a_strategy_that_does_not_exist_is_refused_before_anybody_is_waited_for(run):
    with pytest.raises(UserError, match="no such name 'fedavgg'"):
        run("rounds=1 strategy.name=fedavgg", nodes=5, **{"least-nodes": 5})


@pytest.mark.parametrize(
    ("settings", "config", "message"),
    [
        ("rounds=1", {"out": "/proc/nothing"}, "out: /proc/nothing: cannot make this folder"),
        ("name='mine", {}, "No closing quotation, expected key=value words, quoted as in a shell"),
    ],
)
def test_what_cannot_be_used_is_refused_before_anybody_is_waited_for(run, settings, config, message):
    with pytest.raises(UserError, match=message):
        run(f"{FEDAVG} {settings}", nodes=5, **{"least-nodes": 5} | config)


def test_too_few_nodes_are_said_to_be_too_few(run):
    with pytest.raises(RunFailedError, match="3 nodes are available and 4 are needed"):
        run(f"rounds=1 {FEDAVG}", nodes=5, **{"least-nodes": 4})
