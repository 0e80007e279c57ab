"""A Ray cluster of several machines is used as it stands, and outlives one of them."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ray.cluster_utils import Cluster

FEDLAB = Path(sys.executable).with_name("fedlab")
EXPERIMENT = """
name = "cluster"
rounds = 6

[task]
limit = 240
max_length = 16
partition = { clients = 8 }

[backbone]
name = "bert-tiny"

[client]
depth = 1

[strategy]
name = "fedavg"
options = { clients_per_round = 8 }

[engine]
pack = 1
"""


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The same run on this machine alone."""
    folder = tmp_path_factory.mktemp("alone")
    (folder / "cluster.toml").write_text(EXPERIMENT)
    run(folder, "--workers", "2").wait()
    return json.loads((folder / "out" / "summary.json").read_text())


@pytest.fixture
def cluster():
    """Three nodes of one core each, as processes of this machine."""
    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    workers = [nodes.add_node(num_cpus=1) for _ in range(2)]
    nodes.wait_for_nodes()
    yield nodes, workers
    nodes.shutdown()


def run(folder: Path, *words: str) -> subprocess.Popen[str]:
    """Start a run."""
    command = [str(FEDLAB), "run", str(folder / "cluster.toml"), "--quiet", "--out", str(folder / "out"), *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.mark.slow
def test_a_cluster_gives_the_same_result_and_every_node_has_its_own_data(alone, cluster, tmp_path):
    nodes, _ = cluster
    (tmp_path / "cluster.toml").write_text(EXPERIMENT)

    process = run(tmp_path, "--ray-address", nodes.address)
    output, _ = process.communicate()

    assert process.returncode == 0, output
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert json.loads((tmp_path / "out" / "engine.json").read_text())["workers"] == 3
    assert summary["arrays_digest"] == alone["arrays_digest"]
    assert summary["records_digest"] == alone["records_digest"]


@pytest.mark.slow
def test_the_work_of_a_node_lost_in_mid_run_is_done_again_and_changes_nothing(alone, cluster, tmp_path):
    nodes, workers = cluster
    (tmp_path / "cluster.toml").write_text(EXPERIMENT)

    process = run(tmp_path, "--ray-address", nodes.address)
    rounds = tmp_path / "out" / "rounds.jsonl"
    while process.poll() is None and not (rounds.exists() and rounds.read_text().count("\n") >= 2):
        time.sleep(0.05)
    nodes.remove_node(workers[0], allow_graceful=False)
    output, _ = process.communicate()

    assert process.returncode == 0, output
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["client_failures"] == 0
    assert summary["arrays_digest"] == alone["arrays_digest"]
    assert summary["records_digest"] == alone["records_digest"]
