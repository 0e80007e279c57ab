"""The clock of a run that is billed again: what set out together takes as long as the longest, the rest one by one."""

from dataclasses import replace

import pytest

from fedlab.config.file import experiment_from
from fedlab.reprice.rebill import rebilled
from fedlab.server.assemble import assemble
from fedlab.workload.shape import ModelShape

TABLE = {
    "rounds": 1,
    "task": {"max_length": 16, "partition": {"clients": 4}},
    "backbone": {"name": "bert-tiny"},
    "strategy": {"name": "fedavg", "options": {"clients_per_round": 3}},
    "client": {"depth": 1},
    "fleet": {"devices": {"jetson-tx2": 1, "jetson-nano": 1}},
    "link": {"options": {"bandwidth": "1MB/s"}},
}
SHAPE = ModelShape(family="bert", blocks=2, hidden=128, intermediate=512)


def test_an_order_that_was_sent_again_is_billed_after_those_of_its_round(planned_run, tmp_path, monkeypatch):
    monkeypatch.setattr("fedlab.results.write.plot_accuracy", lambda rounds, trials, path, **_: path.touch())
    experiment = experiment_from(TABLE, "test")
    source = planned_run(experiment, tmp_path / "source")
    first, lacking, third = source.clients()
    clients = [first, replace(lacking, passes=[], num_examples=0), third, replace(lacking, group="resent")]

    (record,), billed = rebilled(source.rounds(), clients, assemble(experiment).physics(SHAPE), "a run")

    train, resent = record.groups
    assert [(train.group, train.clients), (resent.group, resent.clients)] == [("train", 3), ("resent", 1)]
    assert record.simulated_seconds == pytest.approx(train.seconds + resent.seconds)
    assert resent.seconds == pytest.approx(billed[3].seconds)
    assert billed[1].compute_seconds == 0 < billed[1].download_seconds
