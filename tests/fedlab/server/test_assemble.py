"""Everything an experiment names is made by one call, and what does not fit together is refused by it."""

import pytest

from fedlab.config.file import experiment_from
from fedlab.errors import UserError
from fedlab.server.assemble import assemble, construct, fit_to_partitions, refit
from fedlab.workload.shape import ModelShape
from strategies.fedavg import FedAvg

SHAPE = ModelShape(family="bert", blocks=4, hidden=12, intermediate=24)


def experiment(clients=8, **keys):
    table = {"rounds": 3, "task": {"partition": {"clients": clients}}, "strategy": {"name": "fedavg"}}
    table["strategy"]["options"] = {"clients_per_round": 4}
    return experiment_from(table | keys, "test")


def test_an_experiment_is_assembled_with_all_it_names():
    found = assemble(
        experiment(simulated_hours=2.0, fleet={"devices": {"jetson-tx2": 1, "rpi-4b": 1}}, codec={"up": ["int8"]})
    )
    assert isinstance(found.strategy, FedAvg)
    assert (found.requirements.clients_per_round, found.requirements.evaluates) == (4, False)
    assert found.coding.terms.up == ("int8",)
    assert len(found.fleet) == 8
    assert found.link.transfer_seconds(10**6, direction="up", partition_id=0, server_round=1, start_seconds=0.0) > 0
    assert found.availability.available(0, server_round=1, at_seconds=0.0)
    assert (found.stop.rounds, found.stop.simulated_seconds, found.stop.target_accuracy) == (3, 7200.0, None)


def test_without_codecs_there_is_no_coding():
    assert assemble(experiment()).coding is None


def test_the_physics_has_the_boards_and_the_bandwidth_of_the_experiment():
    found = assemble(experiment(link={"server_bandwidth_down": "2MB/s"}))
    assert found.physics(SHAPE).device(0) == "jetson-tx2"


def test_another_run_gets_a_strategy_of_its_own_and_shares_the_rest():
    first = assemble(experiment())
    second = first.with_fresh_strategy()
    assert second.strategy is not first.strategy
    assert (second.link, second.client, second.fleet) == (first.link, first.client, first.fleet)


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"strategy": {"name": "fedavgg"}}, "no such name 'fedavgg'"),
        ({"link": {"name": "constnt"}}, "no such name 'constnt'"),
        ({"availability": {"name": "alway"}}, "no such name 'alway'"),
        ({"client": {"name": "adaptr"}}, "no such name 'adaptr'"),
        ({"codec": {"up": ["int9"]}}, "int9"),
        ({"fleet": {"devices": {"jetson-tx3": 1}}}, "unknown device 'jetson-tx3'"),
        ({"clients": 3}, r"clients_per_round = 4: more than there are clients \(3\)"),
    ],
)
def test_what_does_not_exist_or_does_not_fit_is_refused(keys, reason):
    with pytest.raises(UserError, match=reason):
        assemble(experiment(**keys))


def test_the_number_of_clients_may_come_later_and_the_objects_stay():
    early = construct(experiment(clients=3))  # too few for the strategy, as yet
    late = refit(early, experiment(clients=5))
    assert (late.strategy, late.client) == (early.strategy, early.client)
    assert (len(early.fleet), len(late.fleet), late.experiment.task.partition.clients) == (3, 5, 5)


def test_partitions_beyond_the_number_of_clients_get_boards_and_fewer_leave_the_boards_as_they_are():
    early = assemble(experiment())
    more, fewer = fit_to_partitions(early, 12), fit_to_partitions(early, 4)
    assert (len(more.fleet), more.experiment.task.partition.clients) == (12, 12)
    assert fewer is early
    with pytest.raises(UserError, match=r"clients_per_round = 4: more than there are clients \(3\)"):
        fit_to_partitions(early, 3)


def test_too_few_clients_in_the_end_are_refused():
    early = construct(experiment(clients=3))
    with pytest.raises(UserError, match=r"clients_per_round = 4: more than there are clients \(3\)"):
        refit(early, experiment(clients=3))
