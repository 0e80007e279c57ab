"""What an experiment names to track it is made, or refused, before the run."""

import pytest

from fedlab.config.file import experiment_from
from fedlab.errors import UserError
from fedlab.results.trackers.load import load_trackers

OWN = """
class Seen:
    def __init__(self, *, bound: int = 0):
        if bound > 9:
            raise RuntimeError("too high")
        self.bound = bound
    def on_round(self, record): ...

class Misspelt:
    def on_rounds(self, record): ...

class Deaf:
    def hear(self, record): ...

def made(): ...
"""


@pytest.fixture
def load(tmp_path):
    """Return a function that makes the trackers of an experiment beside a file of the user's own."""
    (tmp_path / "own.py").write_text(OWN)

    def load(to, options=None):
        table = {"rounds": 1, "base_folder": str(tmp_path), "tracking": {"to": to, "options": options or {}}}
        return load_trackers(experiment_from(table, "x.toml"))

    return load


def test_no_tracker_is_made_unless_it_is_named(load):
    assert load([]) == {}
    assert load([], {"mlflow": {"uri": "http://127.0.0.1:5000"}}) == {}, "one that is switched off keeps its options"


def test_one_name_needs_no_list_and_an_observer_of_ones_own_gets_its_options(load):
    assert load("own.py:Seen", {"own.py:Seen": {"bound": 2}})["own.py:Seen"].bound == 2


@pytest.mark.parametrize(
    ("to", "options", "message"),
    [
        ("tensorbord", {}, "tracking.to = .*: 'tensorbord': no such tracker: did you mean 'tensorboard'"),
        (["tensorboard", "tensorboard"], {}, "names 'tensorboard' twice"),
        ([], {"wandbs": {}}, "tracking.options = .*: 'wandbs': no such tracker: did you mean 'wandb'"),
        ("own.py:Absent", {}, "tracking.to: 'own.py:Absent': own.py has no 'Absent'"),
        ("absent.py:Seen", {}, "tracking.to: no such file: .*absent.py"),
        ("own.py:Misspelt", {}, "own.py:Misspelt has on_rounds: did you mean 'on_round'"),
        ("own.py:Deaf", {}, "own.py:Deaf has no method of an observer: accepted: on_clients, on_end, on_message"),
        ("own.py:made", {}, "own.py:made has no method of an observer"),
        ("own.py:Seen", {"own.py:Seen": {"limit": 1}}, "unknown key tracking.options.own.py:Seen.limit"),
        ("own.py:Seen", {"own.py:Seen": {"bound": "2"}}, "tracking.options.own.py:Seen.bound = '2': expected"),
        ("own.py:Seen", {"own.py:Seen": {"bound": 10}}, "Seen raised RuntimeError: too high"),
        ("tensorboard", {"tensorboard": {"dir": "x"}}, "unknown key tracking.options.tensorboard.dir: accepted: none"),
    ],
)
def test_what_cannot_be_a_tracker_is_refused(load, to, options, message):
    with pytest.raises(UserError, match=message):
        load(to, options)


@pytest.mark.parametrize("name", ["tensorboard", "mlflow", "wandb"])
def test_a_tracker_whose_package_is_missing_is_refused_with_the_command_that_installs_it(load, monkeypatch, name):
    monkeypatch.setattr("fedlab.results.trackers.load.find_spec", lambda name: None)
    with pytest.raises(UserError, match=rf"{name} is not installed: pip install 'fedlab-edge\[{name}\]'"):
        load(name)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("mlflow", {"uri": 3}, "tracking.options.mlflow.uri = 3: expected"),
        ("mlflow", {"urI": "x"}, "unknown key tracking.options.mlflow.urI: did you mean 'uri'"),
        ("wandb", {"mode": "of"}, "tracking.options.wandb.mode = 'of': expected"),
    ],
)
def test_wrong_options_of_the_trackers_are_refused(load, monkeypatch, name, options, message):
    monkeypatch.setattr("fedlab.results.trackers.load.find_spec", lambda name: object())
    with pytest.raises(UserError, match=message):
        load(name, {name: options})
