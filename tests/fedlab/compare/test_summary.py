import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedlab.compare.options import ComparisonOptions
from fedlab.compare.runs import find_runs
from fedlab.compare.summary import compare, spread
from fedlab.errors import RunFailedError, UserError

SHARES = (1.0, 0.5)


@pytest.fixture
def compared(recorded, tmp_path):
    """Return a function that writes runs, (curve, settings) each, and compares them."""

    def call(*runs, finished=True, **options):
        for number, (curve, settings) in enumerate(runs):
            recorded(f"run-{number}", curve, settings, finished=finished)
        return compare(find_runs([str(tmp_path)], "test"), ComparisonOptions(**{"shares": SHARES} | options))

    return call


def row(comparison, method):
    (found,) = [each for each in comparison.rows if each.method == method]
    return found


def times(found):
    return [None if each.seconds is None else each.seconds.mean for each in found.outcomes]


def test_the_time_to_an_accuracy_is_that_of_the_first_round_that_reaches_it(compared):
    comparison = compared(([(10.0, 0.3), (20.0, 0.4), (30.0, 0.8), (40.0, 0.7)], {}))

    assert times(comparison.rows[0]) == [30.0, 20.0]


def test_traffic_and_energy_are_those_spent_until_then(compared):
    whole, half = compared(([(10.0, 0.4), (20.0, 0.8)], {})).rows[0].outcomes

    assert (whole.num_bytes.mean, whole.joules.mean) == (4000, 200.0)
    assert (half.num_bytes.mean, half.joules.mean) == (2000, 100.0)


def test_mean_and_deviation_are_over_seeds(compared):
    found = compared(*(([(seconds, 0.8)], {"seed": seed}) for seed, seconds in enumerate((10.0, 20.0, 60.0)))).rows

    (outcome, _) = found[0].outcomes
    assert (found[0].seeds, outcome.seconds.count) == ((0, 1, 2), 3)
    assert outcome.seconds.mean == 30.0
    assert outcome.seconds.std == pytest.approx(700**0.5)  # (20^2 + 10^2 + 30^2) / 2


def test_one_seed_has_no_deviation(compared):
    assert compared(([(10.0, 0.8)], {})).rows[0].outcomes[0].seconds.std is None


def test_full_accuracy_is_the_best_methods_mean_over_seeds(compared):
    comparison = compared(
        ([(10.0, 0.9)], {"label": "A", "seed": 0}),
        ([(10.0, 0.7)], {"label": "A", "seed": 1}),
        ([(10.0, 0.75)], {"label": "B"}),
    )

    assert comparison.rows[0].full_accuracy == pytest.approx(0.8)
    assert row(comparison, "A").best.mean == pytest.approx(0.8)


def test_a_target_that_only_some_seeds_reach_is_averaged_over_these(compared):
    found = row(
        compared(
            ([(10.0, 0.9)], {"label": "A", "seed": 0}),
            ([(10.0, 0.7), (30.0, 0.72)], {"label": "A", "seed": 1}),
        ),
        "A",
    ).outcomes[0]

    assert (found.reached, found.seeds, found.seconds.mean) == (1, 2, 10.0)


def test_a_target_that_is_never_reached_has_no_figures(compared):
    found = row(compared(([(10.0, 0.8)], {"label": "A"}), ([(10.0, 0.3)], {"label": "B"})), "B")

    assert [(each.reached, each.seconds, each.num_bytes, each.joules) for each in found.outcomes] == [
        (0, None, None, None)
    ] * 2
    assert found.best.mean == 0.3


def test_full_accuracy_can_be_given(compared):
    comparison = compared(([(10.0, 0.4), (20.0, 0.8)], {}), full_accuracy=0.6)

    assert [each.accuracy for each in comparison.rows[0].outcomes] == [0.6, 0.3]


def test_full_accuracy_can_be_that_of_a_method(compared):
    runs = (([(10.0, 0.8)], {"label": "A"}), ([(10.0, 0.5)], {"label": "B"}))

    assert {each.full_accuracy for each in compared(*runs, reference="B").rows} == {0.5}


def test_tasks_have_each_their_own_full_accuracy(compared):
    comparison = compared(([(10.0, 0.8)], {"task.data": "easy"}), ([(10.0, 0.5)], {"task.data": "hard"}))

    assert {each.setting: each.full_accuracy for each in comparison.rows} == {("easy",): 0.8, ("hard",): 0.5}
    assert comparison.setting_names == ("data",)


def test_speedups_are_the_baselines_mean_time_over_the_methods(compared):
    comparison = compared(
        ([(40.0, 0.4), (80.0, 0.8)], {"label": "A"}), ([(5.0, 0.4), (10.0, 0.8)], {"label": "B"}), baseline="A"
    )

    assert [each.speedup for each in row(comparison, "A").outcomes] == [1.0, 1.0]
    assert [each.speedup for each in row(comparison, "B").outcomes] == [8.0, 8.0]


def test_speedups_are_over_the_baseline_of_the_same_setting(compared):
    slow, fast = {"link.options.bandwidth": "'1MB/s'"}, {"link.options.bandwidth": "'10MB/s'"}
    comparison = compared(
        ([(80.0, 0.8)], {"label": "A"} | slow),
        ([(20.0, 0.8)], {"label": "A"} | fast),
        ([(10.0, 0.8)], {"label": "B"} | slow),
        ([(10.0, 0.8)], {"label": "B"} | fast),
        baseline="A",
    )

    found = {each.setting: each.outcomes[0].speedup for each in comparison.rows if each.method == "B"}
    assert found == {("1MB/s",): 8.0, ("10MB/s",): 2.0}


def test_there_is_no_speedup_where_either_never_got_there(compared):
    comparison = compared(([(10.0, 0.3)], {"label": "A"}), ([(10.0, 0.8)], {"label": "B"}), baseline="A")

    assert [each.speedup for each in row(comparison, "B").outcomes] == [None, None]
    assert [each.speedup for each in row(comparison, "A").outcomes] == [None, None]


def test_smoothing_takes_a_lucky_measurement_out(compared):
    curve = [(10.0, 0.2), (20.0, 0.8), (30.0, 0.2), (40.0, 0.6), (50.0, 0.6)]

    assert times(compared((curve, {}), full_accuracy=0.6).rows[0]) == [20.0, 20.0]


def test_smoothed_runs_are_held_against_smoothed_targets(compared):
    curve = [(10.0, 0.2), (20.0, 0.8), (30.0, 0.2), (40.0, 0.6), (50.0, 0.6)]

    found = compared((curve, {}), smooth=2).rows[0]

    assert found.best.mean == pytest.approx(0.6)
    assert times(found) == [50.0, 20.0]


ORACLE = [
    ([(10.0, 0.4), (90.0, 0.8)], {"label": "LF", "client.depth": 1}),
    ([(20.0, 0.4), (60.0, 0.8)], {"label": "LF", "client.depth": 2}),
    ([(30.0, 0.4), (70.0, 0.7)], {"label": "LF", "client.depth": 3}),
]


def test_an_oracle_picks_the_fastest_for_each_target(compared):
    (found,) = compared(*ORACLE, oracle=("client.depth",)).rows

    assert [(each.choice, each.seconds.mean) for each in found.outcomes] == [("depth 2", 60.0), ("depth 1", 10.0)]
    assert found.name == "LF (oracle)"


def test_an_oracle_that_always_picks_the_same_is_named_for_it(compared):
    (found,) = compared(*ORACLE, oracle=("client.depth",), shares=(1.0,)).rows

    assert found.name == "LF (oracle: depth 2)"
    assert found.method == "LF"


def test_an_oracle_prefers_what_reaches_the_target_with_all_seeds(compared):
    runs = [
        ([(10.0, 0.8)], {"client.depth": 1, "seed": 0}),
        ([(10.0, 0.3)], {"client.depth": 1, "seed": 1}),
        ([(50.0, 0.8)], {"client.depth": 2, "seed": 0}),
        ([(50.0, 0.8)], {"client.depth": 2, "seed": 1}),
    ]

    (found,) = compared(*runs, oracle=("client.depth",)).rows

    assert (found.outcomes[0].choice, found.outcomes[0].seconds.mean) == ("depth 2", 50.0)


def test_an_oracle_that_never_gets_there_shows_its_most_accurate(compared):
    (found,) = compared(*ORACLE, oracle=("client.depth",), full_accuracy=1.0, shares=(1.0,)).rows

    assert (found.outcomes[0].reached, found.best.mean) == (0, 0.8)


def test_only_methods_that_differ_in_the_oracles_keys_are_oracles(compared):
    comparison = compared(*ORACLE, ([(5.0, 0.8)], {"label": "AdaFL"}), oracle=("client.depth",))

    assert [each.oracle for each in comparison.rows] == [True, False]


def test_rows_come_by_setting_numbers_by_size(compared):
    speeds = ("10MB/s", "0.5MB/s", "2MB/s")
    comparison = compared(*(([(10.0, 0.8)], {"link.options.bandwidth": f"'{speed}'"}) for speed in speeds))

    assert [each.setting for each in comparison.rows] == [("0.5MB/s",), ("2MB/s",), ("10MB/s",)]


def test_a_deployed_run_stands_beside_the_simulated_one_and_says_what_it_is(recorded, tmp_path):
    recorded("simulated", [(10.0, 0.8)])
    (recorded("real", [(30.0, 0.8)]) / "environment.json").write_text('{"deployed": true}')
    comparison = compare(find_runs([str(tmp_path)], "test"), ComparisonOptions(shares=(1.0,), baseline="fedavg"))

    assert {each.method: each.deployed for each in comparison.rows} == {"fedavg": False, "fedavg (deployed)": True}
    assert row(comparison, "fedavg (deployed)").outcomes[0].speedup == pytest.approx(1 / 3)
    assert any("1 of 2 runs" in note and "real machines" in note for note in comparison.notes)


def test_unfinished_runs_are_counted_and_named(compared):
    comparison = compared(([(10.0, 0.8)], {}), finished=False)

    assert comparison.rows[0].unfinished == 1
    assert any("not finished" in note and "run-0" in note for note in comparison.notes)


def test_runs_that_have_measured_nothing_are_left_out_and_named(compared):
    comparison = compared(([(10.0, 0.8)], {"label": "A"}), ([(10.0, None)], {"label": "B"}))

    assert [each.method for each in comparison.rows] == ["A"]
    assert any("run-1" in note for note in comparison.notes)


def test_with_nothing_measured_there_is_nothing_to_compare(compared):
    with pytest.raises(RunFailedError, match="no run has measured its accuracy on the test split"):
        compared(([(10.0, None)], {}))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"baseline": "AdaFl"}, "--baseline AdaFl: no such method here: did you mean 'AdaFL'?"),
        ({"reference": "FT"}, "--reference FT: no such method here: accepted: AdaFL"),
        ({"oracle": ("client.dept",)}, "did you mean 'client.depth'?"),
    ],
)
def test_names_that_are_none_of_the_runs_are_refused_with_the_nearest(compared, options, message):
    with pytest.raises(UserError) as caught:
        compared(([(10.0, 0.8)], {"label": "AdaFL"}), **options)
    assert message in str(caught.value)


@given(st.lists(st.floats(0, 1e6), min_size=2, max_size=9))
def test_a_spread_holds_its_values(values):
    found = spread(values)

    assert min(values) - 1e-6 <= found.mean <= max(values) + 1e-6
    assert 0 <= found.std <= max(values) - min(values) + 1e-6


def test_nothing_has_no_spread():
    assert spread([]) is None
