"""Throughputs follow their distribution, stay within its bounds and depend on seed and client alone."""

from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from fedlab.config.schema import ThroughputTable
from fedlab.devices.throughput import read_throughputs, relative_throughputs
from fedlab.errors import UserError

PUBLISHED = {"distribution": "truncated-normal", "mean": 10, "sd": 6, "low": 1, "high": 20}


def draw(clients: int = 20_000, seed: int = 0, **table) -> np.ndarray:
    found = relative_throughputs(ThroughputTable(**table), clients, seed, Path())
    assert found is not None
    return found


def test_without_a_distribution_boards_are_as_their_profiles_say():
    assert relative_throughputs(ThroughputTable(), 5, 0, Path()) is None


def test_the_published_spread_is_in_twentieths_of_the_fastest():
    drawn = draw(**PUBLISHED)
    assert 1 / 20 <= drawn.min() < 1.1 / 20
    assert 19.9 / 20 < drawn.max() <= 1
    # Mean of the normal between 1 and 20: 10 + 6 * (phi(-1.5) - phi(1.667)) / (Phi(1.667) - Phi(-1.5)) = 10.204.
    assert drawn.mean() == pytest.approx(10.204 / 20, rel=0.01)


def test_a_truncated_normal_has_the_quantiles_of_the_normal_between_its_bounds():
    normal = NormalDist(10, 6)
    below = (normal.cdf(10) - normal.cdf(1)) / (normal.cdf(20) - normal.cdf(1))
    assert (draw(**PUBLISHED) < 0.5).mean() == pytest.approx(below, abs=0.01)


def test_uniform_throughputs_are_spread_evenly():
    drawn = draw(distribution="uniform", low=5, high=20)
    assert np.quantile(drawn, [0, 0.5, 1]) == pytest.approx([5 / 20, 12.5 / 20, 1], abs=0.01)


def test_log_normal_throughputs_have_their_median_at_the_profile():
    drawn = draw(distribution="log-normal", median=3, sigma=0.5)
    assert np.median(drawn) == pytest.approx(1, rel=0.02)
    assert np.log(drawn).std() == pytest.approx(0.5, rel=0.02)


def test_base_says_which_throughput_the_profile_stands_for():
    at_the_fastest, at_ten = draw(**PUBLISHED), draw(**PUBLISHED, base=10)
    assert at_ten == pytest.approx(2 * at_the_fastest)


def test_a_clients_draw_depends_on_the_seed_and_not_on_how_many_clients_there_are():
    assert (draw(50, **PUBLISHED) == draw(100, **PUBLISHED)[:50]).all()
    assert (draw(50, **PUBLISHED) != draw(50, seed=1, **PUBLISHED)).all()


@given(
    low=st.floats(0.01, 10),
    span=st.floats(0.01, 100),
    share=st.floats(0, 1),
    sd=st.floats(1e-6, 1e6),
    seed=st.integers(0, 99),
)
def test_truncated_normals_of_any_shape_stay_within_their_bounds(low, span, share, sd, seed):
    high = low + span
    mean = min(low + share * span, high)
    drawn = draw(20, seed, distribution="truncated-normal", mean=mean, sd=sd, low=low, high=high, base=1.0)
    assert ((low <= drawn) & (drawn <= high)).all()


def test_a_files_throughputs_go_round_where_there_are_more_clients(tmp_path):
    (tmp_path / "measured.csv").write_text("partition_id,throughput\n2,0.25\n0,1.5\n1,0.5\n")
    table = ThroughputTable(csv="measured.csv")
    found = relative_throughputs(table, 5, 0, tmp_path)
    assert list(found) == [1.5, 0.5, 0.25, 1.5, 0.5]


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ("0,1\n0,2\n", "line 3: partition_id 0 comes a second time"),
        ("0,1\n2,1\n", "no line for partition_id 1, expected all from 0 to 2"),
        ("0,0\n", "line 2: throughput is 0, expected a number above 0"),
        ("0.5,1\n", "line 2: partition_id is 0.5, expected a whole number"),
        ("0,fast\n", "line 2: throughput is 'fast', expected a number"),
        ("", "no rows"),
    ],
)
def test_a_wrong_file_is_refused_naming_the_line(tmp_path, rows, problem):
    path = tmp_path / "measured.csv"
    path.write_text("partition_id,throughput\n" + rows)
    with pytest.raises(UserError) as caught:
        read_throughputs(path)
    assert problem in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ({"distribution": "uniform", "low": 3}, "takes low, high: high is missing"),
        ({"distribution": "uniform", "low": 3, "high": 4, "mean": 3}, "takes low, high: mean is not one of them"),
        ({"distribution": "uniform", "low": 4, "high": 4}, "low = 4 is not below high = 4"),
        ({"distribution": "uniform", "low": 0, "high": 4}, "greater than or equal to 0.000000001"),
        ({**PUBLISHED, "mean": 30}, "mean = 30 is not between low = 1 and high = 20"),
        ({**PUBLISHED, "sd": float("inf")}, "finite"),
        ({**PUBLISHED, "csv": "x.csv"}, "both a distribution and a csv"),
        ({"mean": 3}, "has no distribution: mean is not one of them"),
        ({"csv": "x.csv", "base": 3}, "has no distribution: base is not one of its keys"),
        ({"distribution": "gauss"}, "'truncated-normal', 'log-normal' or 'uniform'"),
    ],
)
def test_a_distribution_that_is_not_complete_or_cannot_be_is_refused(table, problem):
    with pytest.raises(ValidationError, match=problem):
        ThroughputTable(**table)
