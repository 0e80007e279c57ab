"""A client that hangs over an order, and what the run makes of it once it has come to."""

import pytest

CLIENT = '''
"""The built-in client, which in the first round waits as long as there is a file for its partition."""

import time
from pathlib import Path

from flwr.clientapp import ClientApp

from clients.adapter import adapter
from fedlab.messages.orders import read_order


def waiting(*, gates: str, **options) -> ClientApp:
    app, inner = ClientApp(), adapter(**options)

    @app.train()
    def train(message, context):
        partition = context.node_config["partition-id"]
        if read_order(message).server_round == 1:
            Path(gates, f"in-{partition}").touch()
            while Path(gates, f"closed-{partition}").exists():
                time.sleep(0.1)
        return inner(message, context)

    app.query()(inner)
    return app
'''


@pytest.mark.slow
def test_a_client_that_hangs_is_left_out_until_it_is_done(lab, wait_for, tmp_path):
    gates = tmp_path / "gates"
    gates.mkdir()
    (gates / "waiting.py").write_text(CLIENT)
    (gates / "closed-1").touch()
    lab.start_link()
    for number in range(2):
        lab.join(number, "--partition", f"{number}/2", "--insecure")
    settings = (
        "rounds=30 strategy.name=fedavg strategy.options={clients_per_round=1,over_selection=2}"
        f" client.name={gates}/waiting.py:waiting client.options.gates={gates} evaluation.test_every=0"
    )
    run_id = lab.submit(settings, run="late", nodes=2)
    wait_for(lambda: lab.rounds_done("late") >= 3, "the other goes on alone", lab)
    (gates / "closed-1").unlink()

    def part_taken() -> list[tuple[int, str | None]]:
        records = lab.records("late", "clients.jsonl")
        return [(each["server_round"], each["dropout"]) for each in records if each["partition_id"] == 1]

    wait_for(lambda: len(part_taken()) > 1, "it takes part again", lab)
    lab.flwr("stop", run_id, "lab")
    first, again = part_taken()[:2]
    assert first == (1, "late")
    assert again[0] > 3
    log = (tmp_path / "runs" / "late" / "run.log").read_text()
    assert "client 1 is left out until it has finished that order" in log
    assert "client 1 has finished its abandoned order, and takes part again" in log
