"""An estimate of an experiment says what is trained, and on which assumption."""

import pytest

from fedlab.estimate.experiment.estimate import estimate_experiment

FEDAVG = {"name": "fedavg", "options": {"clients_per_round": 3}}


@pytest.mark.parametrize(
    ("client", "told"),
    [
        ({"depth": 1}, "client adapter trains adapters of bert-tiny"),
        ({"depth": 1, "trains": "lora"}, "client adapter trains LoRA of bert-tiny"),
        ({"depth": 1, "trains": "bias"}, "client adapter trains biases of bert-tiny"),
        ({"depth": 0, "trains": "head"}, "client adapter trains the head of bert-tiny"),
        ({"depth": 1, "name": "freeze"}, "client freeze trains whole blocks of bert-tiny"),
        ({"name": "full"}, "client full trains all weights of bert-tiny"),
        ({"depth": 1, "name": "forward", "trains": "lora"}, "client forward trains LoRA of bert-tiny"),
    ],
)
def test_the_title_says_what_is_trained(experiment_of, client, told):
    experiment = experiment_of(rounds=1, strategy=FEDAVG, client=client)

    planned = estimate_experiment(experiment, trajectory=None, batches=None, labels=2)

    assert planned.title == f"experiment: fedavg, {told}; 8 clients of 14 texts of 8 tokens"
