"""Whole runs with codecs: any strategy, the adapter client on a small task, billed by what really travels."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from safetensors.numpy import load_file

from clients.adapter import adapter
from fedlab.codecs.transport.client import with_codecs
from fedlab.common.clock import VirtualClock
from fedlab.config.file import experiment_from
from fedlab.messages.pack import to_record
from fedlab.results.digests import compare_runs
from fedlab.results.folder import RunFolder, create
from fedlab.results.recorder import Recorder
from fedlab.server.assemble import assemble
from fedlab.server.bench import bench_of
from fedlab.server.factory import reference_of_node
from fedlab.server.serve import World, serve
from fedlab.training.evaluate import measure

PARTITIONS = {node: node for node in range(8)}
FLOWERS = {"fraction_train": 0.5, "fraction_evaluate": 0.0}
STRATEGIES = {
    "adafl": {"name": "adafl", "options": {"clients_per_round": 6, "base_seconds": 0.5}},
    "FedAvg": {"name": "flwr.serverapp.strategy:FedAvg", "options": FLOWERS},
    "FedAdam": {"name": "flwr.serverapp.strategy:FedAdam", "options": FLOWERS | {"eta": 0.01}},
}
LOSSY = {"up": ["top-k:0.25", "int4"], "down": ["int8"]}


def _as_it_is(reply):
    return reply


class Cut(BaseException):
    """A run's sudden end."""


class Cutter:
    """Ends a run after a round, before that round's checkpoint."""

    def __init__(self, after):
        self._after = after

    def on_round(self, record):
        if record.server_round == self._after:
            raise Cut

    def on_clients(self, records):
        pass

    on_trial = on_message = on_clients


@pytest.fixture
def run(memory_grid, nodes, workbench, tmp_path, monkeypatch):
    """Return a function that runs an experiment, or goes on with one, on clients whose states a checkpoint holds."""
    monkeypatch.setattr("fedlab.results.write.plot_accuracy", lambda *_, **__: None)
    monkeypatch.setattr("fedlab.results.write.try_report", lambda *_: None)

    def call(name, strategy, codec, *, resume=False, cut=None, wrapped=True, rounds=5, spoil=None):
        table = {"rounds": rounds, "strategy": STRATEGIES[strategy], "client": {"depth": 1}, "codec": codec, "seed": 3}
        experiment = experiment_from(table, "test")
        app = adapter(max_batches=2)
        clients = nodes(with_codecs(app, reference=reference_of_node, base=tmp_path) if wrapped else app, workbench)

        class Resumed(memory_grid):
            state, restore = staticmethod(clients.state), staticmethod(clients.restore)

        path = tmp_path / name
        folder = RunFolder(path) if resume else create(path)
        folder.write_experiment(experiment)
        bench = bench_of(experiment, workbench, partial(measure, workbench))
        assembled = assemble(experiment)
        summary = serve(
            assembled,
            replace(bench, export=lambda arrays, config, place: None),
            World(
                grid=Resumed(lambda order: (spoil or _as_it_is)(clients.answer(order)), PARTITIONS),
                partitions=PARTITIONS,
                clock=VirtualClock(),
                physics=assembled.physics(bench.shape),
            ),
            folder=folder,
            recorder=Recorder(folder),
            observers=[] if cut is None else [Cutter(cut)],
        )
        return folder, summary

    return call


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_any_strategy_runs_on_encoded_messages_and_pays_for_those(run, strategy):
    _, plain = run("plain", strategy, {})
    folder, encoded = run("encoded", strategy, {"up": ["int8"], "down": ["int8"]})
    assert encoded["status"] == "finished"
    assert encoded["rounds"] == 5
    assert [client.error for client in folder.clients() if client.error] == []
    for way in ("bytes_up", "bytes_down"):  # a message of 10 to 30 kB holds a kilobyte that is no array's values
        assert encoded[way] < plain[way] / 3
    assert encoded["simulated_seconds"] < plain["simulated_seconds"]
    configurations = {tuple(client.configuration.values()) for client in folder.clients()}
    assert configurations == {
        ("bottleneck", *each) for each in ([(1, 8), (2, 8), (1, 16)] if strategy == "adafl" else [(1, 8)])
    }


def test_what_is_learnt_is_much_the_same(run):
    def final(name, codec, rounds=5):
        folder, _ = run(name, "FedAvg", codec, rounds=rounds)
        return np.concatenate([array.ravel() for array in load_file(folder.final).values()])

    plain, encoded, early = final("plain", {}), final("encoded", {"up": ["int8"]}), final("early", {}, rounds=1)
    assert 0 < np.linalg.norm(encoded - plain) < 0.1 * np.linalg.norm(plain - early)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_run_cut_off_ends_with_the_same_records_and_arrays_and_residuals_count(run, strategy):
    whole, _ = run("whole", strategy, LOSSY)
    with pytest.raises(Cut):
        run("cut", strategy, LOSSY, cut=4)
    resumed, _ = run("cut", strategy, LOSSY, resume=True)
    assert compare_runs(whole, resumed) == []
    assert resumed.final.read_bytes() == whole.final.read_bytes()
    forgetful, _ = run("forgetful", strategy, LOSSY | {"error_feedback": False})
    assert forgetful.final.read_bytes() != whole.final.read_bytes()


def test_without_codecs_a_run_is_what_it_is_with_clients_that_know_none(run):
    wrapped, _ = run("wrapped", "FedAvg", {}, rounds=2)
    bare, _ = run("bare", "FedAvg", {}, rounds=2, wrapped=False)
    assert compare_runs(wrapped, bare) == []
    assert wrapped.final.read_bytes() == bare.final.read_bytes()
    assert wrapped.clients() == bare.clients()


@pytest.mark.parametrize(("codec", "times"), [("int8", 4), ("int4", 8)])
def test_updates_take_a_quarter_and_an_eighth_of_their_values_in_float32_and_headers(run, codec, times):
    folder, _ = run("run", "FedAvg", {"up": [codec]}, rounds=1)
    values = sum(array.size for array in load_file(folder.final).values())
    for client in folder.clients():
        header = client.bytes_up - 4 * values / times
        scales = 4 * values / 256
        assert scales <= header < scales + 4 * 20 + 700  # a scale more for each small array; metrics and workload


def test_a_client_whose_reply_cannot_be_read_is_refused_and_the_run_goes_on(run):
    def spoil(reply):
        if reply.metadata.src_node_id % 2:
            reply.content["arrays"] = to_record({"fedlab.frame": np.zeros(9, np.uint8)})
        return reply

    folder, summary = run("run", "FedAvg", {"up": ["int8"]}, rounds=2, spoil=spoil)
    assert summary["status"] == "finished"
    for client in folder.clients():
        assert client.dropout == ("refused" if client.partition_id % 2 else None)
        assert (client.error or "").startswith("the encoded reply cannot be read: " if client.partition_id % 2 else "")
    assert {client.partition_id % 2 for client in folder.clients()} == {0, 1}
    assert "client " in folder.log.read_text()
