"""What `flwr run` sends to a SuperLink."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FLWR = Path(sys.executable).with_name("flwr")
PROGRAM = """
import sys
sys.path.insert(0, ".")
import fedlab, strategies.app, clients.app
from pathlib import Path
from fedlab.config.builtins import CLIENTS, STRATEGIES
from fedlab.config.plugins import load_object
assert Path(fedlab.__file__).is_relative_to(Path.cwd()), fedlab.__file__
for reference in (*CLIENTS.values(), *STRATEGIES.values()):
    load_object(reference, Path())
from fedlab.results.html.parts import Page  # a run on real machines ends with its report
from fedlab.results.html.render import render_body
assert "<h1>mine</h1>" in render_body(Page(kind="", title="mine", lead="", sections=[], footer=""))
"""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Path:
    """Build the app as Flower's command line does, and unpack it."""
    folder = tmp_path_factory.mktemp("bundle")
    environment = os.environ | {"FLWR_HOME": str(folder / "home"), "FLWR_TELEMETRY_ENABLED": "0"}
    done = subprocess.run(
        [FLWR, "build", "--app", ROOT], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    (fab,) = folder.glob("*.fab")
    assert done.returncode == 0, done.stdout + done.stderr
    assert fab.stat().st_size < 2.2e6
    with zipfile.ZipFile(fab) as archive:
        archive.extractall(folder / "app")
    return folder / "app"


def test_only_what_a_run_needs_is_in_it(bundle):
    tops = {path.name for path in bundle.iterdir()}
    assert {"fedlab", "strategies", "clients", "experiments", "pyproject.toml"} <= tops
    assert not tops & {"tests", "docs", "benchmarks", "docker", "keys", "runs", "README.md", "CHANGELOG.md"}
    parts = {path.name for path in (bundle / "fedlab").iterdir()}
    assert not parts & {"cli", "compare", "paper", "reprice", "sweep"}
    assert (bundle / "fedlab" / "devices" / "profiles" / "jetson-tx2.toml").is_file()


def test_server_clients_and_strategies_load_from_it_alone(bundle):
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=bundle, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
