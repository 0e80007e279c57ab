"""A cohort is drawn over partition ids, by seed and round alone."""

from collections import Counter

import pytest

from fedlab.messages.round_terms import RoundTerms
from strategies.cohort import CohortRules, draw_cohort

PARTITIONS = {10 + partition: partition for partition in range(20)}


def draw(partitions=PARTITIONS, *, size=5, seed=0, server_round=1, busy=()):
    in_order = sorted(partitions, key=partitions.__getitem__)
    return draw_cohort(in_order, size=size, seed=seed, server_round=server_round, busy=busy)


def test_nodes_are_drawn_without_replacement():
    cohort = draw(size=20)
    assert sorted(cohort) == sorted(PARTITIONS)


def test_the_same_partitions_are_drawn_whatever_ids_their_nodes_have_and_however_these_are_listed():
    others = {7919 * (partition + 3) % 997: partition for partition in reversed(range(20))}
    assert [PARTITIONS[node] for node in draw()] == [others[node] for node in draw(others)]


def test_seed_and_round_each_give_another_cohort():
    assert draw() == draw()
    assert len({tuple(draw(seed=seed, server_round=server_round)) for seed in (0, 1) for server_round in (1, 2)}) == 4


def test_over_many_rounds_every_node_takes_part_about_as_often():
    counts = Counter(node for server_round in range(400) for node in draw(server_round=server_round))
    assert len(counts) == 20
    assert all(60 < count < 140 for count in counts.values())  # 100 each, with a standard deviation of 8.7


def test_where_fewer_are_there_all_of_them_are_drawn():
    assert sorted(draw(size=25)) == sorted(PARTITIONS)


def test_those_that_are_busy_are_left_out_unless_all_are():
    busy = {10 + partition for partition in range(18)}
    assert sorted(draw(size=5, busy=busy)) == [28, 29]
    assert len(draw(size=5, busy=set(PARTITIONS))) == 5


def test_the_defaults_wait_for_all_of_fifteen():
    rules = CohortRules()
    assert (rules.asked, rules.terms(15)) == (15, RoundTerms())


@pytest.mark.parametrize(("clients", "factor", "asked"), [(15, 1.3, 20), (10, 1.1, 11), (10, 1.5, 15), (3, 1.01, 4)])
def test_so_many_times_more_are_asked_and_the_first_count(clients, factor, asked):
    rules = CohortRules(clients_per_round=clients, over_selection=factor)
    assert (rules.asked, rules.terms(clients).wait_for) == (asked, clients)


def test_deadline_and_what_becomes_of_late_work_are_told_to_the_clients():
    rules = CohortRules(deadline_seconds=60.0, late="carry")
    assert rules.terms(15) == RoundTerms(deadline_seconds=60.0, late="carry")


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"clients_per_round": 0}, "clients_per_round: 0 is not positive"),
        ({"deadline_seconds": 0.0}, "deadline_seconds: 0.0 is not positive"),
        ({"deadline_seconds": float("inf")}, "deadline_seconds: inf is not positive"),
        ({"max_update_norm": -1.0}, "max_update_norm: -1.0 is not positive"),
        ({"min_replies": 0}, "min_replies: 0 is not positive"),
        ({"min_replies": 16}, "min_replies: 16, but clients_per_round is 15"),
        ({"over_selection": 0.9}, "over_selection: 0.9, expected a factor from 1 up"),
        ({"over_selection": float("nan")}, "over_selection: nan"),
        ({"late": "keep"}, "late: 'keep', expected one of drop, carry"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_by_name(option, message):
    with pytest.raises(ValueError, match=message):
        CohortRules(**option)
