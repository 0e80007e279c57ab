"""Links are made by name, and a faster link never takes longer."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedlab.errors import UserError
from fedlab.network.links import Link, asymmetric, constant, make_link, per_client


def seconds(
    link: Link,
    num_bytes: int,
    partition_id: int = 0,
    direction: str = "down",
    server_round: int = 1,
    start: float = 0.0,
) -> float:
    return link.transfer_seconds(
        num_bytes, direction=direction, partition_id=partition_id, server_round=server_round, start_seconds=start
    )


def made(name: str, options: dict, seed: int = 0, folder: Path = Path()) -> Link:
    return make_link(name, options, seed=seed, base_folder=str(folder))


def test_the_default_link_is_the_studys():
    assert seconds(constant(), 438_000_000) == 438.0  # 109.5 M parameters of 4 bytes at 1 MB/s


def test_a_link_is_symmetric_and_adds_its_latency_to_every_message():
    link = constant("2MB/s", latency_seconds=0.5)
    assert seconds(link, 4_000_000, direction="down") == seconds(link, 4_000_000, direction="up") == 2.5


def test_each_client_has_its_own_bandwidth_and_the_list_repeats():
    link = per_client(["1MB/s", "8Mbit/s", 4e6])
    assert [seconds(link, 4_000_000, partition) for partition in range(4)] == [4.0, 4.0, 1.0, 4.0]


@pytest.mark.parametrize("wrong", [[], "1MB/s"])
def test_per_client_wants_a_list(wrong):
    with pytest.raises(UserError, match="expected a list"):
        per_client(wrong)


@pytest.mark.parametrize("wrong", [-1.0, float("nan"), float("inf"), "1s", True])
def test_a_latency_is_a_number_from_zero_up(wrong):
    with pytest.raises(UserError, match="latency_seconds"):
        constant(latency_seconds=wrong)


def test_an_asymmetric_link_has_another_bandwidth_each_way():
    link = asymmetric(down="20MB/s", up=5e6, latency_seconds=0.25)
    assert seconds(link, 20_000_000, direction="down") == 1.25
    assert seconds(link, 20_000_000, direction="up") == 4.25


def test_each_way_may_be_any_link_and_latencies_add_up():
    up = {"name": "per_client", "bandwidths": ["1MB/s", "2MB/s"], "latency_seconds": 0.5}
    link = made("asymmetric", {"down": {"name": "constant", "bandwidth": "4MB/s"}, "up": up, "latency_seconds": 0.25})
    assert seconds(link, 4_000_000, 1, "down") == 1.25
    assert seconds(link, 4_000_000, 1, "up") == 2.75


def test_both_ways_draw_alike_unless_one_has_a_seed_of_its_own():
    drawn = {"name": "uniform", "low": "1MB/s", "high": "9MB/s"}
    alike = made("asymmetric", {"down": drawn, "up": drawn}, seed=3)
    parted = made("asymmetric", {"down": drawn, "up": drawn | {"seed": 4}}, seed=3)
    assert seconds(alike, 10**6, direction="down") == seconds(alike, 10**6, direction="up")
    assert seconds(parted, 10**6, direction="down") != seconds(parted, 10**6, direction="up")


@pytest.mark.parametrize(
    ("down", "said"),
    [
        ({"bandwidth": "1MB/s"}, "link.options.down names no link: expected a table"),
        ({"name": "constnat"}, "no such name 'constnat': did you mean 'constant'?"),
        ({"name": "constant", "speed": 1}, "unknown key link.options.down.speed: accepted: bandwidth"),
        ("fast", "bandwidth 'fast' is not usable"),
    ],
)
def test_what_is_wrong_with_one_way_is_said_with_its_place(down, said):
    with pytest.raises(UserError, match=f"^{said}".replace("?", r"\?")):
        made("asymmetric", {"down": down, "up": "1MB/s"})


@pytest.fixture
def written(tmp_path):
    """Write links of a user's own and return their folder."""
    (tmp_path / "own.py").write_text(
        "class Old:\n"
        "    def transfer_seconds(self, num_bytes, *, direction, partition_id, server_round): return 1.0\n"
        "class Mine:\n"
        "    def __init__(self, rate, seed, base_folder='.'): self.known = (rate, seed, base_folder)\n"
        "    def transfer_seconds(self, num_bytes, **keys): return self.known\n"
        "def none(): return 5\n"
    )
    return tmp_path


def test_a_link_that_takes_them_is_given_the_experiments_seed_and_folder(written):
    assert seconds(made("own.py:Mine", {"rate": 2}, seed=11, folder=written).link, 1) == (2, 11, str(written))
    assert seconds(made("own.py:Mine", {"rate": 2, "seed": 5}, seed=11, folder=written).link, 1)[1] == 5


def test_a_link_that_takes_no_start_is_refused_before_the_run(written):
    with pytest.raises(UserError, match=r"link.name = 'own.py:Old': transfer_seconds must take .*start_seconds"):
        made("own.py:Old", {}, folder=written)


def test_what_is_no_link_is_refused(written):
    with pytest.raises(UserError, match=r"link.name = 'own.py:none': the object it returns has no transfer_seconds"):
        made("own.py:none", {}, folder=written)


@given(st.floats(1, 1e10), st.floats(1, 1e10), st.integers(0, 10**12))
def test_a_faster_link_never_takes_longer(one, other, num_bytes):
    slow, fast = sorted((one, other))
    assert seconds(constant(fast), num_bytes) <= seconds(constant(slow), num_bytes)


@given(st.integers(0, 10**12), st.integers(0, 10**6))
def test_more_bytes_never_take_less_time(num_bytes, more):
    assert seconds(constant(), num_bytes) <= seconds(constant(), num_bytes + more)


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.floats(1e3, 1e9))
def test_a_message_in_two_pieces_takes_as_long_as_in_one(first, second, bandwidth):
    link = constant(bandwidth)
    assert seconds(link, first) + seconds(link, second) == pytest.approx(seconds(link, first + second))


@pytest.mark.parametrize("value", ["float('nan')", "float('inf')", "-1", "None", "'fast'", "True"])
def test_a_link_that_returns_nonsense_is_named_with_its_method_and_the_value(tmp_path, value):
    (tmp_path / "bad.py").write_text(
        f"class Bad:\n    def transfer_seconds(self, num_bytes, **keys):\n        return {value}\n"
    )
    link = made("bad.py:Bad", {}, folder=tmp_path)
    with pytest.raises(UserError, match=r"^link.name = 'bad.py:Bad': transfer_seconds returned .*, expected a finite"):
        seconds(link, 1)


def test_a_link_may_return_a_number_of_numpy(tmp_path):
    (tmp_path / "single.py").write_text(
        "import numpy as np\n"
        "class Single:\n    def transfer_seconds(self, num_bytes, **keys):\n        return np.float32(0.25)\n"
    )
    returned = seconds(made("single.py:Single", {}, folder=tmp_path), 1)
    assert (returned, type(returned)) == (0.25, float)


@pytest.mark.parametrize("bandwidth", [5e-324, "1e-300MB/s", 1e19], ids=str)
def test_a_bandwidth_with_which_nothing_arrives_or_all_at_once_is_refused(bandwidth):
    with pytest.raises(UserError, match=r"is not usable: expected 0.001 to 1e\+18 bytes per second"):
        constant(bandwidth)
