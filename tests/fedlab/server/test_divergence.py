import numpy as np
import pytest

from fedlab.config.file import experiment_from
from fedlab.results.records import ClientRecord
from fedlab.server.divergence import DivergenceRule, best_loss, divergence_rule

BUILT_IN = {"name": "adapter"}


def rule(**keys):
    return divergence_rule(experiment_from({"rounds": 1} | keys, "test"))


@pytest.mark.parametrize(
    ("loss", "lowest", "diverges"),
    [
        (9.8e6, 2.3, True),
        (101.0, 2.3, True),
        (99.0, 2.3, False),  # not so far that no mishap explains it
        (900.0, 100.0, False),  # not ten times as much
        (1001.0, 100.0, True),
        (float("inf"), 1.0, True),
        (None, 1.0, False),
    ],
)
def test_a_loss_diverges_at_ten_times_the_lowest_before_and_a_hundred(loss, lowest, diverges):
    assert (DivergenceRule().flaw(loss, lowest) is not None) == diverges


def test_in_the_first_round_the_loss_of_built_in_clients_is_known_to_be_too_high():
    assert "the loss is 9.8e+06; lower" in rule().flaw(9.8e6, None)
    assert rule().flaw(8.0, None) is None
    own = rule(client={"name": "mine.py:client", "trains": "head"})
    assert own.flaw(9.8e6, None) is None  # it may measure on another scale


def test_what_is_to_be_lowered_is_named_with_what_it_is_now():
    assert rule().advice == "lower client.options.learning_rate"
    strategy = {"name": "flwr.serverapp.strategy:FedAdam", "options": {"eta": 3.0}}
    found = rule(client={"options": {"learning_rate": 50}}, strategy=strategy)
    assert found.advice == "lower client.options.learning_rate (now 50) or strategy.options.eta (now 3.0)"
    assert rule(on_divergence="warn").action == "warn"


def test_a_model_is_finite_or_its_first_array_that_is_not_is_named():
    fine = np.ones(2)
    assert DivergenceRule().model_flaw({"a": fine}) is None
    assert "(b)" in DivergenceRule().model_flaw({"a": fine, "b": np.array([1, np.inf])})


def client(group, loss):
    return ClientRecord(
        server_round=1, group=group, partition_id=0, device="board", configuration={}, num_examples=1, batches=1,
        train_loss=loss, compute_seconds=1.0, download_seconds=0.0, upload_seconds=0.0, joules=1.0, bytes_down=1,
        bytes_up=1, peak_memory_bytes=1,
    )  # fmt: skip


def test_the_loss_of_a_round_is_that_of_its_best_group():
    assert best_loss([client("shallow", 1.0), client("deep", 1e9), client("shallow", 3.0)]) == 2.0
    assert best_loss([client("train", None)]) is None
