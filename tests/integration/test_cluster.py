"""A Ray cluster of several machines is used as it stands, and outlives one of them."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ray.cluster_utils import Cluster

pytestmark = pytest.mark.slow

LIMIT_SECONDS = 300.0
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
name = "clients.py:waiting"
depth = 1
options = { at_round = 3, while_there = "no gate" }

[strategy]
name = "fedavg"
options = { clients_per_round = 8 }

[engine]
pack = 1
"""


@pytest.fixture(scope="module")
def alone(fedlab, tmp_path_factory):
    """The same run on this machine alone."""
    folder = tmp_path_factory.mktemp("alone")
    write_experiment(folder, fedlab)
    (folder / "tmp").mkdir()
    start(folder, "--workers", "2").wait()
    return json.loads((folder / "out" / "summary.json").read_text())


@pytest.fixture
def cluster():
    """Three nodes of one core each, as processes of this machine."""
    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    workers = [nodes.add_node(num_cpus=1) for _ in range(2)]
    nodes.wait_for_nodes()
    yield nodes, workers
    nodes.shutdown()


@dataclass(frozen=True, kw_only=True)
class Gated:
    """A run on a cluster whose clients wait in round 3 until `open` is called."""

    process: subprocess.Popen[str]
    folder: Path

    def wait_for_round_3(self) -> None:
        rounds = self.folder / "out" / "rounds.jsonl"
        self.wait_until(lambda: rounds.exists() and rounds.read_text().count("\n") >= 2, "round 3")

    def wait_until(self, holds: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + LIMIT_SECONDS
        while not holds():
            assert self.process.poll() is None, f"ended before {what}"
            assert time.monotonic() < deadline, f"in vain: {what}"
            time.sleep(0.05)

    @property
    def node_folders(self) -> list[Path]:
        """What the nodes were sent; they share this machine's disk, and each has its own copy."""
        found = (self.folder / "tmp").glob("fedlab-*/activations/node-*")
        return [path for path in found if not path.name.endswith(("-states", "-lock"))]

    def finish(self) -> dict[str, Any]:
        """Open the gate, wait for the end and return the summary."""
        (self.folder / "gate").unlink()
        output, _ = self.process.communicate(timeout=LIMIT_SECONDS)
        assert self.process.returncode == 0, output
        return json.loads((self.folder / "out" / "summary.json").read_text())


@pytest.fixture
def gated(cluster, fedlab, tmp_path) -> Iterator[Gated]:
    nodes, _ = cluster
    write_experiment(tmp_path, fedlab)
    (tmp_path / "tmp").mkdir()
    (tmp_path / "gate").touch()
    process = start(
        tmp_path, "--ray-address", nodes.address, "--set", f"client.options.while_there={tmp_path / 'gate'}"
    )
    yield Gated(process=process, folder=tmp_path)
    process.kill()
    process.wait()


def write_experiment(folder: Path, fedlab) -> None:
    (folder / "clients.py").write_text((fedlab.folder / "clients.py").read_text())
    (folder / "cluster.toml").write_text(EXPERIMENT)


def start(folder: Path, *words: str) -> subprocess.Popen[str]:
    command = [str(FEDLAB), "run", str(folder / "cluster.toml"), "--quiet", "--out", str(folder / "out"), *words]
    environment = os.environ | {"TMPDIR": str(folder / "tmp"), "RAY_TMPDIR": "/tmp"}  # Ray's sockets need a short path
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)


def test_a_cluster_gives_the_same_result_and_every_node_has_data_of_its_own_while_the_run_lasts(alone, gated):
    gated.wait_for_round_3()
    gated.wait_until(lambda: len(gated.node_folders) == 3, "data on all three nodes")  # some start later than others
    summary = gated.finish()

    assert json.loads((gated.folder / "out" / "engine.json").read_text())["workers"] == 3
    assert list((gated.folder / "tmp").glob("fedlab-*")) == []
    assert summary["arrays_digest"] == alone["arrays_digest"]
    assert summary["records_digest"] == alone["records_digest"]


def test_the_work_of_a_node_lost_in_mid_round_is_done_again_and_changes_nothing(alone, cluster, gated):
    nodes, workers = cluster
    gated.wait_for_round_3()
    time.sleep(1.0)  # by now every actor is at a client, and waits
    nodes.remove_node(workers[0], allow_graceful=False)
    summary = gated.finish()

    assert re.search(r"worker \d died at client \d", (gated.folder / "out" / "run.log").read_text())
    assert summary["client_failures"] == 0
    assert summary["arrays_digest"] == alone["arrays_digest"]
    assert summary["records_digest"] == alone["records_digest"]
