"""A run on a real SuperLink with real SuperNodes."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

pytestmark = pytest.mark.slow

FEDLAB = Path(sys.executable).with_name("fedlab")
ROOT = Path(__file__).parents[2]
THREE_ROUNDS = "rounds=3 client.prefill=true strategy.name=fedavg strategy.options={clients_per_round=2}"


FORWARD = (
    "rounds=4 client.name=forward client.options={batch_size=4} strategy.name=fwdllm strategy.options={"
    "clients_per_round=2,probes=2,threshold=1e6,most_cycles=2,steps_per_cohort=2,learning_rate=0.05}"
    " backbone.precision=int8 fleet.devices={jetson-orin-nano=1}"
)


@pytest.fixture(scope="module")
def two_nodes(shared_lab):
    """Start two nodes, each with half of the texts."""
    shared_lab.start_link()
    for number in range(2):
        shared_lab.start_node(number, f"partition-id={number} num-partitions=2")
    return shared_lab


@pytest.fixture
def run_both(two_nodes):
    """Return a function that runs an experiment on the nodes and simulated, and returns the last arrays of both."""

    def run(name, settings):
        run_id = two_nodes.submit(settings, run=name, nodes=2)
        assert two_nodes.finish(run_id) == "finished:completed", two_nodes.logs()
        words = [word for each in (*two_nodes.words.split(), *settings.split()) for word in ("--set", each)]
        simulated = [FEDLAB, "run", "experiments/quickstart.toml", *words, "--set", "task.partition.clients=2"]
        runs = two_nodes.folder / "runs"
        out = ["--out", runs / f"{name}-simulated", "--workers", "1", "--quiet"]
        done = subprocess.run([*simulated, *out], cwd=ROOT, env=two_nodes.environment, check=False)
        assert done.returncode == 0
        return [load_file(runs / each / "final.safetensors") for each in (name, f"{name}-simulated")]

    return run


def test_a_deployed_run_gives_what_the_simulated_one_does_and_says_what_it_measured(run_both, two_nodes):
    deployed, computed = run_both("deployed", THREE_ROUNDS)
    assert deployed.keys() == computed.keys()
    for name, array in deployed.items():
        np.testing.assert_allclose(array, computed[name], atol=1e-6)
    records = two_nodes.records("deployed", "clients.jsonl")
    assert [record["group"] for record in records] == ["prefill"] * 2 + ["train"] * 6
    assert all(record["cached_batches"] == record["batches"] for record in records[2:])
    for record in records:
        assert record["compute_seconds"] > 0
        assert record["peak_memory_bytes"] > 50e6
        assert record["latency_provenance"] == "measured"
        assert record["error"] is None
    shown = subprocess.run(
        [FEDLAB, "compare", "deployed", "deployed-simulated", "--json"],
        cwd=two_nodes.folder / "runs",
        env=two_nodes.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.returncode == 0, shown.stderr
    rows = json.loads(shown.stdout.splitlines()[-1])["rows"]
    assert {row["method"]: row["deployed"] for row in rows} == {"fedavg (deployed)": True, "fedavg": False}


def test_deployed_forward_gradients_over_int8_weights_make_the_steps_of_the_simulated_ones(run_both, two_nodes):
    deployed, computed = run_both("forward", f"{FORWARD} engine.pack=1")  # as each node measures by itself
    assert deployed.keys() == computed.keys()
    for name, array in deployed.items():
        np.testing.assert_array_equal(array, computed[name])
    steps, others = (two_nodes.records(run, "steps.jsonl") for run in ("forward", "forward-simulated"))
    assert [(each["step"], each["cycle"], each["cosine"]) for each in steps] == [
        (each["step"], each["cycle"], each["cosine"]) for each in others
    ]
    assert [each["verdict"] for each in steps] == ["repeated", "capped"] * 2
    assert steps[1]["bytes_down"] < steps[0]["bytes_down"] / 5  # which sends the model
    assert all(each["group"] == "train" for each in two_nodes.records("forward", "clients.jsonl"))


def test_a_wrong_setting_fails_the_run_with_one_line_and_no_traceback(lab):
    lab.start_link()
    run_id = lab.submit("rounds=3 strategy.name=fedavgg")
    assert lab.finish(run_id) == "finished:failed", lab.logs()
    said = lab.flwr("log", run_id, "lab", "--show")
    assert "the run failed: no such name 'fedavgg'" in said.stdout + said.stderr
    assert "Traceback" not in said.stdout + said.stderr + lab.logs()
