"""Every built-in client takes the options of local training, and says so in its signature."""

import inspect
from dataclasses import fields

import pytest

from clients.adapter import adapter
from clients.forward import forward
from clients.full import full
from fedlab.errors import UserError
from fedlab.models.peft.bottleneck import Bottleneck
from fedlab.models.peft.whole_blocks import TopBlocks
from fedlab.server.factory import load_client
from fedlab.training.local import LocalTraining

TRAINING = [field.name for field in fields(LocalTraining)]


@pytest.mark.parametrize(
    ("make", "own"),
    [(adapter, ["cache", "cached_depths", "sets", "base_folder"]), (full, ["sets", "base_folder"])],
)
def test_a_clients_options_are_those_of_training_and_its_own(make, own):
    assert list(inspect.signature(make).parameters) == TRAINING + own


def test_the_defaults_are_those_of_local_training():
    for name, parameter in inspect.signature(full).parameters.items():
        if name in TRAINING:
            assert parameter.default == getattr(LocalTraining(), name)


def test_an_option_that_there_is_not_is_refused_by_name(tmp_path):
    with pytest.raises(UserError, match=r"unknown key client\.options\.epoch: did you mean 'epochs'\?"):
        load_client("adapter", {"epoch": 2}, tmp_path)
    with pytest.raises(UserError, match=r"unknown key client\.options\.cache: "):
        load_client("full", {"cache": True}, tmp_path)


@pytest.mark.parametrize(
    ("make", "trained"),
    [(adapter, Bottleneck(depth=1, width=4)), (full, TopBlocks(depth=1)), (forward, Bottleneck(depth=1, width=4))],
)
def test_a_round_trains_at_the_learning_rate_to_which_it_has_fallen(device_with, new_model, distance, make, trained):
    device, model = device_with(make), new_model(trained)
    falling = device(learning_rate=0.06, final_learning_rate=0.02, decay_rounds=4)

    for server_round, rate in ((2, 0.04), (4, 0.02), (9, 0.02)):
        expected = device(learning_rate=rate).trained(model, server_round=server_round)
        assert (
            distance(falling.trained(model, server_round=server_round), expected)
            < 1e-6
            < distance(expected, model.arrays)
        )
