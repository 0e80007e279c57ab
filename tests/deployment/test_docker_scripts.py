"""What docker/up and docker/follow say, with a `docker` that only notes what it is asked."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCKER = """#!/bin/sh
echo "$*" >> "$LOG"
case "$*" in
    build*) exit ${BUILD:-0} ;;
    "compose ps -q superlink") echo "$RUNNING" ;;
    *"ls lab"*) echo '"run-id": "7"' ;;
    *"deploy keys"*) mkdir -p "$FEDLAB_KEYS"; echo certificate > "$FEDLAB_KEYS/server.pem" ;;
esac
"""


@pytest.fixture
def script(tmp_path):
    """Return a function that runs a script, and the words with which docker was called."""
    shutil.copytree(ROOT / "docker", tmp_path / "docker")
    (tmp_path / "docker" / "wheels").mkdir(exist_ok=True)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "docker").write_text(DOCKER)
    (tmp_path / "bin" / "docker").chmod(0o755)

    def run(name, **environment):
        path = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"
        own = {"PATH": path, "LOG": str(tmp_path / "log"), "FEDLAB_USER": f"{os.getuid()}:{os.getgid()}"}
        keys = {"FEDLAB_KEYS": str(tmp_path / "keys")}
        return subprocess.run(
            [tmp_path / "docker" / name],
            env=os.environ | own | keys | environment,
            capture_output=True,
            text=True,
            check=False,
        )

    run.asked = lambda: (tmp_path / "log").read_text().splitlines()
    run.wheels = tmp_path / "docker" / "wheels"
    return run


def test_up_ends_with_the_next_step(script):
    done = script("up")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == (
        "docker/up: the run is submitted; docker/follow shows its log, docker/down stops everything"
    )


def test_a_build_without_network_names_the_remedy_and_starts_nothing(script):
    for wheel in script.wheels.glob("*.whl"):
        wheel.unlink()
    done = script("up", BUILD="1")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "docker/up: the image cannot be built; if builds have no network, run `make wheels` once, then this again"
    )
    assert not any(" up " in words for words in script.asked())


def test_a_build_that_lacks_a_package_says_so(script):
    (script.wheels / "one.whl").touch()
    assert "if a package of docker/wheels is missing, run: make wheels" in script("up", BUILD="1").stderr


def test_follow_after_down_says_what_happened_and_makes_no_network(script):
    done = script("follow", RUNNING="")
    assert done.returncode == 2
    assert done.stderr.startswith("docker/follow: the services do not run: docker/up starts them")
    assert not any(" run " in words for words in script.asked())


def test_follow_shows_the_latest_run(script):
    assert script("follow", RUNNING="abc").returncode == 0
    assert script.asked()[-1].endswith("run --rm flwr flwr log 7 lab")
