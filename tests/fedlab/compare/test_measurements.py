import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedlab.compare.measurements import Measurement, best_accuracy, first_reaching, measurements, smoothed
from fedlab.results.records import ClientRecord, RoundRecord


def adapters(depth=2, width=8):
    return {"set": "bottleneck", "depth": depth, "width": width}


def client(server_round, *, num_bytes=100, joules=5.0):
    return ClientRecord(
        server_round=server_round, group="train", partition_id=0, device="jetson-tx2", configuration=adapters(2, 8),
        num_examples=4, batches=1, train_loss=1.0, compute_seconds=1.0, download_seconds=0.0, upload_seconds=0.0,
        joules=joules, bytes_down=num_bytes, bytes_up=1, peak_memory_bytes=1,
    )  # fmt: skip


def round_(number, *, test=None, validation=None):
    return RoundRecord(
        server_round=number, trial=None, simulated_seconds=10.0 * number, configuration=adapters(2, 8), groups=[],
        validation_accuracy=validation, test_accuracy=test, wall_seconds=0.0,
    )  # fmt: skip


def curve(*accuracies):
    return [
        Measurement(server_round=at, seconds=float(at), accuracy=each, num_bytes=at, joules=float(at))
        for at, each in enumerate(accuracies, start=1)
    ]


def accuracies(measured):
    return [each.accuracy for each in measured]


def test_a_measurement_holds_what_was_spent_up_to_its_round():
    rounds = [round_(1), round_(2, test=0.4), round_(3, test=0.6)]
    clients = [client(1), client(1), client(2), client(3)]

    first, second = measurements(rounds, clients, "test")

    assert (first.server_round, first.seconds, first.accuracy) == (2, 20.0, 0.4)
    assert (first.num_bytes, first.joules) == (303, 15.0)
    assert (second.num_bytes, second.joules) == (404, 20.0)


def test_what_a_round_that_was_cut_off_spent_is_not_counted():
    measured = measurements([round_(1, test=0.4)], [client(1), client(2)], "test")

    assert measured[-1].num_bytes == 101


def test_splits_are_measured_each_by_itself():
    rounds = [round_(1, test=0.4), round_(2, validation=0.7)]

    assert accuracies(measurements(rounds, [], "test")) == [0.4]
    assert accuracies(measurements(rounds, [], "validation")) == [0.7]


def test_a_running_mean_is_over_as_many_as_there_are_at_the_start():
    assert accuracies(smoothed(curve(0.2, 0.4, 0.9, 0.1), 3)) == pytest.approx([0.2, 0.3, 0.5, 1.4 / 3])


def test_a_window_of_one_changes_nothing():
    assert list(smoothed(curve(0.2, 0.4), 1)) == curve(0.2, 0.4)


def test_the_first_measurement_that_reaches_an_accuracy_counts_even_if_a_later_one_falls_below():
    first = first_reaching(curve(0.2, 0.5, 0.4, 0.6), 0.5)

    assert first is not None
    assert first.server_round == 2


def test_an_accuracy_that_is_never_reached_has_no_measurement():
    assert first_reaching(curve(0.2, 0.5), 0.51) is None
    assert first_reaching([], 0.1) is None


def test_the_best_accuracy_is_the_highest_not_the_last():
    assert best_accuracy(curve(0.2, 0.6, 0.5)) == 0.6
    assert best_accuracy([]) is None


ACCURACIES = st.lists(st.floats(0, 1), min_size=1, max_size=20)


@given(ACCURACIES, st.integers(1, 25))
def test_a_running_mean_stays_within_the_accuracies_measured(values, window):
    means = accuracies(smoothed(curve(*values), window))

    assert len(means) == len(values)
    assert all(min(values) - 1e-12 <= mean <= max(values) + 1e-12 for mean in means)


@given(ACCURACIES, st.floats(0, 1), st.floats(0, 1))
def test_a_higher_accuracy_is_never_reached_earlier(values, one, other):
    low, high = (first_reaching(curve(*values), target) for target in sorted((one, other)))

    assert high is None or (low is not None and low.seconds <= high.seconds)
