import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedlab.compare.options import ComparisonOptions
from fedlab.compare.runs import find_runs
from fedlab.compare.summary import Spread, compare
from fedlab.compare.tables import BYTES, SECONDS, common_unit, figure, share_text, sheets, spread_text

HOUR = 3600.0


@pytest.fixture
def sheets_of(recorded, tmp_path):
    def call(*runs, **options):
        for number, (curve, settings, finished) in enumerate(runs):
            recorded(f"run-{number}", curve, settings, finished=finished)
        return sheets(
            compare(find_runs([str(tmp_path)], "test"), ComparisonOptions(**{"shares": (1.0, 0.5)} | options))
        )

    return call


FT = ([(10 * HOUR, 0.4), (30 * HOUR, 0.8)], {"label": "FT"}, True)
LF = ([(5 * HOUR, 0.4), (6 * HOUR, 0.5)], {"label": "LF"}, False)


def test_there_is_a_sheet_for_time_traffic_and_energy(sheets_of):
    assert [each.title for each in sheets_of(FT)] == [
        "Time to accuracy (h)", "Traffic to accuracy (kB)", "Energy to accuracy (J)",
    ]  # fmt: skip


def test_speedups_have_a_sheet_if_there_is_a_baseline(sheets_of):
    speedup = sheets_of(FT, LF, baseline="FT")[1]

    assert speedup.title == "Speed-up over FT"
    assert speedup.rows == (("FT", "1.00x", "1.00x"), ("LF *", "-", "2.00x"))


def test_times_are_in_one_unit_and_never_is_said_with_the_best_accuracy(sheets_of):
    time = sheets_of(FT, LF)[0]

    assert time.headings == ("method", "seeds", "best", "100% (0.800)", "50% (0.400)")
    assert time.rows == (
        ("FT", "1", "0.800", "30.0", "10.0"),
        ("LF *", "1", "0.500", "never (best 0.500)", "5.00"),
    )


def test_a_target_that_some_seeds_reached_says_how_many(sheets_of):
    runs = [([(HOUR, 0.8)], {"seed": 0}, True), ([(2 * HOUR, 0.4)], {"seed": 1}, True)]

    (row,) = sheets_of(*runs, full_accuracy=0.8)[0].rows

    assert row[3:] == ("1.00 (1/2)", "1.50±0.71")


def test_a_speedup_over_some_seeds_says_how_many(sheets_of):
    ft = {"label": "FT"}
    runs = [([(HOUR, 0.8)], ft | {"seed": 0}, True), ([(2 * HOUR, 0.4)], ft | {"seed": 1}, True)]

    speedups = sheets_of(*runs, full_accuracy=0.8, baseline="FT")[1]

    assert speedups.rows[0][1:] == ("1.00x (1/2)", "1.00x")


def test_an_energy_that_nobody_knows_is_no_zero(sheets_of, tmp_path):
    sheets_of(FT)
    file = tmp_path / "run-0" / "clients.jsonl"
    file.write_text(re.sub(r'"joules": [0-9.]+', '"joules": 0.0', file.read_text()))

    energy = sheets(compare(find_runs([str(tmp_path)], "test"), ComparisonOptions(shares=(1.0,), full_accuracy=0.8)))[2]

    assert energy.rows == (("FT", "unknown"),)


def test_the_choice_of_an_oracle_stands_in_the_cells_where_it_is_not_always_the_same(sheets_of):
    runs = [
        ([(HOUR, 0.4), (9 * HOUR, 0.8)], {"label": "LF", "client.depth": 1}, True),
        ([(2 * HOUR, 0.4), (6 * HOUR, 0.8)], {"label": "LF", "client.depth": 2}, True),
    ]

    (row,) = sheets_of(*runs, oracle=("client.depth",))[0].rows

    assert row == ("LF (oracle)", "1", "0.800", "6.00 [depth 2]", "1.00 [depth 1]")


def test_settings_that_differ_are_columns_in_front(sheets_of):
    runs = [([(HOUR, 0.8)], {"link.options.bandwidth": f"'{speed}MB/s'"}, True) for speed in (10, 1)]

    time = sheets_of(*runs)[0]

    assert (time.headings[:2], time.words) == (("bandwidth", "method"), 2)
    assert [row[:2] for row in time.rows] == [("1MB/s", "fedavg"), ("10MB/s", "fedavg")]


def test_targets_that_differ_by_task_are_not_in_the_heading(sheets_of):
    runs = [([(HOUR, accuracy)], {"task.data": name}, True) for name, accuracy in (("a", 0.8), ("b", 0.6))]

    assert sheets_of(*runs)[0].headings[-2:] == ("100%", "50%")


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0.00"), (0.0217, "0.0217"), (1.0, "1.00"), (12.74, "12.7"), (171.4, "171"), (43950.0, "43950")],
)
def test_figures_have_three_significant_digits_and_no_exponent(value, text):
    assert figure(value) == text


@pytest.mark.parametrize(
    ("mean", "std", "text"),
    [(44.04, None, "44.0"), (1.304, 0.1234, "1.30±0.12"), (109.7, 12.34, "110±12"), (0.7183, 0.0012, "0.718±0.001"),
     (2.0, 0.0, "2.00±0.00")],
)  # fmt: skip
def test_a_deviation_has_two_digits_and_the_mean_as_many_decimals(mean, std, text):
    assert spread_text(Spread(mean=mean, std=std, count=3)) == text


def test_the_common_unit_is_the_medians():
    assert common_unit([40.0, 2 * HOUR, 30 * HOUR], SECONDS) == (3600.0, "h")
    assert common_unit([40.0, 50.0, 30 * HOUR], SECONDS) == (1.0, "s")
    assert common_unit([2e6], BYTES) == (1e6, "MB")
    assert common_unit([], SECONDS) == (1.0, "s")


def test_shares_are_percentages():
    assert [share_text(share) for share in (0.99, 0.995, 1.0)] == ["99%", "99.5%", "100%"]


@given(st.floats(1e-6, 1e9))
def test_a_figure_is_its_value_to_three_digits(value):
    assert float(figure(value)) == pytest.approx(value, rel=6e-3)
    assert "e" not in figure(value)
