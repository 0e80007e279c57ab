import pytest

from fedlab.results.html.boards import BoardFacts, board_facts, board_of
from fedlab.results.html.costs import (
    cost_groups,
    joules_columns,
    levels_of,
    memory_columns,
    memory_peaks,
    processors_of,
    seconds_columns,
    traffic_columns,
)


@pytest.fixture
def boards():
    facts = BoardFacts(
        name="jetson-tx2", description="", memory_bytes=4 * 10**9, communicating_watts=2.0, enforced=True, figures=()
    )
    return {"jetson-tx2": facts, "mine": "no device profile of mine is at hand"}


def test_boards_are_taken_without_the_throughput_of_a_client():
    assert [board_of(each) for each in ("jetson-tx2 x0.45", "jetson-tx2", "a x b.toml", "x x1e-05")] == [
        "jetson-tx2", "jetson-tx2", "a x b.toml", "x",
    ]  # fmt: skip


def test_the_processors_of_a_client_are_those_of_its_passes(client):
    passes = [{"kind": "forward", "processor": "npu"}, {"kind": "backward"}, {"kind": "forward", "processor": "npu"}]

    assert processors_of(client(passes=passes)) == "npu + default"
    assert processors_of(client()) == "-"


def test_energy_is_split_by_stage_at_the_power_of_transfers(client, boards):
    (group,) = cost_groups([client(), client(partition_id=1, device="jetson-tx2 x0.5")], boards)

    assert (group.board, group.parts) == ("jetson-tx2", 2)
    assert group.seconds == {"download": 2.0, "compute": 8.0, "upload": 4.0, "wait": 6.0}
    assert group.joules == {"download": 4.0, "compute": 24.0, "upload": 8.0, "wait": 4.0}  # of 40 in all
    assert (group.bytes_down, group.bytes_up) == (200, 100)
    assert (group.latency_levels, group.energy_levels) == ({"published": 2}, {"assumed": 2})


def test_energy_is_of_work_and_waiting_where_the_powers_are_not_known_or_are_others(client, boards):
    unknown, other = cost_groups([client(device="mine"), client(joules=5.0)], boards)[::-1]

    assert unknown.joules == {"work": 18.0, "wait": 2.0}
    assert other.joules == {"work": 3.0, "wait": 2.0}  # transfers alone would take 6


def test_columns_have_a_row_for_each_board_processor_and_stage(client, boards):
    groups = cost_groups([client(device="mine", joules=0.0, idle_joules=0.0), client()], boards)

    assert seconds_columns(groups)["value"] == [1, 4, 2, 3, 1, 4, 2, 3]
    assert set(joules_columns(groups)["board"]) == {"jetson-tx2"}  # of the other nothing is known
    assert traffic_columns(groups)["value"] == [100, 50, 100, 50]


def test_memory_is_compared_with_the_limit_where_that_is_known(client, boards):
    lost = client(dropout="memory", error="out of memory: depth 2 needs 9 GB", peak_memory_bytes=0)

    tx2, mine = memory_peaks([client(), lost, client(device="mine")], boards)

    assert (tx2.peak_bytes, tx2.limit_bytes, tx2.out_of_memory) == (10**9, 4 * 10**9, 1)
    assert tx2.example == "out of memory: depth 2 needs 9 GB"
    assert mine.limit_bytes is None
    assert memory_columns([tx2, mine]) == {"board": ["jetson-tx2"], "share": [0.25], "peak": [10**9]}


def test_levels_are_counted_from_the_surest_to_the_least_sure():
    assert list(levels_of(["assumed", "", "published", "assumed"]).items()) == [("published", 1), ("assumed", 2)]


def test_figures_of_a_board_have_their_source_and_a_missing_profile_is_said():
    found = board_facts(["jetson-tx2 x0.5", "gone.toml"], {"fleet": {"memory_limit": False}})

    assert list(found) == ["jetson-tx2", "gone.toml"]
    assert found["gone.toml"] == "no device profile of gone.toml is at hand"
    assert not found["jetson-tx2"].enforced
    memory = next(each for each in found["jetson-tx2"].figures if each.name == "memory")
    assert memory.level in ("published", "assumed")
    assert memory.source
