"""A tracker is told of each round once, however often the run is resumed."""

import pytest

from fedlab.results.trackers.base import tracked_run
from fedlab.results.trackers.observer import TrackerObserver


class Noted:
    """A tracker that keeps what it is told; `kept` is the last round that it has from before."""

    def __init__(self, kept=0):
        self.kept, self.rows, self.events, self.ended = kept, [], [], None

    def start(self, run):
        self.run = run
        return self.kept

    def scalars(self, values, *, server_round, simulated_seconds):
        self.rows.append((server_round, simulated_seconds, dict(values)))

    def event(self, text, *, server_round, simulated_seconds):
        self.events.append((server_round, simulated_seconds, text))

    def end(self, summary, files):
        self.ended = (summary, [*files])


@pytest.fixture
def tell(tracked_folder, records):
    """Return a function that records rounds up to one, of which the last few are told to a tracker."""
    clients_of, round_of, trial_of = records

    def tell(tracker, told, *, recorded=0):
        made = tracked_folder()
        made._record([round_of(number) for number in range(1, recorded + 1)])
        observer = TrackerObserver(tracker, "accuracy")
        observer.on_start(tracked_run(made.experiment(), made.folder))
        for number in told:
            observer.on_clients(clients_of(number))
            observer.on_round(round_of(number))
            if number == 2:
                observer.on_trial(trial_of(number))
        return observer

    return tell


def rounds_of(tracker):
    return [number for number, _, values in tracker.rows if "round" in values]


def test_rounds_and_trials_are_told_with_their_round_and_simulated_time(tell):
    tracker = Noted()
    tell(tracker, [1, 2])
    assert [(number, seconds) for number, seconds, _ in tracker.rows] == [(1, 10.0), (2, 20.0), (2, 20.0)]
    assert tracker.rows[1][2]["total/joules"] == 16.0
    assert tracker.rows[2][2] == {
        "trial/shallow": 0.25, "trial/deep": 0.5, "total/trials": 1.0, "total/upgrades": 1.0
    }  # fmt: skip
    assert [(number, seconds) for number, seconds, _ in tracker.events] == [(2, 20.0)]


def test_the_run_is_named_for_its_folder_and_its_keys_are_dotted(tell):
    tracker = Noted()
    tell(tracker, [1])
    assert (tracker.run.name, tracker.run.experiment, tracker.run.folder.name) == ("mine", "mine", "mine")
    assert tracker.run.settings["task.kind"] == "classification"
    assert tracker.run.settings["task.partition.clients"] == 100
    assert not [key for key in tracker.run.settings if key.startswith("tracking")], "it may hold an address"


def test_a_round_that_is_computed_a_second_time_is_not_told_a_second_time(tell):
    tracker = Noted(kept=3)
    tell(tracker, [2, 3, 4], recorded=4)  # the checkpoint was of round 1
    assert rounds_of(tracker) == [4]
    assert tracker.events == [], "the trial of round 2 is known"
    assert tracker.rows[0][2]["total/joules"] == 32.0, "totals count the rounds that are not told, too"


def test_a_tracker_that_lost_rounds_or_is_new_gets_those_that_are_recorded(tell):
    tracker = Noted(kept=1)
    tell(tracker, [4], recorded=4)
    assert rounds_of(tracker) == [2, 3, 4]
    assert [number for number, *_ in tracker.events] == [2]
    assert [values["round/peak_memory_bytes"] for _, _, values in tracker.rows if "round" in values] == [4e6, 6e6, 8e6]
    assert tracker.rows[-1][2]["total/joules"] == 32.0


def test_the_end_is_passed_on(tell):
    tracker = Noted()
    tell(tracker, [1]).on_end({"status": "finished"}, [])
    assert tracker.ended == ({"status": "finished"}, [])
