"""Drawn bandwidths depend on the seed, the client and the round alone, and keep the order of their distributions."""

from statistics import NormalDist, fmean

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedlab.errors import UserError
from fedlab.network.bandwidths import log_normal, table, uniform
from fedlab.network.links import Link

ROWS = "partition_id,down_bytes_per_second,up_bytes_per_second\n"
CLIENTS = st.tuples(st.integers(0, 10**5), st.integers(1, 1000))


def speed(link: Link, partition_id: int = 0, server_round: int = 1, direction: str = "down") -> float:
    """Return the bytes per second at which a megabyte goes through."""
    return 1e6 / link.transfer_seconds(
        10**6, direction=direction, partition_id=partition_id, server_round=server_round, start_seconds=0.0
    )


def speeds(link: Link, draws: int = 400) -> np.ndarray:
    return np.array([speed(link, partition_id) for partition_id in range(draws)])


@pytest.fixture
def written(tmp_path):
    """Write a table of bandwidths and return the options that name it."""

    def write(text: str) -> dict:
        (tmp_path / "speeds.csv").write_text(text)
        return {"path": "speeds.csv", "base_folder": str(tmp_path)}

    return write


def test_a_uniform_link_fills_its_range_evenly():
    found = speeds(uniform("1MB/s", "3MB/s"))
    assert found.min() == pytest.approx(1e6, rel=0.02)
    assert found.max() == pytest.approx(3e6, rel=0.02)
    assert found.mean() == pytest.approx(2e6, rel=0.05)


def test_a_log_normal_link_has_its_median_and_its_spread():
    logs = np.log(speeds(log_normal("2MB/s", sigma=0.5)))
    assert np.median(logs) == pytest.approx(np.log(2e6), abs=0.1)
    assert logs.std() == pytest.approx(0.5, rel=0.1)


def test_a_log_normal_link_is_cut_off_and_not_piled_up_at_its_bounds():
    found = speeds(log_normal("2MB/s", sigma=1.0, minimum="1MB/s", maximum="3MB/s"))
    assert found.min() > 1e6
    assert found.max() < 3e6
    normal = NormalDist()
    low, high = np.log(0.5), np.log(1.5)
    below = (normal.cdf(0) - normal.cdf(low)) / (normal.cdf(high) - normal.cdf(low))  # the share under the old median
    assert (found < 2e6).mean() == pytest.approx(below, abs=0.07)


def test_without_spread_a_log_normal_link_is_constant():
    assert speed(log_normal("2MB/s", sigma=0.0)) == pytest.approx(2e6)
    assert speed(log_normal("2MB/s", sigma=0.0, minimum="2MB/s", maximum="2MB/s")) == pytest.approx(2e6)


@pytest.mark.parametrize("make", [uniform, lambda low, high, **more: log_normal(low, maximum=high, **more)])
def test_draws_are_new_each_round_or_once_a_client(make):
    by_round, by_client = make("1MB/s", "9MB/s", seed=5), make("1MB/s", "9MB/s", seed=5, per="client")
    assert len({speed(by_round, 3, server_round) for server_round in range(1, 9)}) == 8
    assert len({speed(by_client, 3, server_round) for server_round in range(1, 9)}) == 1
    assert len({speed(by_client, partition_id) for partition_id in range(8)}) == 8


def test_draws_are_those_of_the_seed_whatever_was_asked_before():
    link, again = uniform(1e6, 2e6, seed=5), uniform(1e6, 2e6, seed=5)
    speeds(again, 10)
    assert speed(link, 7, 3) == speed(again, 7, 3)
    assert speed(link, 7, 3) != speed(uniform(1e6, 2e6, seed=6), 7, 3)


def test_down_and_up_share_a_draw_and_latency_is_added():
    link = uniform(1e6, 2e6)
    assert speed(link, direction="down") == speed(link, direction="up")
    late = uniform(1e6, 1e6, latency_seconds=0.5)
    assert late.transfer_seconds(2_000_000, direction="up", partition_id=0, server_round=1, start_seconds=9.0) == 2.5


@pytest.mark.parametrize(
    ("make", "options", "said"),
    [
        (uniform, {"low": "2MB/s", "high": "1MB/s"}, "low is '2MB/s' and high is '1MB/s', expected low to be at most"),
        (uniform, {"low": 0, "high": 1}, "bandwidth 0 is not usable"),
        (uniform, {"low": 1, "high": 2, "per": "year"}, "per is 'year', accepted: client, round"),
        (uniform, {"low": 1, "high": 2, "latency_seconds": -1}, "latency_seconds is -1"),
        (log_normal, {"sigma": -0.1}, "sigma is -0.1, expected a number from 0 to 10"),
        (log_normal, {"sigma": "wide"}, "sigma is 'wide', expected a number from 0 to 10"),
        (log_normal, {"sigma": 1000}, "sigma is 1000, expected a number from 0 to 10"),
        (log_normal, {"median": 5, "minimum": 6}, "median 5 is not between minimum 6 and maximum None"),
        (log_normal, {"median": 5, "maximum": 4}, "median 5 is not between minimum None and maximum 4"),
    ],
)
def test_options_that_cannot_be_are_refused(make, options, said):
    with pytest.raises(UserError) as caught:
        make(**options)
    assert said in str(caught.value)


def test_a_table_gives_each_client_its_row_and_repeats(written):
    link = table(**written(ROWS + "5,8000000,4000000\n2,1000000,500000\n"))
    assert [speed(link, partition_id) for partition_id in range(3)] == pytest.approx([1e6, 8e6, 1e6])
    assert [speed(link, partition_id, direction="up") for partition_id in range(3)] == pytest.approx([5e5, 4e6, 5e5])


def test_a_table_with_deviations_is_drawn_from_for_each_round_and_direction(written):
    columns = ROWS.strip() + ",down_sigma_bytes_per_second,up_sigma_bytes_per_second\n"
    link = table(**written(columns + "0,2000000,2000000,200000,200000\n1,1000000,1000000,900000,\n"), seed=1)
    down = [speed(link, 0, server_round) for server_round in range(1, 301)]
    up = [speed(link, 0, server_round, "up") for server_round in range(1, 301)]
    assert fmean(down) == pytest.approx(2e6, rel=0.02)
    assert np.std(down) == pytest.approx(2e5, rel=0.15)
    assert not set(down) & set(up)
    wide = [speed(link, 1, server_round) for server_round in range(1, 301)]
    assert min(wide) >= 1e4 * (1 - 1e-9)  # a hundredth of the mean
    assert speed(link, 1, direction="up") == pytest.approx(1e6)  # an empty field is no deviation


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (ROWS, "no rows"),
        ("partition_id,down_bytes_per_second\n0,1\n", "line 1: no column up_bytes_per_second"),
        (ROWS + "0,1,1\n0,2,2\n", "line 3: partition_id 0 is given twice"),
        (ROWS + "0,0,1\n", "line 2: down_bytes_per_second is 0, expected a number above 0"),
        (ROWS + "0.5,1,1\n", "line 2: partition_id is 0.5, expected a whole number from 0 up"),
    ],
)
def test_a_line_of_a_table_that_cannot_be_is_named(written, text, said):
    with pytest.raises(UserError) as caught:
        table(**written(text))
    assert said in str(caught.value)


@given(st.floats(1, 1e9), st.floats(1, 1e9), st.floats(1, 1e9), st.floats(1, 1e9), CLIENTS)
def test_a_faster_range_is_never_slower_for_anybody(low, high, other_low, other_high, client):
    (low, high), (other_low, other_high) = sorted((low, high)), sorted((other_low, other_high))
    slow = uniform(min(low, other_low), min(high, other_high))
    fast = uniform(max(low, other_low), max(high, other_high))
    assert speed(fast, *client) >= speed(slow, *client) * (1 - 1e-12)


@given(st.floats(1e3, 1e8), st.floats(1e3, 1e8), st.floats(0, 3), CLIENTS)
def test_a_faster_median_is_never_slower_for_anybody(one, other, sigma, client):
    slow, fast = (log_normal(each, sigma, minimum=1e2, maximum=1e9) for each in sorted((one, other)))
    assert speed(fast, *client) >= speed(slow, *client) * (1 - 1e-6)


@given(st.integers(0, 10**9), st.integers(0, 10**6), CLIENTS)
def test_more_bytes_never_take_less_time(num_bytes, more, client):
    partition_id, server_round = client
    keys = {"direction": "up", "partition_id": partition_id, "server_round": server_round, "start_seconds": 0.0}
    link = log_normal()
    assert link.transfer_seconds(num_bytes, **keys) <= link.transfer_seconds(num_bytes + more, **keys)
