"""A trace lets exactly the bytes pass that its file says, however long a transfer goes on and whenever it starts."""

from fractions import Fraction
from itertools import cycle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedlab.errors import UserError
from fedlab.network.traces import Trace, read_trace, trace_of_rates

# Stretches of (whole seconds, bytes per second), in some of which nothing passes.
STRETCHES = st.lists(st.tuples(st.integers(1, 5), st.sampled_from([0, 0, 1, 3, 7, 50])), min_size=1, max_size=6).filter(
    lambda stretches: any(rate for _, rate in stretches)
)
STARTS = st.integers(0, 400).map(lambda eighths: eighths / 8)
SIZES = st.integers(1, 3000)


def looped(stretches: list[tuple[int, int]]) -> Trace:
    ends = [sum(length for length, _ in stretches[: place + 1]) for place in range(len(stretches))]
    return trace_of_rates([0, *ends[:-1]], [rate for _, rate in stretches], period_seconds=ends[-1])


def integrated(stretches: list[tuple[int, int]], num_bytes: int, start: float) -> float:
    """Add up what passes, stretch by stretch, in exact fractions."""
    left, now = Fraction(num_bytes), Fraction(start) % sum(length for length, _ in stretches)
    start, end = now, Fraction(0)
    for length, rate in cycle(stretches):
        end += length
        if end <= now:
            continue
        if rate and left <= rate * (end - now):
            return float(now + left / rate - start)
        left -= rate * (end - now)
        now = end
    raise AssertionError


@pytest.fixture
def file(tmp_path):
    """Write a trace and return its path."""

    def write(text: str, name: str = "trace.csv"):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


def refusal(act) -> str:
    with pytest.raises(UserError) as caught:
        act()
    return str(caught.value)


def test_a_transfer_goes_on_through_the_stretches_of_a_trace(file):
    path = file("seconds,bytes_per_second\n0,100\n10,0\n15,300\n")
    trace = read_trace(path, period_seconds=20)
    assert trace.transfer_seconds(500, 0) == 5
    assert trace.transfer_seconds(1000, 0) == 10  # the last byte passes just before the outage
    assert trace.transfer_seconds(1001, 0) == pytest.approx(15 + 1 / 300)
    assert trace.transfer_seconds(600, 12) == 5  # 3 s of outage, then 2 s
    assert trace.transfer_seconds(2500 * 1000, 0) == pytest.approx(20 * 1000)  # a thousand periods of 2500 bytes
    assert trace.transfer_seconds(2500 * 1000 + 100, 20e6) == pytest.approx(20 * 1000 + 1)


def test_without_a_period_the_last_bandwidth_holds_for_ever(file):
    trace = read_trace(file("seconds,bytes_per_second\n0,100\n10,50\n"))
    assert trace.transfer_seconds(1000 + 50, 0) == 11
    assert trace.transfer_seconds(100, 1e6) == pytest.approx(2)


def test_a_packet_delivery_file_lets_1500_bytes_pass_by_each_of_its_milliseconds(file):
    trace = read_trace(file("2\n2\n5\n10\n", "cell.down"))
    assert trace.period_seconds == 0.010
    assert trace.transfer_seconds(3000, 0) == pytest.approx(0.002)
    assert trace.transfer_seconds(3001, 0) == pytest.approx(0.004 + 1 / 1_500_000)
    assert trace.transfer_seconds(4500, 0) == pytest.approx(0.005)
    assert trace.transfer_seconds(6000, 0) == pytest.approx(0.010)
    assert trace.transfer_seconds(6000 + 3000, 0) == pytest.approx(0.012)


def test_one_packet_a_millisecond_is_12_megabits_a_second(file):
    for text in ("1\n", "1\n2\n3\n4\n"):
        assert read_trace(file(text, "12Mbps")).transfer_seconds(1_500_000 * 600, 7.0) == pytest.approx(600)


def test_a_packet_at_millisecond_0_passes_when_the_file_starts_over(file):
    assert read_trace(file("0\n1\n2\n3\n", "link")).transfer_seconds(6000 * 1000, 0) == pytest.approx(3.0)


def test_no_bytes_take_no_time_even_in_an_outage():
    assert trace_of_rates([0, 5], [0, 1], 10).transfer_seconds(0, 2) == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0\n1x\n", "line 2: '1x', expected whole milliseconds, not less than in the line before"),
        ("5\n4\n", "line 2: '4', expected whole milliseconds"),
        ("-1\n", "line 1: '-1', expected whole milliseconds"),
        ("1.5\n", "line 1: '1.5', expected whole milliseconds"),
        ("9" * 5000, "line 1: '9999"),
        ("0\n0\n", "no timestamp above 0 ms"),
        ("", "no timestamp above 0 ms"),
    ],
)
def test_a_line_that_is_no_timestamp_is_named(file, text, said):
    path = file(text, "cell.up")
    assert refusal(lambda: read_trace(path)).startswith(f"{path}")
    assert said in refusal(lambda: read_trace(path))


@pytest.mark.parametrize(
    ("rows", "period", "said"),
    [
        ("1,5\n", None, "line 2: seconds is 1, expected 0 in the first row"),
        ("0,5\n3,5\n3,6\n", None, "line 4: seconds is 3, expected 0 in the first row and a rise"),
        ("0,-5\n", None, "line 2: bytes_per_second is -5, expected a number from 0 up"),
        ("0,fast\n", None, "line 2: bytes_per_second is 'fast', expected a number"),
        ("0,5\n3,0\n", None, "the last bytes_per_second is 0 and would hold for ever"),
        ("0,0\n3,0\n", 5, "is 0 in every row, so no message would ever arrive"),
        ("0,5\n3,5\n", 3, "period_seconds is 3, expected more than its last, 3"),
        ("0,5\n", "long", "period_seconds is 'long', expected more"),
    ],
)
def test_a_row_that_cannot_be_is_named(file, rows, period, said):
    path = file("seconds,bytes_per_second\n" + rows)
    assert said in refusal(lambda: read_trace(path, period))


def test_a_period_is_not_for_packet_delivery_files(file):
    assert "period_seconds is for CSV" in refusal(lambda: read_trace(file("1\n", "cell"), 5))


def test_a_missing_file_is_named(tmp_path):
    assert str(tmp_path / "gone.csv") in refusal(lambda: read_trace(tmp_path / "gone.csv"))


@given(STRETCHES, SIZES, STARTS)
def test_a_transfer_takes_as_long_as_integration_step_by_step(stretches, num_bytes, start):
    found = looped(stretches).transfer_seconds(num_bytes, start)
    assert found == pytest.approx(integrated(stretches, num_bytes, start), rel=1e-9, abs=1e-9)


@given(STRETCHES, SIZES, SIZES, STARTS)
def test_a_message_in_two_pieces_takes_as_long_as_in_one(stretches, first, second, start):
    trace = looped(stretches)
    halfway = trace.transfer_seconds(first, start)
    rest = trace.transfer_seconds(second, start + halfway)
    assert halfway + rest == pytest.approx(trace.transfer_seconds(first + second, start), rel=1e-9, abs=1e-9)


@given(STRETCHES, SIZES, SIZES, STARTS)
def test_more_bytes_never_take_less_time(stretches, num_bytes, more, start):
    trace = looped(stretches)
    assert trace.transfer_seconds(num_bytes, start) <= trace.transfer_seconds(num_bytes + more, start)


@given(STRETCHES, SIZES, STARTS, STARTS)
def test_who_starts_later_never_ends_earlier(stretches, num_bytes, one, other):
    trace, (early, late) = looped(stretches), sorted((one, other))
    ends = early + trace.transfer_seconds(num_bytes, early)
    assert late + trace.transfer_seconds(num_bytes, late) >= ends - 1e-9


@given(STRETCHES, st.lists(st.integers(0, 9), min_size=6, max_size=6), SIZES, STARTS)
def test_a_faster_trace_never_takes_longer(stretches, faster, num_bytes, start):
    fast = [(length, rate + more) for (length, rate), more in zip(stretches, faster, strict=False)]
    slow_seconds = looped(stretches).transfer_seconds(num_bytes, start)
    assert looped(fast).transfer_seconds(num_bytes, start) <= slow_seconds + 1e-9


@given(STRETCHES, SIZES, STARTS, st.integers(0, 10**6))
def test_a_trace_starts_over_exactly(stretches, num_bytes, start, periods):
    trace = looped(stretches)
    again = trace.transfer_seconds(num_bytes, start + periods * trace.period_seconds)
    assert again == pytest.approx(trace.transfer_seconds(num_bytes, start), rel=1e-9, abs=1e-9)


@given(STRETCHES, SIZES, STARTS)
def test_a_trace_that_holds_is_one_that_starts_over_late(stretches, num_bytes, start):
    lasting = [*stretches, (10**6, 50)]
    seconds = [sum(length for length, _ in lasting[:place]) for place in range(len(lasting))]
    holding = trace_of_rates(seconds, [rate for _, rate in lasting])
    assert holding.transfer_seconds(num_bytes, start) == pytest.approx(
        looped(lasting).transfer_seconds(num_bytes, start)
    )
