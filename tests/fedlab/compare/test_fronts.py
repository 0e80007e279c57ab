import pytest

from fedlab.compare.fronts import front_points, max_so_far
from fedlab.compare.options import ComparisonOptions
from fedlab.compare.runs import find_runs
from fedlab.compare.summary import compare


@pytest.fixture
def rows(recorded, tmp_path):
    """Return a function that writes runs, (curve, settings) each, and returns the rows of their comparison."""

    def call(*runs):
        for number, (curve, settings) in enumerate(runs):
            recorded(f"run-{number}", curve, settings)
        return compare(find_runs([str(tmp_path)], "test"), ComparisonOptions()).rows

    return call


def points(found, at):
    return [(each.cost, each.accuracy, each.on_front) for each in found if each.row == at]


def test_a_point_is_on_the_front_if_no_method_has_more_for_as_little(rows):
    found = front_points(
        rows(([(10.0, 0.3), (40.0, 0.8)], {"label": "A"}), ([(20.0, 0.5), (50.0, 0.7)], {"label": "B"})), "time"
    )

    assert points(found, 0) == [(10.0, 0.3, True), (40.0, 0.8, True)]
    assert points(found, 1) == [(20.0, 0.5, True), (50.0, 0.7, False)]


def test_of_the_same_cost_the_more_accurate_method_is_on_the_front(rows):
    found = front_points(rows(([(10.0, 0.3)], {"label": "A"}), ([(10.0, 0.5)], {"label": "B"})), "time")

    assert [each.on_front for each in found] == [False, True]


def test_a_point_is_the_mean_over_seeds_where_the_best_so_far_has_grown(rows):
    curves = [[(10.0, 0.4), (20.0, 0.2), (30.0, 0.6)], [(20.0, 0.2), (40.0, 0.2), (50.0, 0.8)]]

    found = front_points(rows(*((curve, {"seed": seed}) for seed, curve in enumerate(curves))), "time")

    assert points(found, 0) == [(15.0, pytest.approx(0.3), True), (40.0, pytest.approx(0.7), True)]


def test_energy_traffic_and_memory_have_fronts_of_their_own(rows):
    found = rows(([(10.0, 0.3), (20.0, 0.6)], {}))

    assert points(front_points(found, "energy"), 0) == [(100.0, 0.3, True), (200.0, 0.6, True)]
    assert points(front_points(found, "traffic"), 0) == [(2000.0, 0.3, True), (4000.0, 0.6, True)]
    assert points(front_points(found, "memory"), 0) == [(1e9, 0.6, True)]


def test_methods_of_different_tasks_do_not_beat_each_other(rows):
    found = front_points(rows(([(10.0, 0.9)], {}), ([(20.0, 0.1)], {"task.max_length": 32})), "time")

    assert [each.on_front for each in found] == [True, True]


def test_the_best_so_far_never_falls(rows):
    (row,) = rows(([(10.0, 0.5), (20.0, 0.3), (30.0, 0.6)], {}))

    assert max_so_far(row.curves[0]) == {1: 0.5, 2: 0.5, 3: 0.6}
