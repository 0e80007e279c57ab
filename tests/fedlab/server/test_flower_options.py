import math

import pytest
from flwr.serverapp.strategy import FedAdam, FedAvg, FedTrimmedAvg

from fedlab.config.file import experiment_from
from fedlab.errors import UserError
from fedlab.server.factory import load_strategy
from fedlab.server.flower_options import check_flower_options


def experiment(name, **options):
    return experiment_from({"rounds": 1, "strategy": {"name": name, "options": options}}, "x")


@pytest.mark.parametrize(
    ("name", "key", "value", "expected"),
    [
        ("FedAvg", "fraction_train", -1, "expected a number from 0 and up to 1"),
        ("FedAvg", "fraction_train", 1.5, "expected a number from 0 and up to 1"),
        ("FedAvg", "fraction_train", "all", "expected a number"),
        ("FedAvg", "fraction_train", True, "expected a number"),
        ("FedAvg", "min_train_nodes", -2, "expected a number from 0"),
        ("FedAvg", "min_train_nodes", 2.5, "expected a whole number"),
        ("FedAvg", "weighted_by_key", 3, "expected text"),
        ("FedAdam", "beta_1", 1.0, "expected a number from 0 and below 1"),
        ("FedAdam", "eta", 0, "expected a number above 0"),
        ("FedTrimmedAvg", "beta", 0.5, "expected a number from 0 and below 0.5"),
    ],
)
def test_options_of_flowers_own_strategies_are_of_their_type_and_range(name, key, value, expected):
    with pytest.raises(UserError, match=rf"^strategy.options.{key} = {value!r}: {expected}"):
        load_strategy(experiment(f"flwr.serverapp.strategy:{name}", **{key: value}))


def test_options_that_can_be_are_accepted():
    check_flower_options(FedAvg, {"fraction_train": 0.5, "min_train_nodes": 3}, "x")
    check_flower_options(FedAdam, {"eta": 0.03, "beta_1": 0.9, "tau": 1e-9}, "x")
    check_flower_options(FedTrimmedAvg, {"beta": 0.2}, "x")


def test_a_users_own_strategy_has_ranges_of_its_own():
    class Mine:
        pass

    check_flower_options(Mine, {"beta": math.pi}, "x")
