"""The page on trackers: its experiment and its observer work, and its names are those of the code."""

import re
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from fedlab.config.builtins import TRACKERS
from fedlab.config.file import experiment_from
from fedlab.results.trackers.base import tracked_run
from fedlab.results.trackers.guarded import GuardedObserver
from fedlab.results.trackers.load import load_trackers
from fedlab.results.trackers.observer import TrackerObserver

PAGE = (Path(__file__).parents[4] / "docs" / "guides" / "trackers.md").read_text()
FILES = dict(re.findall(r"^\*\*([\w./-]+)\*\*\n```\w+\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
TABLE = tomllib.loads(re.search(r"^```toml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)[1])


def rows(heading):
    """Return the names in the first column of the table with this heading."""
    body = PAGE.partition(f"| {heading} |")[2].partition("\n\n")[0]
    return [re.findall(r"`([^`]+)`", line.split("|")[1]) for line in body.splitlines() if line.startswith("| `")]


def test_the_page_lists_every_tracker_and_every_method_of_an_observer():
    assert [name for (name,) in rows("name | install | where it keeps a run | options")][:-1] == list(TRACKERS)
    methods = [name.partition("(")[0] for (name,) in rows("method | is told of")]
    assert sorted(methods) == sorted(name for name in vars(GuardedObserver) if name.startswith("on_"))


class Keeps:
    """A tracker that keeps the names of scalars."""

    def __init__(self):
        self.names = set()

    def start(self, run):
        return 0

    def scalars(self, values, **_):
        self.names |= set(values)

    def event(self, text, **_):
        pass


def test_the_names_of_scalars_are_those_that_are_kept(tracked_folder, records):
    clients_of, round_of, trial_of = records
    keeps, made = Keeps(), tracked_folder()
    observer = TrackerObserver(keeps, "accuracy")
    observer.on_start(tracked_run(made.experiment(), made.folder))
    observer.on_clients(clients_of(1))
    observer.on_round(replace(round_of(1), test_accuracy=0.5))
    observer.on_trial(trial_of(1))
    said = {name for names in rows("name | meaning") for name in names}
    assert said - {"trial/wide"} == keeps.names


@pytest.fixture
def beside(tmp_path):
    """Write the page's files into a folder, as a user would, and return its experiment."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    return experiment_from(TABLE | {"rounds": 1, "base_folder": str(tmp_path)}, "docs/guides/trackers.md")


def test_the_observer_of_the_page_is_short_and_does_what_it_says(beside, tracked_folder, records):
    _, round_of, _ = records
    assert all(len(text.splitlines()) < 30 for text in FILES.values())
    tracking = beside.tracking.model_copy(update={"to": ["alarm.py:Alarm"]})
    (alarm,) = load_trackers(beside.model_copy(update={"tracking": tracking})).values()
    folder = tracked_folder().folder
    alarm.on_start(tracked_run(beside, folder))
    for number, accuracy in enumerate((0.9, 0.7, None, 0.35), start=1):
        alarm.on_round(replace(round_of(number), validation_accuracy=accuracy))
    assert (folder.path / "alarms.txt").read_text() == "round 4: 0.70 to 0.35\n"
