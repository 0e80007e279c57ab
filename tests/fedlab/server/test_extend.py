"""What may change of an experiment when its run is resumed."""

import pytest

from fedlab.config.file import experiment_from
from fedlab.server.extend import CHANGEABLE, changes_end, first_difference


def experiment(**keys):
    return experiment_from({"rounds": 2} | keys, "test")


@pytest.mark.parametrize(
    "keys",
    [
        {"rounds": 3},
        {"simulated_hours": 1.0},
        {"evaluation": {"patience": 4}},
        {"checkpoint": {"every": 5}},
        {"tracking": {"to": ["tensorboard"]}},
    ],
    ids=str,
)
def test_the_end_of_a_run_may_change(keys):
    assert changes_end(experiment(**keys), experiment())
    assert first_difference(experiment(**keys), experiment()) is None


def test_the_options_of_trackers_may_change_and_do_not_make_a_run_go_on():
    now = experiment(tracking={"options": {"mlflow": {"uri": "http://127.0.0.1:5000"}}})
    assert first_difference(now, experiment()) is None
    assert not changes_end(now, experiment())


@pytest.mark.parametrize(
    ("keys", "named"), [({"seed": 1}, "seed"), ({"evaluation": {"test_every": 3}}, "evaluation")], ids=str
)
def test_nothing_else_may(keys, named):
    assert not changes_end(experiment(**keys), experiment())
    assert first_difference(experiment(**keys), experiment()) == named


def test_every_changeable_key_is_one_of_an_experiment():
    table = experiment().model_dump()
    for key in CHANGEABLE:
        top, _, below = key.partition(".")
        assert top in table
        assert not below or below in table[top]
