"""A cohort is drawn over partition ids, by seed and round alone."""

from collections import Counter

import pytest

from fedlab.errors import UserError
from strategies.cohort import draw_cohort

PARTITIONS = {10 + partition: partition for partition in range(20)}


def draw(partitions=PARTITIONS, *, size=5, seed=0, server_round=1):
    in_order = sorted(partitions, key=partitions.__getitem__)
    return draw_cohort(in_order, size=size, seed=seed, server_round=server_round)


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


def test_more_clients_a_round_than_there_are_is_refused():
    with pytest.raises(UserError, match=r"clients_per_round: 21 clients a round, but there are 20"):
        draw(size=21)
