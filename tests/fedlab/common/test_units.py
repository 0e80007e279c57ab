import pytest

from fedlab.common.units import counted, human_bytes, human_joules, human_seconds, human_share, parse_bandwidth
from fedlab.errors import UserError


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.00 kB"), (1_500_000, "1.50 MB"), (2.44e9, "2.44 GB"), (7e15, "7000 TB")],
)
def test_bytes_are_in_decimal_units(count, text):
    assert human_bytes(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0.00 s"), (59.4, "59.4 s"), (90.0, "1.50 min"), (3600.0, "1.00 h"), (4680.0, "1.30 h"), (172800, "2.00 d")],
)
def test_seconds_are_in_the_largest_unit_they_reach(seconds, text):
    assert human_seconds(seconds) == text


@pytest.mark.parametrize(("joules", "text"), [(12.0, "12.0 J"), (54_321, "54.3 kJ"), (3.6e6, "3.60 MJ")])
def test_joules_have_three_figures(joules, text):
    assert human_joules(joules) == text


def test_what_rounds_to_the_next_unit_is_shown_in_it():
    assert human_bytes(999_960) == "1.00 MB"
    assert human_bytes(999_400) == "999 kB"


def test_a_figure_that_rounds_up_does_not_gain_a_digit():
    assert human_joules(9.996) == "10.0 J"
    assert human_joules(99.96) == "100 J"


def test_an_accuracy_not_measured_is_a_dash():
    assert human_share(None) == "-"
    assert human_share(0.8125) == "0.812"


@pytest.mark.parametrize(
    ("text", "bytes_per_second"),
    [
        ("1MB/s", 1e6),
        ("8Mbit/s", 1e6),
        (" 0.1 MB/s ", 1e5),
        ("500 kB/s", 5e5),
        ("2GB/s", 2e9),
        ("1Gbit/s", 125e6),
        ("64kbit/s", 8e3),
        ("1e3B/s", 1e3),
        (1e6, 1e6),
        (250, 250.0),
    ],
)
def test_a_bandwidth_is_read_in_powers_of_1000(text, bytes_per_second):
    assert parse_bandwidth(text) == pytest.approx(bytes_per_second)


@pytest.mark.parametrize(
    ("text", "bytes_per_second"),
    [("10Mbit/s", 1_310_720), ("1GB/s", 1024**3), ("8kbit/s", 1024), ("8bit/s", 1), ("5B/s", 5), (250.0, 250)],
)
def test_a_prefix_can_be_a_power_of_1024(text, bytes_per_second):
    assert parse_bandwidth(text, thousand=1024) == pytest.approx(bytes_per_second)


@pytest.mark.parametrize(
    "wrong", ["", "fast", "1", "1 MB", "1 mb/s", "1 MiB/s", "-1MB/s", "0MB/s", "1.2.3MB/s", 0, -5, True, None, [1]]
)
def test_a_bandwidth_that_is_none_is_refused_with_the_accepted_forms(wrong):
    with pytest.raises(UserError, match=r"expected a number above zero with a unit of .*MB/s.*Mbit/s"):
        parse_bandwidth(wrong)


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_a_bandwidth_is_finite(wrong):
    with pytest.raises(UserError):
        parse_bandwidth(wrong)


@pytest.mark.parametrize(("count", "said"), [(0, "0 trials"), (1, "1 trial"), (1200, "1,200 trials")])
def test_a_noun_has_an_s_unless_there_is_one(count, said):
    assert counted(count, "trial") == said
