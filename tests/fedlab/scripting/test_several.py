"""Comparisons and estimates from Python are those of the command line."""

import pytest

from fedlab.api import Experiment, compare, estimate
from fedlab.errors import RunFailedError, UserError


def test_an_estimate_is_that_of_the_command_line_without_training():
    experiment = Experiment.model_validate(
        {"name": "x", "rounds": 3, "strategy": {"name": "fedavg"}, "backbone": {"name": "bert-tiny"}}
    )
    found = estimate(experiment, batches=2)
    twice = estimate(experiment.with_(rounds=6), batches=2)
    assert found["seconds"] > 0
    assert twice["joules"] == pytest.approx(2 * found["joules"], rel=0.05), "the first round fills the caches"


def test_options_of_a_comparison_are_checked(tmp_path):
    with pytest.raises(UserError, match=r"compare\(\): unknown key target: did you mean 'targets'"):
        compare([tmp_path], target=[90])
    with pytest.raises((UserError, RunFailedError), match="run"):
        compare([tmp_path])
