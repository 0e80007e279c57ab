"""The same strategies and clients on Flower's own simulation runtime, started by Flower's own command line."""

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FLWR = Path(sys.executable).with_name("flwr")
TINY = "backbone.name=bert-tiny task.limit=300 evaluation.test_every=0 task.max_length=24"


@pytest.fixture
def flower(tmp_path):
    """Run `flwr run .` with a home of its own; end the SuperLink it leaves behind."""
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", 39091)) == 0:
            pytest.skip("a local SuperLink is running already: it would take the run with its own settings")
    environment = os.environ | {
        "PATH": f"{FLWR.parent}{os.pathsep}{os.environ['PATH']}",  # flwr starts others of its commands
        "FLWR_HOME": str(tmp_path / "home"),
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
    }

    def run(settings: str, *words: str) -> subprocess.CompletedProcess[str]:
        config = f"settings='{TINY} {settings}' out='{tmp_path / 'runs'}'"
        command = [str(FLWR), "run", ".", "--stream", "--run-config", config, *words]
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)

    yield run
    subprocess.run(["pkill", "-KILL", "-f", "flower-superlink.*39091"], check=False)
    shutil.rmtree(tmp_path / "home", ignore_errors=True)


@pytest.mark.slow
def test_adafl_runs_unchanged_on_flowers_own_runtime(flower, tmp_path):
    done = flower("rounds=3 strategy.options.clients_per_round=6", "--federation-config", "num-supernodes=6")

    folder = tmp_path / "runs" / "quickstart"
    assert (folder / "summary.json").exists(), done.stdout + done.stderr
    summary = json.loads((folder / "summary.json").read_text())
    clients = [json.loads(line) for line in (folder / "clients.jsonl").read_text().splitlines()]
    assert summary["rounds"] == 3
    assert summary["trials"] >= 1
    assert summary["bytes_down"] == sum(client["bytes_down"] for client in clients)
    assert {client["partition_id"] for client in clients} == set(range(6))
    assert {client["group"] for client in clients} >= {"shallow", "deep", "wide"}


@pytest.mark.slow
def test_plain_flwr_run_works_with_as_few_nodes_as_flower_starts_by_default(flower, tmp_path):
    done = flower("rounds=2 strategy.name=fedavg strategy.options={clients_per_round=2} client.depth=2")

    summary = tmp_path / "runs" / "quickstart" / "summary.json"
    assert summary.exists(), done.stdout + done.stderr
    assert json.loads(summary.read_text())["configuration"] == {"set": "bottleneck", "depth": 2, "width": 8}
