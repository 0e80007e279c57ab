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


@pytest.fixture
def ended(lab):
    """Run three rounds on two nodes, each with half of the texts, to the end."""
    lab.start_link()
    for number in range(2):
        lab.start_node(number, f"partition-id={number} num-partitions=2")
    run_id = lab.submit(THREE_ROUNDS, run="deployed", nodes=2)
    assert lab.finish(run_id) == "finished:completed", lab.logs()
    return lab


def test_a_deployed_run_gives_what_the_simulated_one_does_and_says_what_it_measured(ended, tmp_path):
    settings = [word for each in (*ended.words.split(), *THREE_ROUNDS.split()) for word in ("--set", each)]
    simulated = [FEDLAB, "run", "experiments/quickstart.toml", *settings, "--set", "task.partition.clients=2"]
    out = tmp_path / "runs" / "simulated"
    done = subprocess.run(
        [*simulated, "--out", out, "--workers", "1", "--quiet"], cwd=ROOT, env=ended.environment, check=False
    )
    assert done.returncode == 0
    deployed, computed = (load_file(tmp_path / "runs" / run / "final.safetensors") for run in ("deployed", "simulated"))
    assert deployed.keys() == computed.keys()
    for name, array in deployed.items():
        np.testing.assert_allclose(array, computed[name], atol=1e-6)
    records = ended.records("deployed", "clients.jsonl")
    assert [record["group"] for record in records] == ["prefill"] * 2 + ["train"] * 6
    assert all(record["cached_batches"] == record["batches"] for record in records[2:])
    for record in records:
        assert record["compute_seconds"] > 0
        assert record["peak_memory_bytes"] > 50e6
        assert record["latency_provenance"] == "measured"
        assert record["error"] is None
    shown = subprocess.run(
        [FEDLAB, "compare", "deployed", "simulated", "--json"],
        cwd=tmp_path / "runs",
        env=ended.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.returncode == 0, shown.stderr
    rows = json.loads(shown.stdout.splitlines()[-1])["rows"]
    assert {row["method"]: row["deployed"] for row in rows} == {"fedavg (deployed)": True, "fedavg": False}


def test_a_wrong_setting_fails_the_run_with_one_line_and_no_traceback(lab):
    lab.start_link()
    run_id = lab.submit("rounds=3 strategy.name=fedavgg")
    assert lab.finish(run_id) == "finished:failed", lab.logs()
    said = lab.flwr("log", run_id, "lab", "--show")
    assert "the run failed: no such name 'fedavgg'" in said.stdout + said.stderr
    assert "Traceback" not in said.stdout + said.stderr + lab.logs()
