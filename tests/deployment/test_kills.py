"""What is killed in the middle of a round, and what the run makes of it."""

import contextlib
import os
import signal
from pathlib import Path

import pytest

CLIENT = '''
"""The built-in client, which waits before it trains in a round as long as there is a file for that round."""

import time
from pathlib import Path

from flwr.clientapp import ClientApp

from clients.adapter import adapter
from fedlab.messages.orders import read_order


def waiting(*, gates: str, **options) -> ClientApp:
    app, inner = ClientApp(), adapter(**options)

    @app.train()
    def train(message, context):
        server_round = read_order(message).server_round
        Path(gates, f"in-{server_round}-{context.node_config['partition-id']}").touch()
        while Path(gates, f"closed-{server_round}").exists():
            time.sleep(0.1)
        return inner(message, context)

    app.query()(inner)
    return app
'''
ROUNDS = 5


@pytest.fixture
def gates(tmp_path) -> Path:
    """Return a folder with a gate for each of three rounds, and the client that waits at them."""
    folder = tmp_path / "gates"
    folder.mkdir()
    (folder / "waiting.py").write_text(CLIENT)
    for server_round in (2, 3, 4):
        (folder / f"closed-{server_round}").touch()
    return folder


@pytest.mark.slow
def test_a_killed_node_superlink_and_server_app_cost_a_run_no_round(lab, gates, wait_for):
    lab.start_link("--isolation", "process")
    lab.start_apps()
    for number in range(3):
        lab.join(number, "--partition", f"{number}/3", "--insecure")
    settings = (
        f"rounds={ROUNDS} strategy.name=fedavg strategy.options={{clients_per_round=3,min_replies=2}}"
        f" client.name={gates}/waiting.py:waiting client.options.gates={gates}"
    )
    first = lab.submit(settings, run="killed", nodes=3)

    def working(server_round: int, clients: int) -> None:
        wait_for(lambda: len(list(gates.glob(f"in-{server_round}-*"))) >= clients, f"round {server_round} begins", lab)

    working(2, 3)
    lab.kill("node-2")
    (gates / "closed-2").unlink()

    working(3, 2)
    lab.kill("superlink")
    lab.start_link("--isolation", "process")
    (gates / "closed-3").unlink()

    lab.join(2, "--partition", "2/3", "--insecure")
    working(4, 2)
    assert lab.server_apps(), lab.logs()
    for process in lab.server_apps():
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    (gates / "closed-4").unlink()
    assert lab.finish(first).startswith("finished:failed")
    second = lab.submit(settings, run="killed", nodes=3)
    assert lab.finish(second) == "finished:completed", lab.logs()

    rounds = lab.records("killed", "rounds.jsonl")
    assert [record["server_round"] for record in rounds] == [1, 2, 3, 4, 5]
    clients = lab.records("killed", "clients.jsonl")
    lost = [(each["server_round"], each["partition_id"], each["dropout"]) for each in clients if each["dropout"]]
    assert (2, 2, "gone") in lost
    assert {each["partition_id"] for each in clients if each["server_round"] == ROUNDS} == {0, 1, 2}
    assert [each["groups"][0]["failed"] for each in rounds] == [False] * ROUNDS
