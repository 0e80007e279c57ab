"""A planned run's cost is the sum of its records, and a slot's is their mean times the rounds."""

import io

import pytest
from rich.console import Console

from fedlab.estimate.experiment.dry_run import PlannedRun
from fedlab.estimate.experiment.report import cost_of_run, plain_cost, render_cost
from fedlab.results.records import ClientRecord, RoundRecord


def adapters(depth=2, width=8):
    return {"set": "bottleneck", "depth": depth, "width": width}


START = adapters(0, 8)


def client(server_round, device, seconds, **changes) -> ClientRecord:
    record = {
        "group": "train",
        "partition_id": 0,
        "configuration": adapters(0, 8),
        "num_examples": 8,
        "batches": 2,
        "train_loss": 0.0,
        "compute_seconds": seconds,
        "download_seconds": 0.0,
        "upload_seconds": 0.0,
        "joules": 10 * seconds,
        "bytes_down": 100,
        "bytes_up": 200,
        "peak_memory_bytes": 1000 + server_round,
    }
    return ClientRecord(server_round=server_round, device=device, **record | changes)


def after(server_round, seconds, depth=0, width=8) -> RoundRecord:
    return RoundRecord(
        server_round=server_round,
        trial=None,
        simulated_seconds=seconds,
        configuration=adapters(depth, width),
        groups=[],
        validation_accuracy=None,
        test_accuracy=None,
        wall_seconds=0.0,
    )


@pytest.fixture
def run():
    """Three rounds of a fast and a slow client; the second began at (0, 8), the third at (2, 8)."""
    clients = [client(each, device, seconds) for each in (1, 2) for device, seconds in (("fast", 1.0), ("slow", 4.0))]
    clients += [client(3, "fast", 3.0), client(3, "slow", 12.0, bytes_up=600, dropout="late")]
    rounds = [after(1, 4.0), after(2, 8.0, depth=2), after(3, 20.0, depth=2)]
    return PlannedRun(clients=clients, rounds=rounds)


def test_all_clients_cost_the_sum_of_the_records(run):
    cost = cost_of_run(run, START)
    assert (cost.participations, cost.bytes_down, cost.bytes_up) == (6, 600, 1600)
    assert cost.joules == 10 * (1 + 4 + 1 + 4 + 3 + 12)


def test_a_slot_costs_the_mean_of_the_parts_of_each_stretch_and_the_clocks_time(run):
    slot = cost_of_run(run, START).slot
    assert [(part.first_round, part.last_round, part.configuration) for part in slot.by_segment] == [
        (1, 2, adapters(0, 8)),
        (3, 3, adapters(2, 8)),
    ]
    assert [part.seconds for part in slot.by_segment] == [8.0, 12.0]
    assert [part.joules for part in slot.by_segment] == [2 * 25.0, 75.0]
    assert slot.seconds == 20.0
    assert slot.bytes_up == 2 * 200 + 400
    assert slot.peak_memory_bytes == 1003


def test_a_board_costs_the_mean_of_its_own_parts(run):
    fast, slow = cost_of_run(run, START).by_device
    assert (fast.device, fast.participations, fast.lost) == ("fast", 3, 0)
    assert fast.estimate.seconds == pytest.approx(1 + 1 + 3)
    assert (slow.device, slow.participations, slow.lost) == ("slow", 3, 1)
    assert slow.estimate.seconds == pytest.approx(4 + 4 + 12)


def test_plain_values_have_the_keys_of_an_estimate_and_more(run):
    plain = plain_cost(cost_of_run(run, START))
    assert list(plain)[:6] == ["seconds", "bytes_down", "bytes_up", "joules", "peak_memory_bytes", "by_segment"]
    assert plain["run"] == {"participations": 6, "bytes_down": 600, "bytes_up": 1600, "joules": 250.0}
    assert [board["device"] for board in plain["by_device"]] == ["fast", "slow"]
    assert "by_segment" not in plain["by_device"][0]


def test_the_table_says_what_each_board_and_all_clients_take(run):
    console = Console(file=io.StringIO(), width=80)
    console.print(render_cost(cost_of_run(run, START), "planned"))
    text = console.file.getvalue()
    for word in ("planned", "fast", "slow", "with waits", "all rounds", "3 rounds in 20.0 s;", "6 parts", "250 J"):
        assert word in text
    assert "…" not in text
