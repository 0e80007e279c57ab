"""Clients take traces in turn, each from its own offset, and both directions can have traces of their own."""

import pytest

from fedlab.errors import UserError
from fedlab.network.links import make_link
from fedlab.network.trace_links import trace


@pytest.fixture
def folder(tmp_path):
    """Write traces: `fast` passes 1500 bytes a millisecond, `slow` half as many, `steps.csv` 100 B/s, then 300."""
    (tmp_path / "fast").write_text("1\n")
    (tmp_path / "slow").write_text("2\n")
    (tmp_path / "steps.csv").write_text("seconds,bytes_per_second\n0,100\n10,300\n")
    return str(tmp_path)


def seconds(link, num_bytes, partition_id=0, direction="down", start=0.0):
    return link.transfer_seconds(
        num_bytes, direction=direction, partition_id=partition_id, server_round=1, start_seconds=start
    )


def test_clients_take_the_traces_in_turn(folder):
    link = trace(paths=["fast", "slow"], base_folder=folder, latency_seconds=0.5)
    assert [seconds(link, 1_500_000, partition) for partition in range(3)] == pytest.approx([1.5, 2.5, 1.5])


def test_the_start_of_a_transfer_is_a_second_of_the_trace(folder):
    link = trace("steps.csv", period_seconds=20, base_folder=folder)
    assert [seconds(link, 300, start=start) for start in (0.0, 9.0, 10.0, 20.0)] == pytest.approx([3, 1 + 2 / 3, 1, 3])


def test_with_random_offsets_clients_enter_their_trace_at_different_seconds(folder):
    options = {"path": "steps.csv", "period_seconds": 20, "random_offset": True, "base_folder": folder}
    link, again, other = trace(**options, seed=1), trace(**options, seed=1), trace(**options, seed=2)
    found = [seconds(link, 1000, partition) for partition in range(20)]
    assert found == [seconds(again, 1000, partition) for partition in range(20)]
    assert found != [seconds(other, 1000, partition) for partition in range(20)]
    assert len(set(found)) > 10
    assert all(3.33 < each < 10.01 for each in found)  # between 1000 bytes at 300 B/s and at 100 B/s


def test_each_direction_can_have_its_own_trace(folder):
    options = {"down": {"name": "trace", "path": "fast"}, "up": {"name": "trace", "path": "slow"}}
    link = make_link("asymmetric", options, seed=0, base_folder=folder)
    assert seconds(link, 1_500_000, direction="down") == pytest.approx(1)
    assert seconds(link, 1_500_000, direction="up") == pytest.approx(2)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "either path = 'FILE' or paths"),
        ({"path": "fast", "paths": ["slow"]}, "either path = 'FILE' or paths"),
        ({"paths": "fast"}, "either path = 'FILE' or paths"),
        ({"path": "steps.csv", "random_offset": True}, "random_offset needs traces that repeat"),
        ({"path": "fast", "latency_seconds": -1}, "latency_seconds is -1"),
        ({"path": "none"}, "none, after line 0: cannot be read"),
    ],
)
def test_options_that_cannot_be_are_refused(folder, options, said):
    with pytest.raises(UserError) as caught:
        trace(**options, base_folder=folder)
    assert said in str(caught.value)
