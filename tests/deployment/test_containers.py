"""The containers of docker-compose.yml, from the build to the last volume, on a real Docker engine.

Where an engine's builds have no network, `make wheels` gives them the packages.
"""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509

ROOT = Path(__file__).parents[2]
PARTS = ("fedlab", "strategies", "clients", "experiments", "docker")
FILES = (
    "constraints.txt",
    "pyproject.toml",
    "README.md",
    "LICENSE",
    "Dockerfile",
    "docker-compose.yml",
    ".dockerignore",
)
LIMIT_SECONDS = 1500.0
SETTINGS = (
    "backbone.name=bert-tiny task.limit=300 task.max_length=24 rounds=4 client.depth=1"
    " strategy.name=fedavg strategy.options={clients_per_round=3}"
)
ALONE = SETTINGS.replace("clients_per_round=3", "clients_per_round=1")


def answers(*command: str) -> bool:
    return (
        shutil.which(command[0]) is not None
        and not subprocess.run(command, capture_output=True, check=False).returncode
    )


def missing() -> str:
    """Say what keeps containers from running here, nothing if nothing does."""
    if not answers("docker", "version"):
        return "no Docker engine answers: `docker version` fails"
    if not answers("docker", "compose", "version") and not answers("docker-compose", "version"):
        return "there is neither `docker compose` nor docker-compose"
    return ""


pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(missing()), reason=missing())]


def base_image() -> str:
    """Return the base image to build on, empty for the Dockerfile's own; an engine without network has what it has."""
    named = os.environ.get("FEDLAB_PYTHON", "")
    wheels = any((ROOT / "docker/wheels").glob("*.whl"))
    return named or ("python:3.11-slim" if wheels and answers("docker", "image", "inspect", "python:3.11-slim") else "")


class Containers:
    """A copy of the project with an image, keys and services of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for part in PARTS:
            shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        for name in FILES:
            shutil.copy(ROOT / name, folder)
        self.name = f"fedlab-{folder.name}-{os.getpid()}".lower().replace("_", "-")
        self.environment = os.environ | {
            "FEDLAB_IMAGE": self.name,
            "FEDLAB_KEYS": str(folder / "keys"),
            "COMPOSE_PROJECT_NAME": self.name,
            "FEDLAB_PORT": "127.0.0.1:",
            "FEDLAB_PYTHON": base_image(),
            "FEDLAB_HOSTS": "",
        }

    def __call__(self, *words: str, check: bool = True) -> str:
        done = subprocess.run(
            words,
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=LIMIT_SECONDS,
        )
        assert not check or done.returncode == 0, f"{words}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout

    def service(self, name: str) -> str:
        """Return the id of a service's container."""
        label = f"label=com.docker.compose.service={name}"
        project = f"label=com.docker.compose.project={self.name}"
        return self("docker", "ps", "-aq", "--filter", label, "--filter", project).strip()

    def inside(self, service: str, *words: str, check: bool = True) -> str:
        return self("docker", "exec", self.service(service), *words, check=check)

    def records(self, name: str) -> list[dict]:
        text = self.inside("serverapp", "cat", f"/runs/boxed/{name}", check=False)
        return [json.loads(line) for line in text.splitlines()]

    def wait(self, until: Callable[[], object]) -> None:
        deadline = time.monotonic() + LIMIT_SECONDS
        while not until():
            assert time.monotonic() < deadline, self("docker", "logs", self.service("serverapp"), check=False)
            time.sleep(2)

    def wait_for_rounds(self, count: int) -> None:
        self.wait(lambda: len(self.records("rounds.jsonl")) >= count)

    def rounds_without(self, partition: int) -> set[int]:
        """Return the rounds that ended without the work of a partition: it was not asked, or dropped out."""
        ended = {each["server_round"] for each in self.records("rounds.jsonl")}
        parts = [each for each in self.records("clients.jsonl") if each["partition_id"] == partition]
        return ended - {each["server_round"] for each in parts if each.get("error") is None}

    def summary(self) -> dict:
        return json.loads(self.inside("serverapp", "cat", "/runs/boxed/summary.json", check=False) or "{}")

    def statuses(self) -> list[str]:
        """Return how the runs stand in the eyes of the SuperLink."""
        listed = self("docker/compose", "run", "--rm", "flwr", "flwr", "ls", "lab", "--format", "json")
        return [each["status"] for each in json.loads(listed[listed.index("{") :])["runs"]]

    def hosts(self, service: str) -> str:
        """Return the certificate that a service shows in the containers' network, in words."""
        show = f"import ssl; print(ssl.get_server_certificate(({service!r}, 8000)))"
        pem = self("docker/compose", "run", "--rm", "flwr", "python", "-c", show)
        certificate = x509.load_pem_x509_certificate(pem[pem.index("-----BEGIN") :].encode())
        return str(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)


@pytest.fixture
def containers(tmp_path):
    made = Containers(tmp_path)
    yield made
    made("docker/down", "--volumes", check=False)
    made("docker", "rmi", "-f", made.name, check=False)


def test_a_run_in_containers_survives_a_killed_client_and_leaves_nothing_behind(containers):
    containers("docker/up", "three", f"settings='{SETTINGS}' run='boxed' wait-seconds=600")
    containers.wait_for_rounds(1)
    containers("docker", "kill", containers.service("client-2"))
    containers.wait(lambda: containers.rounds_without(2))
    containers("docker", "start", containers.service("client-2"))
    containers("docker", "restart", containers.service("client-1"))
    containers.wait(containers.summary)

    assert containers.summary()["status"] == "finished"
    containers.wait(lambda: containers.statuses() != ["running"])  # the app's process ends after its last file
    assert containers.statuses() == ["finished:completed"]
    assert [each["server_round"] for each in containers.records("rounds.jsonl")] == [1, 2, 3, 4]
    assert "round 4" in containers("docker/follow")
    assert {each["partition_id"] for each in containers.records("clients.jsonl")} == {0, 1, 2}
    assert_clients_see_the_gateway_alone(containers)

    containers.environment["FEDLAB_HOSTS"] = "lab.example 10.1.2.3"
    containers("docker/up", "one", f"settings='{ALONE}' run='alone'")
    assert containers.service("client-0")
    assert [containers.service(f"client-{number}") for number in range(1, 6)] == [""] * 5
    assert all(host in containers.hosts("gateway") for host in ("lab.example", "10.1.2.3", "superlink", "localhost"))

    containers("docker/down", "--volumes")
    for kind in ("container", "volume", "network"):
        listed = containers(
            "docker", kind, "ls", "-q", "--filter", f"label=com.docker.compose.project={containers.name}"
        )
        assert listed == "", kind


def assert_clients_see_the_gateway_alone(containers: Containers) -> None:
    reach = "import socket, sys; socket.create_connection((sys.argv[1], 8000), timeout=5)"
    for address in ("superlink", address_of(containers, "superlink")):
        status = subprocess.run(
            ["docker", "exec", containers.service("client-0"), "python", "-c", reach, address],
            capture_output=True,
            check=False,
        )
        assert status.returncode == 1, f"clients reach {address}"
    assert containers.inside("client-0", "python", "-c", reach, "gateway") == ""
    assert containers.inside("client-0", "id", "-u").strip() != "0"
    assert containers.inside("client-0", "sh", "-c", "command -v gcc cc ld || true") == ""


def address_of(containers: Containers, service: str) -> str:
    form = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
    return containers("docker", "inspect", "--format", form, containers.service(service)).strip()
