import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedlab.errors import UserError
from fedlab.training.local import LocalTraining, batch_rows


def draws(seed=0):
    return np.random.default_rng(seed)


@given(count=st.integers(1, 40), size=st.integers(1, 9), epochs=st.integers(1, 3), seed=st.integers(0, 99))
def test_every_epoch_goes_over_every_row_once(count, size, epochs, seed):
    batches = batch_rows(count, LocalTraining(batch_size=size, epochs=epochs), draws(seed))

    in_an_epoch = math.ceil(count / size)
    assert len(batches) == epochs * in_an_epoch
    for epoch in range(epochs):
        of_it = batches[epoch * in_an_epoch : (epoch + 1) * in_an_epoch]
        assert sorted(np.concatenate(of_it)) == list(range(count))
        assert [len(batch) for batch in of_it[:-1]] == [size] * (in_an_epoch - 1)


@given(count=st.integers(1, 40), limit=st.integers(1, 30), seed=st.integers(0, 99))
def test_max_batches_cuts_the_same_batches_short(count, limit, seed):
    every, some = (batch_rows(count, LocalTraining(epochs=2, max_batches=each), draws(seed)) for each in (None, limit))

    assert len(some) == min(limit, len(every))
    assert all(np.array_equal(one, other) for one, other in zip(some, every, strict=False))


def test_every_epoch_has_an_order_of_its_own():
    first, second = batch_rows(50, LocalTraining(batch_size=50, epochs=2), draws())

    assert first.tolist() != second.tolist() != sorted(second)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"optimizer": "adam"}, "optimizer: 'adam' is unknown; accepted: sgd, adamw"),
        ({"schedule": "cosine"}, "schedule: 'cosine' is unknown; accepted: linear, constant"),
        ({"learning_rate": 0}, "learning_rate: 0 is not a positive number"),
        ({"learning_rate": None}, "learning_rate: None is not a positive number"),
        ({"learning_rate": "0.1"}, "learning_rate: '0.1' is not a positive number"),
        ({"learning_rate": math.nan}, "learning_rate: nan is not a positive number"),
        ({"clip_norm": math.inf}, "clip_norm: inf is not a positive number"),
        ({"learning_rate": 1e10}, "learning_rate: 10000000000.0 is not a positive number, at most 1e9"),
        ({"clip_norm": -1.0}, "clip_norm: -1.0 is not a positive number"),
        ({"momentum": -0.1}, "momentum: -0.1 is not a number from zero up"),
        ({"weight_decay": "much"}, "weight_decay: 'much' is not a number from zero up"),
        ({"batch_size": 0}, "batch_size: 0 is not a positive whole number"),
        ({"batch_size": 2.5}, "batch_size: 2.5 is not a positive whole number"),
        ({"epochs": True}, "epochs: True is not a positive whole number"),
        ({"epochs": None}, "epochs: None is not a positive whole number"),
        ({"processor": 3}, "processor: 3 is not a name"),
        ({"checkpointing": "yes"}, "checkpointing: 'yes' is not true or false"),
        ({"max_batches": -3}, "max_batches: -3 is not a positive whole number"),
        ({"decay_rounds": 0, "final_learning_rate": 0.1}, "decay_rounds: 0 is not a positive whole number"),
        ({"decay_rounds": 9, "final_learning_rate": 0}, "final_learning_rate: 0 is not a positive number"),
        ({"decay_rounds": 9}, "final_learning_rate: is missing; decay_rounds needs it"),
        ({"final_learning_rate": 0.01}, "decay_rounds: is missing; final_learning_rate needs it"),
        (
            {"decay_rounds": 9, "final_learning_rate": 0.2},
            "final_learning_rate: 0.2 is above learning_rate 0.1, from which the rate falls",
        ),
    ],
)
def test_an_option_that_is_not_accepted_is_named(option, message):
    with pytest.raises(UserError) as caught:
        LocalTraining(**option)

    assert str(caught.value) == f"client.options.{message}"


def test_clipping_and_the_limit_of_batches_can_be_left_out():
    assert LocalTraining(clip_norm=None, max_batches=None).epochs == 1


def test_over_the_rounds_the_learning_rate_falls_along_half_a_cosine_and_then_stays():
    settings = LocalTraining(learning_rate=0.5, final_learning_rate=0.1, decay_rounds=6, epochs=2)

    rates = [settings.in_round(server_round).learning_rate for server_round in (1, 2, 3, 4, 6, 7, 100)]

    first = 0.1 + 0.2 * (1 + math.sqrt(3) / 2)  # cos 30 degrees
    assert rates == pytest.approx([first, 0.4, 0.3, 0.2, 0.1, 0.1, 0.1])
    assert settings.in_round(3) == LocalTraining(learning_rate=rates[2], epochs=2)


def test_without_a_decay_every_round_has_the_same_settings():
    assert LocalTraining(learning_rate=0.5).in_round(7) == LocalTraining(learning_rate=0.5)
